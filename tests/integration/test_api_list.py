"""``/api/messages``: filters, order, pages, and how the database finds them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, append, at, event
from tests.support.projector import project
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query

SUBACCOUNT = "AC" + "b" * 32
MESSAGES = 4000
"""Enough that walking all of them costs more than using an index."""

STATUSES = ("delivered", "delivered", "delivered", "sent", "undelivered", "failed", "read", "queued")


class Listed(NamedTuple):
    """A message of the database under test, as its one event made it."""

    sid: str
    second: int
    status: str
    error_code: str | None
    account: str
    to: str
    sender: str


def listed(number: int) -> Listed:
    """The message with this number. Always two come at the same moment; one in a hundred is of a rare status."""
    status = "canceled" if number % 100 == 99 else STATUSES[number % len(STATUSES)]
    return Listed(
        f"SM{number * 7919 % MESSAGES:032x}",
        number // 2,
        status,
        "30003" if status == "undelivered" else "30008" if status == "failed" else None,
        SUBACCOUNT if number % 10 == 0 else ACCOUNT,
        f"+1555867{number % 1000:04}",
        "ACME 7" if number % 5 == 0 else f"+1555712{number % 50:04}",
    )


ALL = sorted((listed(number) for number in range(MESSAGES)), key=lambda each: (each.second, each.sid), reverse=True)
"""Newest first, as the list has them."""


@pytest.fixture(scope="module")
def messages_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database with ``ALL``, projected."""
    with postgres.database() as url:
        append(
            url,
            [
                event(
                    each.status,
                    each.second,
                    each.sid,
                    ErrorCode=each.error_code,
                    AccountSid=each.account,
                    To=each.to,
                    From=each.sender,
                )
                for each in ALL
            ],
        )
        project(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE message_state")
        yield url


@pytest.fixture(scope="module")
def client(messages_url: str) -> Iterator[TestClient[Litestar]]:
    """A server that answers from it."""
    with answering(messages_url) as client:
        yield client


def get(client: TestClient[Litestar], **query: Any) -> Any:
    """The page that must be there."""
    response = client.get("/api/messages", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def walk(client: TestClient[Litestar], limits: Iterator[int], **query: Any) -> list[str]:
    """The SIDs of all pages, each with the next limit."""
    sids: list[str] = []
    cursor: str | None = None
    while True:
        limit = next(limits)
        page = get(client, **query, limit=limit, **({} if cursor is None else {"cursor": cursor}))
        assert len(page["messages"]) <= limit
        sids += [each["message_sid"] for each in page["messages"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return sids
        assert len(page["messages"]) == limit


def test_the_newest_fifty_come_first(client: TestClient[Litestar]) -> None:
    """Without any parameter: by the time of the first event, then by SID, both falling."""
    page = get(client)
    assert [each["message_sid"] for each in page["messages"]] == [each.sid for each in ALL[:50]]
    assert page["next_cursor"] is not None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"status": "failed"}, lambda m: m.status == "failed", id="status"),
        pytest.param({"status": " FAILED "}, lambda m: m.status == "failed", id="status in Event Streams' spelling"),
        pytest.param({"status": ["failed", "read"]}, lambda m: m.status in {"failed", "read"}, id="status repeated"),
        pytest.param(
            {"status": "failed,read,failed"}, lambda m: m.status in {"failed", "read"}, id="status with commas"
        ),
        pytest.param(
            {"status": "undelivered,failed"},
            lambda m: m.status in {"undelivered", "failed"},
            id="two statuses at one moment",
        ),
        pytest.param({"status": "scheduled"}, lambda _: False, id="a known status that nothing has"),
        pytest.param({"error_code": "30003"}, lambda m: m.error_code == "30003", id="error_code"),
        pytest.param({"account_sid": SUBACCOUNT}, lambda m: m.account == SUBACCOUNT, id="account_sid"),
        pytest.param({"to": "+15558670042"}, lambda m: m.to == "+15558670042", id="to"),
        pytest.param({"to": " 15558670042"}, lambda m: m.to == "+15558670042", id="to with a lost plus"),
        pytest.param({"to": "+1 (555) 867-0042"}, lambda m: m.to == "+15558670042", id="to in another spelling"),
        pytest.param({"to": "0015558670042"}, lambda m: m.to == "+15558670042", id="to as it is dialled"),
        pytest.param({"to": "15558670042"}, lambda m: m.to == "+15558670042", id="to without its plus"),
        pytest.param({"to": "+15558679999"}, lambda _: False, id="a number that nothing went to"),
        pytest.param({"to": "whatsapp:+15558670042"}, lambda _: False, id="a channel that it did not go by"),
        pytest.param({"from": "+1-555-712-0007"}, lambda m: m.sender == "+15557120007", id="from in another spelling"),
        pytest.param(
            {
                "to": "+1 555 867 0010",
                "from": "acme 7".upper(),
                "status": "failed,undelivered,delivered,read,sent,queued",
            },
            lambda m: m.to == "+15558670010" and m.sender == "ACME 7",
            id="to, from and several statuses",
        ),
        pytest.param({"had_error_code": " 30008 "}, lambda m: m.error_code == "30008", id="had_error_code"),
        pytest.param({"country": "us"}, lambda _: False, id="a country that nothing went to"),
        pytest.param({"effect": "decided", "until": "2026-03-01T12:01:00Z"}, lambda m: m.second < 60, id="effect"),
        pytest.param({"effect": "late"}, lambda _: False, id="an effect that nothing had"),
        pytest.param({"has_conflict": "true"}, lambda _: False, id="no conflicts"),
        pytest.param(
            {"has_conflict": "false", "status": "failed"}, lambda m: m.status == "failed", id="without conflicts"
        ),
        pytest.param({"direction": "inbound"}, lambda _: False, id="nothing inbound"),
        pytest.param({"direction": "outbound", "status": "read"}, lambda m: m.status == "read", id="outbound"),
        pytest.param(
            {"account_sid": "ac" + "B" * 32}, lambda m: m.account == SUBACCOUNT, id="account in other letters"
        ),
        pytest.param({"from": "ACME 7"}, lambda m: m.sender == "ACME 7", id="from, a name with a space"),
        pytest.param({"since": "2026-03-01T12:30:00Z"}, lambda m: m.second >= 1800, id="since, inclusive"),
        pytest.param({"until": "2026-03-01T12:00:05Z"}, lambda m: m.second < 5, id="until, exclusive"),
        pytest.param(
            {
                "since": "2026-03-01T13:10:00+01:00",
                "until": "2026-03-01T12:20:00Z",
                "status": "canceled",
                "error_code": "1",
            },
            lambda _: False,
            id="filters that exclude each other",
        ),
        pytest.param(
            {
                "since": "2026-03-01T12:10:00Z",
                "until": "2026-03-01T12:20:00Z",
                "status": "failed,canceled",
                "from": "ACME 7",
            },
            lambda m: 600 <= m.second < 1200 and m.status in {"failed", "canceled"} and m.sender == "ACME 7",
            id="all of them must pass",
        ),
    ],
)
def test_filters(client: TestClient[Litestar], query: dict[str, Any], expected: Any) -> None:
    """Each filter gives exactly the messages that it names, in the order of the list, over all pages."""
    found = walk(client, iter([7] + [1000] * 10), **query)
    assert found == [each.sid for each in ALL if expected(each)]


