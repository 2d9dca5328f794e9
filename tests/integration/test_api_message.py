"""``/api/messages/{sid}`` and ``/events``: the state of a message and its history, now and as of a moment."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, SID, append, at, event
from tests.support.projector import project
from tracker.queries.times import format_time

OTHER = "MM" + "2" * 32
UNKNOWN = "SM" + "f" * 32

STATE_FIELDS = (
    "message_sid account_sid messaging_service_sid channel from to country status is_final error_code "
    "raw_dlr_done_date carrier_done_at decided_by event_count first_received_at last_received_at sent_at delivered_at "
    "direction has_conflict error_codes_seen error_codes_truncated error_message"
)

HISTORY = (
    event("queued", 0),
    event("sent", 1.25),
    event("undelivered", 600, ErrorCode="30003", RawDlrDoneDate="2603011205"),
    event("undelivered", 601),
    event(
        "delivered", 1200, RawDlrDoneDate="2603011206", MessagingServiceSid="MG" + "3" * 32, To="whatsapp:+447400123456"
    ),
    event("sent", 1300),
    event("teleported", 1400),
)
"""From 12:00:00: a failure at 12:10 that the carrier dates 12:05, corrected at 12:20 with a date of 12:06."""


@pytest.fixture(scope="module")
def history_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database whose log holds ``HISTORY``, and another message between. Nothing has been projected."""
    with postgres.database() as url:
        append(url, [*HISTORY[:2], event("queued", 2, OTHER), *HISTORY[2:]])
        yield url


@pytest.fixture(scope="module")
def client(history_url: str) -> Iterator[TestClient[Litestar]]:
    """A server that answers from it."""
    with answering(history_url) as client:
        yield client


def get(client: TestClient[Litestar], path: str, **query: str) -> Any:
    """The JSON of an answer that must be 200."""
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def test_the_state_has_the_fields_of_the_contract(client: TestClient[Litestar]) -> None:
    """Every field, with the value that the history gives it, though no projector has run."""
    state = get(client, f"/api/messages/{SID}")
    assert " ".join(state) == STATE_FIELDS
    assert state == {
        "message_sid": SID,
        "account_sid": ACCOUNT,
        "messaging_service_sid": "MG" + "3" * 32,
        "channel": "whatsapp",
        "from": "+15557122661",
        "to": "whatsapp:+447400123456",
        "country": "GB",
        "status": "delivered",
        "is_final": True,
        "error_code": None,
        "raw_dlr_done_date": "2603011206",
        "carrier_done_at": "2026-03-01T12:06:00",
        "decided_by": 6,
        "event_count": 7,
        "first_received_at": "2026-03-01T12:00:00Z",
        "last_received_at": "2026-03-01T12:23:20Z",
        "sent_at": "2026-03-01T12:00:01.250000Z",
        "delivered_at": "2026-03-01T12:20:00Z",
        "direction": "outbound",
        "has_conflict": True,
        "error_codes_seen": ["30003"],
        "error_codes_truncated": False,
        "error_message": None,
    }


@pytest.mark.parametrize(
    ("as_of", "clock", "status", "events"),
    [
        pytest.param("2026-03-01T12:00:00Z", None, "queued", 1, id="the moment itself counts"),
        pytest.param("2026-03-01T12:00:01.249999Z", None, "queued", 1, id="a microsecond before"),
        pytest.param("2026-03-01T12:00:01.25Z", None, "sent", 2, id="to the microsecond"),
        pytest.param("2026-03-01T14:00:01.25+02:00", None, "sent", 2, id="offset"),
        pytest.param("2026-03-01T14:00:01.25 02:00", None, "sent", 2, id="a plus that became a space"),
        pytest.param("2026-03-01t12:10:00z", "known", "undelivered", 3, id="known: the failure has arrived"),
        pytest.param("2026-03-01T12:05:30Z", "known", "sent", 2, id="known: nothing has arrived since"),
        pytest.param("2026-03-01T12:05:30Z", "happened", "undelivered", 3, id="happened: by the carrier's date"),
        pytest.param("2026-03-01T12:06:00Z", "happened", "delivered", 4, id="happened: the later date"),
        pytest.param("2026-03-02T00:00:00Z", "happened", "delivered", 7, id="all of it"),
    ],
)
def test_the_state_as_of_a_moment(
    client: TestClient[Litestar], as_of: str, clock: str | None, status: str, events: int
) -> None:
    """``known`` counts what had reached us, ``happened`` what the carrier dates before, and both answers agree."""
    query = {"as_of": as_of} if clock is None else {"as_of": as_of, "clock": clock}
    state = get(client, f"/api/messages/{SID}", **query)
    assert (state["status"], state["event_count"]) == (status, events)
    history = get(client, f"/api/messages/{SID}/events", **query)["events"]
    assert len(history) == events
    assert state["decided_by"] in {each["position"] for each in history}