VARIETY = (
    event("received", 0, "SM" + "1" * 32, To="+15557122661", From="+15558675310", ErrorCode=None),
    event("undelivered", 1, "SM" + "2" * 32, ErrorCode="30003"),
    event("sent", 2, "SM" + "2" * 32),
    event("delivered", 3, "SM" + "2" * 32),
    event("sent", 4, "SM" + "3" * 32, To="whatsapp:+447400123456", MessagingServiceSid="MG" + "a" * 32),
    event("sent", 5, "SM" + "3" * 32, To="whatsapp:+447400123456", MessagingServiceSid="MG" + "a" * 32),
    event("teleported", 6, "SM" + "4" * 32, To="rcs:+447400123456"),
    event("failed", 7, "SM" + "5" * 32, To="whatsapp:US.13491208655302741918", From="whatsapp:sender"),
    event("sent", 8, "SM" + "6" * 32, To="+447400123456"),
)
"""Six messages that differ in what the filters look at."""


@pytest.fixture(scope="module")
def variety(postgres: PostgresForTests) -> Iterator[TestClient[Litestar]]:
    """A server with ``VARIETY``."""
    with postgres.database() as url:
        append(url, VARIETY)
        project(url)
        with answering(url) as client:
            yield client


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"direction": "inbound"}, "1", id="inbound"),
        pytest.param({"direction": "outbound"}, "65432", id="outbound"),
        pytest.param({"direction": "inbound", "status": "received,failed"}, "1", id="inbound, and a status of both"),
        pytest.param({"direction": "outbound", "status": "received"}, "", id="a status of the other direction"),
        pytest.param({"had_error_code": "30003"}, "2", id="a code that decides no more"),
        pytest.param({"error_code": "30003"}, "", id="a code that does not decide"),
        pytest.param({"has_conflict": "true"}, "2", id="conflict"),
        pytest.param({"has_conflict": "FALSE"}, "65431", id="no conflict"),
        pytest.param({"effect": "late"}, "2", id="late"),
        pytest.param({"effect": "corrected"}, "2", id="corrected"),
        pytest.param({"effect": "duplicate"}, "3", id="duplicate"),
        pytest.param({"effect": "unknown"}, "4", id="unknown"),
        pytest.param({"channel": "WhatsApp"}, "53", id="channel"),
        pytest.param({"channel": "sms"}, "621", id="the usual channel"),
        pytest.param({"country": "gb"}, "643", id="country"),
        pytest.param({"messaging_service_sid": "mg" + "A" * 32}, "3", id="service in other letters"),
        pytest.param({"to": "+44 7400 123456"}, "643", id="a number on all channels"),
        pytest.param({"to": "+44 (0)7400 123456", "channel": "rcs"}, "4", id="a number on one channel"),
        pytest.param({"to": "whatsapp:+44 7400 123456"}, "3", id="a number with a prefix"),
        pytest.param({"to": "whatsapp:US.13491208655302741918"}, "5", id="an identity of a channel"),
        pytest.param({"to": "US.13491208655302741918"}, "5", id="an identity without its prefix"),
        pytest.param({"from": "sender"}, "5", id="a sender without its prefix"),
        pytest.param({"status": "teleported"}, "4", id="an unknown status that there is"),
    ],
)
def test_filters_by_what_was_ever_said(variety: TestClient[Litestar], query: dict[str, str], expected: str) -> None:
    """Direction, conflict, codes, effects, channel, country, service, and numbers across channels; newest first."""
    assert [each["message_sid"][-1] for each in get(variety, **query)["messages"]] == list(expected)
    assert "".join(sid[-1] for sid in walk(variety, iter([1] * 8), **query)) == expected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.sampled_from([None, "failed,queued", "delivered"]))
def test_pages_of_any_size_make_the_whole_list(
    client: TestClient[Litestar], limits: list[int], status: str | None
) -> None:
    """Whatever the limits, and changed from page to page: every message once, in order."""
    sizes = iter([*limits, *[500] * 20])
    wanted = ALL if status is None else [each for each in ALL if each.status in status.split(",")]
    assert walk(client, sizes, **({} if status is None else {"status": status})) == [each.sid for each in wanted]


def test_pages_are_stable_under_inserts(database_url: str) -> None:
    """What arrives between two pages moves nothing: all that was there is seen, once."""
    append(database_url, [event("sent", number, f"SM{number:032x}") for number in range(10)])
    project(database_url)
    with answering(database_url) as client:
        first = get(client, limit=4)
        append(
            database_url,
            [
                event("sent", 100, "SM" + "e" * 32),
                event("sent", 3, "SM" + "0" * 32),
                event("delivered", 5.5, "SM" + "d" * 32),
            ],
        )
        project(database_url)
        rest = get(client, limit=1000, cursor=first["next_cursor"])
    seen = [each["message_sid"] for each in first["messages"] + rest["messages"]]
    assert len(seen) == len(set(seen))
    assert seen == [f"SM{number:032x}" for number in (9, 8, 7, 6)] + ["SM" + "d" * 32] + [
        f"SM{number:032x}" for number in range(5, -1, -1)
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("query", [{}, {"status": "sent"}, {"status": "sent,queued"}])
def test_one_sid_and_moment_in_several_accounts(same_moment: TestClient[Litestar], query: Any, limit: int) -> None:
    """Each account's message is on one page, in one order, wherever the pages end; the account of a place may be absent."""
    seen: list[tuple[str, str | None]] = []
    cursor: str | None = None
    while len(seen) == 0 or cursor is not None:
        page = get(same_moment, **query, limit=limit, **({} if cursor is None else {"cursor": cursor}))
        seen += [(each["message_sid"], each["account_sid"]) for each in page["messages"]]
        cursor = page["next_cursor"]
        assert len(seen) <= 5
    accounts = [SUBACCOUNT, ACCOUNT, None]
    assert seen == [
        ("SM" + "2" * 32, ACCOUNT),
        *(("SM" + "1" * 32, each) for each in accounts),
        ("SM" + "0" * 32, ACCOUNT),
    ]


@pytest.fixture(scope="module")
def same_moment(postgres: PostgresForTests) -> Iterator[TestClient[Litestar]]:
    """A server with five messages that were first received in one microsecond, three of them with one SID."""
    with postgres.database() as url:
        owners = [("2", ACCOUNT), ("1", ACCOUNT), ("1", None), ("1", SUBACCOUNT), ("0", ACCOUNT)]
        append(url, [event("sent", 0, "SM" + digit * 32, AccountSid=account) for digit, account in owners])
        project(url)
        with answering(url) as client:
            yield client


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        pytest.param({"limit": "0"}, "limit: Expected `int` >= 1", id="limit 0"),
        pytest.param({"limit": "1001"}, "limit: Expected `int` <= 1000", id="limit 1001"),
        pytest.param({"limit": "9" * 400}, "limit: ", id="limit of 400 digits"),
        pytest.param({"limit": "ten"}, "limit: Expected `int`", id="limit in words"),
        pytest.param({"limit": ["5", "6"]}, "limit: is given more than once.", id="two limits"),
        pytest.param(
            {"cursor": ""}, "cursor: is no next_cursor of this list; start again without it.", id="empty cursor"
        ),
        pytest.param({"cursor": "page2"}, "cursor: is no next_cursor", id="a cursor of another kind"),
        pytest.param({"cursor": "A" * 60}, "cursor: is no next_cursor", id="a cursor of zeros"),
        pytest.param(
            {"cursor": "AAAAAAAPQkBTTTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA3g3Nf"},
            "cursor: is no next_cursor of this list; start again without it.",
            id="a cursor without an account",
        ),
        pytest.param({"cursor": "ü" * 60}, "cursor: is no next_cursor", id="a cursor beyond ASCII"),
        pytest.param({"since": "today"}, "since: expected an RFC 3339 time", id="since"),
        pytest.param({"until": "2026-13-01T00:00:00Z"}, "until: there is no such time", id="until"),
        pytest.param({"status": ""}, "status: is empty; leave it out to see all.", id="no status"),
        pytest.param({"status": "failed,,read"}, "status: is empty", id="two commas"),
        pytest.param({"status": ",".join(map(str, range(40)))}, "status: expected at most 32", id="forty statuses"),
        pytest.param(
            {"status": "x\0"}, "status: expected at most 256 characters, none of them NUL.", id="NUL in status"
        ),
        pytest.param({"to": "\0"}, "to: expected at most 256 characters, none of them NUL.", id="NUL in to"),
        pytest.param({"from": "1" * 4000}, "from: expected at most 256 characters", id="long from"),
        pytest.param({"error_code": ""}, "error_code: expected one code of at most six digits", id="empty error_code"),
        pytest.param(
            {"error_code": "3000300"}, "error_code: expected one code of at most six digits", id="seven digits"
        ),
        pytest.param({"had_error_code": "E3"}, "had_error_code: expected one code", id="a code with a letter"),
        pytest.param({"since": "2099-01-01T00:00:00Z"}, "since: lies in the future", id="2099"),
        pytest.param(
            {"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"},
            "since: is not before until.",
            id="backwards",
        ),
        pytest.param(
            {"status": "delivred"}, "status: no message has “delivred”; Twilio's are accepted", id="misspelt status"
        ),
        pytest.param({"channel": "whatsap"}, "channel: no message has “whatsap”; usual are", id="misspelt channel"),
        pytest.param({"channel": "wh@t"}, "channel: expected a name such as sms", id="no channel"),
        pytest.param({"country": "USA"}, "country: expected an ISO 3166 code of two letters", id="no country"),
        pytest.param({"country": "XX"}, "country: expected an ISO 3166 code of two letters", id="an unknown country"),
        pytest.param({"messaging_service_sid": "MG1"}, "messaging_service_sid: expected MG and 32", id="no service"),
        pytest.param(
            {"effect": "lost"}, "effect: expected decided, late, duplicate, corrected or unknown.", id="effect"
        ),
        pytest.param({"has_conflict": "maybe"}, "has_conflict: expected true or false.", id="has_conflict"),
        pytest.param({"direction": "up"}, "direction: expected inbound or outbound.", id="direction"),
        pytest.param(
            {"to": "15558670042"[1:]}, "to: no message has this address; 5558670042 has no country", id="no plus"
        ),
        pytest.param(
            {"to": "+1555867004"}, "to: no message has this address; +1555867004 has too few digits", id="short"
        ),
        pytest.param(
            {"to": "+1555867OO42"}, "to: no message has this address; this looks like a number with", id="letters"
        ),
        pytest.param({"from": " "}, "from: is empty", id="a blank sender"),
        pytest.param({"account_sid": "AC123"}, "account_sid: expected AC and 32 hexadecimal digits.", id="account_sid"),
        pytest.param(
            {"Status": "failed"}, "There is no query parameter 'Status' here; there are account_sid, ", id="capital"
        ),
        pytest.param({"<script>": "1"}, "There is no query parameter '<script>' here", id="a script"),
    ],
)
def test_what_cannot_be_understood_is_refused(client: TestClient[Litestar], query: dict[str, Any], detail: str) -> None:
    """With a problem that names the parameter and what was expected."""
    response = client.get("/api/messages", params=query)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert response.json()["detail"].startswith(detail)