def test_a_done_date_that_cannot_be_believed_moves_nothing(database_url: str) -> None:
    """A carrier's clock that says 2099 does not hide the event from the past."""
    append(database_url, [event("delivered", 0, RawDlrDoneDate="9912312359")])
    with answering(database_url) as client:
        state = get(client, f"/api/messages/{SID}", as_of=format_time(at(0)), clock="happened")
    assert (state["status"], state["carrier_done_at"]) == ("delivered", "2099-12-31T23:59:00")


def test_the_history_is_told_in_log_order_with_effects(client: TestClient[Litestar]) -> None:
    """Positions are the log's, the other message's place is left out, and each effect is that of the arrival."""
    history = get(client, f"/api/messages/{SID}/events")
    assert history["message_sid"] == SID
    assert [(each["position"], each["status"], each["effect"]) for each in history["events"]] == [
        (1, "queued", "decided"),
        (2, "sent", "decided"),
        (4, "undelivered", "decided"),
        (5, "undelivered", "late"),
        (6, "delivered", "corrected"),
        (7, "sent", "duplicate"),
        (8, "teleported", "unknown"),
    ]


def test_an_effect_is_the_same_whatever_moment_is_asked_about(database_url: str) -> None:
    """An event that was spooled has an early received_at and a late position: leaving out what was appended before it
    does not make it decide on arrival."""
    append(database_url, [event("delivered", 60), event("sent", 0)])
    with answering(database_url) as client:
        now = get(client, f"/api/messages/{SID}/events")["events"]
        then = get(client, f"/api/messages/{SID}/events", as_of=format_time(at(30)))["events"]
        state = get(client, f"/api/messages/{SID}", as_of=format_time(at(30)))
    assert [each["effect"] for each in now] == ["decided", "late"]
    assert then == now[1:]
    assert (state["status"], state["decided_by"]) == ("sent", 2)


def test_the_evidence_is_told_exactly(database_url: str) -> None:
    """Every parameter, blank and repeated ones too, the exact bytes, and what proves them."""
    body = (
        f"MessageSid={SID}&MessageStatus=sent&X=2&X=&X=1&Blank=&%C3%A4=%F0%9F%99%82+%2B&N=%00&Bad=%FF".encode()
        + b"&\xff"
    )
    append(database_url, [event("", body=body, token="0f9a-token")])  # an idempotency token
    with answering(database_url) as client:
        (told,) = get(client, f"/api/messages/{SID}/events")["events"]
    assert told["params"] == {
        "MessageSid": SID,
        "MessageStatus": "sent",
        "X": ["2", "", "1"],
        "Blank": "",
        "ä": "🙂 +",
        "N": "\0",
        "Bad": "\ufffd",
        "\ufffd": "",
    }
    assert base64.b64decode(told["body_base64"]) == body
    assert told["body"] is None
    assert told["signature_fingerprint"] == hashlib.sha256(b"c2lnbmF0dXJl").hexdigest()[:16]
    assert "c2lnbmF0dXJl" not in json.dumps(told)
    assert told["idempotency_token"] == "0f9a-token"
    assert told["key_id"] == f"{ACCOUNT}/0123abcd"
    assert told["url"] == "https://status.example.com/webhooks/twilio/status?tenant=7"
    assert (told["source"], told["channel"], told["from"], told["to"]) == ("callback", "sms", None, None)


def test_a_body_that_is_text_is_told_as_text(client: TestClient[Litestar]) -> None:
    """So that a person can read it without a tool."""
    told = get(client, f"/api/messages/{SID}/events")["events"][0]
    assert told["body"].startswith(f"AccountSid={ACCOUNT}&MessageSid={SID}&MessageStatus=queued&")
    assert base64.b64decode(told["body_base64"]).decode() == told["body"]