@given(st.integers(0, 106), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mistyped_cursor_is_refused(client: TestClient[Litestar], place: int, character: str) -> None:
    """A wrong character anywhere is noticed; a page is never quietly that of another place."""
    cursor = get(client, limit=1)["next_cursor"]
    mistyped = cursor[:place] + character + cursor[place + 1 :]
    response = client.get("/api/messages", params={"cursor": mistyped})
    assert response.status_code == (200 if mistyped == cursor else 400)


NO_FILTER: dict[str, Any] = dict.fromkeys(
    [
        *(
            "status",
            "error_code",
            "account_sid",
            "to_address",
            "from_address",
            "since",
            "until",
            "before",
            "before_sid",
            "before_account",
        ),
        *("channel", "country", "messaging_service_sid", "had_error_code", "has_conflict", "effect", "other_than"),
    ]
)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        pytest.param({}, "message_state_newest_idx", id="the newest"),
        pytest.param(
            {"before": at(900), "before_sid": "SM" + "5" * 32, "before_account": ACCOUNT},
            "message_state_newest_idx",
            id="a later page",
        ),
        pytest.param({"since": at(100), "until": at(120)}, "message_state_newest_idx", id="a time window"),
        pytest.param({"error_code": "30003"}, "message_state_error_code_idx", id="an error code"),
        pytest.param({"to_address": "+15558670042"}, "message_state_to_address_idx", id="a recipient"),
        pytest.param({"from_address": "+15550001111"}, "message_state_from_address_idx", id="a sender"),
        pytest.param({"account_sid": "AC" + "9" * 32}, "message_state_account_sid_idx", id="a rare account"),
        pytest.param({"status": "canceled"}, "message_state_status_idx", id="a rare status"),
        pytest.param(
            {"status": "canceled", "before": at(900), "before_sid": "SM", "before_account": ""},
            "message_state_status_idx",
            id="its later page",
        ),
    ],
)
def test_the_list_is_found_by_an_index(messages_url: str, filters: dict[str, Any], index: str) -> None:
    """No page reads the whole table."""
    service = conninfo(messages_url, role=Role.SERVICE, application="tests")
    with psycopg.connect(service, autocommit=True) as connection:
        row = connection.execute(
            b"EXPLAIN (FORMAT JSON) " + query("list_messages"), NO_FILTER | {"limit": 51} | filters, prepare=False
        ).fetchone()
    assert row is not None
    nodes = list(plan_nodes(row[0][0]["Plan"]))
    assert {node.get("Index Name") for node in nodes} - {None} == {index}, json.dumps(row[0])
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}


def plan_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from plan_nodes(below)