@pytest.mark.parametrize("suffix", ["", "/events"])
@pytest.mark.parametrize(
    ("sid", "query", "status", "detail"),
    [
        pytest.param(UNKNOWN, {}, 404, f"Nothing is known of {UNKNOWN}.", id="unknown"),
        pytest.param(
            UNKNOWN, {"as_of": "2026-03-01T12:00:00Z"}, 404, f"Nothing is known of {UNKNOWN}.", id="unknown then"
        ),
        pytest.param(
            SID,
            {"as_of": "2026-03-01T11:59:59.999999Z"},
            404,
            f"Nothing was known of {SID} at 2026-03-01T11:59:59.999999Z: its first event is of 2026-03-01T12:00:00Z.",
            id="not yet known",
        ),
        pytest.param(
            SID,
            {"as_of": "2026-03-01T11:00:00Z", "clock": "happened"},
            404,
            f"Nothing had happened to {SID} at 2026-03-01T11:00:00Z: its first event is of 2026-03-01T12:00:00Z.",
            id="not yet happened",
        ),
        pytest.param(
            SID[:-1], {}, 400, "This is no message SID: expected SM or MM and 32 hexadecimal digits.", id="short"
        ),
        pytest.param(SID + "\n", {}, 400, "This is no message SID", id="newline"),
        pytest.param("CA" + "1" * 32, {}, 400, "This is no message SID", id="a call"),
        pytest.param("SM" + "g" * 32, {}, 400, "This is no message SID", id="no hexadecimal"),
        pytest.param("SM" + "\0" * 32, {}, 400, "This is no message SID", id="NUL"),
        pytest.param("x" * 5000, {}, 400, "This is no message SID", id="long"),
        pytest.param(
            SID, {"as_of": "yesterday"}, 400, "as_of: expected an RFC 3339 time with its offset", id="no time"
        ),
        pytest.param(SID, {"as_of": ""}, 400, "as_of: expected an RFC 3339 time", id="empty"),
        pytest.param(SID, {"as_of": "2026-03-01"}, 400, "as_of: expected an RFC 3339 time", id="only a date"),
        pytest.param(SID, {"as_of": "2026-03-01T12:00:00"}, 400, "as_of: expected an RFC 3339 time", id="no offset"),
        pytest.param(SID, {"as_of": "1772366400"}, 400, "as_of: expected an RFC 3339 time", id="seconds"),
        pytest.param(SID, {"as_of": "2026-02-30T12:00:00Z"}, 400, "as_of: there is no such time", id="30 February"),
        pytest.param(
            SID, {"as_of": "0001-01-01T00:00:00+01:00"}, 400, "as_of: there is no such time", id="before the first"
        ),
        pytest.param(SID, {"as_of": "2026-03-01T12:00:00Z\0"}, 400, "as_of: expected", id="NUL in a time"),
        pytest.param(SID, {"as_of": "2099-01-01T00:00:00Z"}, 400, "as_of: lies in the future", id="2099"),
        pytest.param(SID, {"account_sid": "AC1"}, 400, "account_sid: expected AC and 32", id="no account"),
        pytest.param(SID, {"account_sid": "AC" + "9" * 32}, 404, f"Nothing is known of {SID}.", id="another account"),
        pytest.param(SID, {"clock": "wall"}, 400, "clock: expected known or happened.", id="no clock"),
        pytest.param(
            SID, {"asof": "x"}, 400, "There is no query parameter 'asof' here; there are account_sid, ", id="misspelt"
        ),
        pytest.param(SID, {"as_of": ["x", "y"]}, 400, "as_of: is given more than once.", id="twice"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(  # one a column of the table
    client: TestClient[Litestar], suffix: str, sid: str, query: dict[str, str], status: int, detail: str
) -> None:
    """RFC 9457, with a detail that says what is wrong, the same for the state and the history."""
    path = "".join(f"%{ord(character):02X}" if character < "!" else character for character in sid)
    response = client.get(f"/api/messages/{path}{suffix}", params=query)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"].startswith(detail)
    titles = {400: "Bad Request", 404: "Not Found"}
    assert problem | {"detail": ""} == {"type": "about:blank", "title": titles[status], "status": status, "detail": ""}
    assert response.status_code == status


def test_the_list_and_the_message_agree(database_url: str) -> None:
    """Once the projector has caught up, the table gives the very answer that the log gives."""
    append(database_url, [*HISTORY, event("queued", 2, OTHER)])
    project(database_url)
    with answering(database_url) as client:
        listed = {each["message_sid"]: each for each in get(client, "/api/messages")["messages"]}
        assert listed == {sid: get(client, f"/api/messages/{sid}") for sid in (SID, OTHER)}
