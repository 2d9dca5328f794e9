"""``POST /webhooks/twilio/status``: the table of requests and answers, against a real server on a real PostgreSQL."""

from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from tests.database import PostgresForTests
from tests.serving import ACCOUNT_SID, FORM, PATH, TOKEN, Tracker, callback, message_sid, running_tracker, sign

OTHER_ACCOUNT = "AC" + "f" * 32


@pytest.fixture(scope="module")
def module_database_url(postgres: PostgresForTests) -> Iterator[str]:
    """One database for the whole table."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def tracker(module_database_url: str) -> Iterator[Tracker]:
    """One server for the whole table; it accepts two tokens of its account and another account's."""
    with running_tracker(
        module_database_url,
        TWILIO_AUTH_TOKEN=f"{TOKEN},older",
        TWILIO_AUTH_TOKENS=f'{{"{OTHER_ACCOUNT}": ["other"]}}',
        TWILIO_SHARED_KEYS='{"WK1": "shared"}',
    ) as tracker:
        yield tracker


@pytest.fixture
def log(module_database_url: str) -> Iterator[psycopg.Connection]:
    """A look into the database."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


def stored(log: psycopg.Connection, sid: str) -> int:
    """How many events a message has."""
    row = log.execute("SELECT count(*) FROM events WHERE message_sid = %s", [sid]).fetchone()
    assert row is not None
    return row[0]


def test_verified_callback_is_answered_with_empty_twiml_and_kept_with_its_evidence(
    tracker: Tracker, log: psycopg.Connection
) -> None:
    """200 text/xml with an empty Response; the event holds the exact bytes, the URL, the signature and which key verified it."""
    params = callback("delivered", message_sid(10), RawDlrDoneDate="2611231501", Undocumented="ä+&=\0 %41")
    answer = tracker.post(params, query="campaign=7&x=%20y", i_twilio_idempotency_token="token-1")
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, "text/xml", "<Response/>")
    row = log.execute(
        "SELECT position, source, status, raw_dlr_done_date, url, body, signature, idempotency_token, key_id, account_sid"
        " FROM events WHERE message_sid = %s",
        [params["MessageSid"]],
    ).fetchone()
    assert row is not None
    url = f"{tracker.webhook_url}?campaign=7&x=%20y"
    assert row[1:] == (
        "callback", "delivered", "2611231501", url, urlencode(params).encode(), sign(url, list(params.items())), "token-1",
        row[8], ACCOUNT_SID,
    )  # fmt: skip
    assert row[8].startswith(f"{ACCOUNT_SID}/")
    assert TOKEN not in row[8]


@pytest.mark.parametrize(
    ("sid", "more"),
    [
        (message_sid(20), {"To": "+14155550100"}),
        (message_sid(21, "MM"), {"To": "+14155550100"}),
        (message_sid(22), {"From": "whatsapp:+14155550199", "To": "whatsapp:+447700900123", "ChannelPrefix": "whatsapp",
                           "ChannelInstallSid": "XE" + "0" * 32, "EventType": "READ", "ChannelToAddress": "+44770090XXXX"}),
        (message_sid(23), {"From": "rcs:brand_agent", "To": "rcs:+4915112345678", "ChannelPrefix": "rcs"}),
    ],
    ids=["sms", "mms", "whatsapp", "rcs"],
)  # fmt: skip
def test_every_channel_is_taken(tracker: Tracker, log: psycopg.Connection, sid: str, more: dict[str, str]) -> None:
    """SMS, MMS, WhatsApp and RCS callbacks become events of their channel."""
    assert tracker.post(callback("sent", sid, **more)).status_code == HTTPStatus.OK
    row = log.execute("SELECT channel FROM events WHERE message_sid = %s", [sid]).fetchone()
    assert row == (
        {"whatsapp": "whatsapp", "rcs": "rcs"}.get(more.get("ChannelPrefix", ""), "mms" if sid[:2] == "MM" else "sms"),
    )


def test_duplicates_and_unknown_statuses_are_events_too(tracker: Tracker, log: psycopg.Connection) -> None:
    """Saying it twice is part of the history, and so is a status that nobody knows."""
    sid = message_sid(30)
    for status in ("sent", "sent", "teleported"):
        assert tracker.post(callback(status, sid)).status_code == HTTPStatus.OK
    assert stored(log, sid) == 3


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"CallSid": "CA1", "CallStatus": "completed", "AccountSid": ACCOUNT_SID}, "no_message_sid"),
        ({"MessageSid": "SM123", "MessageStatus": "sent", "AccountSid": ACCOUNT_SID}, "invalid_message_sid"),
        (
            {"MessageSid": message_sid(1) + "\0", "MessageStatus": "sent", "AccountSid": ACCOUNT_SID},
            "invalid_message_sid",
        ),
        ({"MessageSid": message_sid(1), "AccountSid": ACCOUNT_SID}, "no_status"),
        ({"MessageSid": message_sid(1), "MessageStatus": "x" * 65, "AccountSid": ACCOUNT_SID}, "invalid_status"),
    ],
    ids=["voice", "no sid", "sid with NUL", "no status", "endless status"],
)
def test_signed_requests_that_are_no_message_status_are_set_aside(
    tracker: Tracker, log: psycopg.Connection, params: dict[str, str], reason: str
) -> None:
    """The same 200, nothing in the log, and the whole request in the quarantine with its reason."""
    before = log.execute("SELECT count(*) FROM quarantined_callbacks WHERE reason = %s", [reason]).fetchone()
    counted = tracker.metric('tracker_callbacks_total{result="quarantined"}')
    assert tracker.post(params).status_code == HTTPStatus.OK
    after = log.execute("SELECT count(*) FROM quarantined_callbacks WHERE reason = %s", [reason]).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] == before[0] + 1
    assert tracker.metric('tracker_callbacks_total{result="quarantined"}') == counted + 1


@pytest.mark.parametrize(
    ("headers", "result"),
    [
        ({"x_twilio_signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, "bad_signature"),
        ({"x_twilio_signature": ""}, "no_signature"),
        ({"x_twilio_signature": "\xff" * 28}, "bad_signature"),
        (
            {"x_twilio_signature": "x", "x_twilio_webhooks_signature_settings": "key=WK2,algorithm=HMAC_SHA256"},
            "bad_signature",
        ),
    ],
)
def test_forged_callbacks_get_403_and_leave_nothing(
    tracker: Tracker, log: psycopg.Connection, headers: dict[str, str], result: str
) -> None:
    """A missing or wrong signature: a problem that says nothing more, counted by reason, no event."""
    sid = message_sid(40)
    counted = tracker.metric(f'tracker_callbacks_total{{result="{result}"}}')
    answer = tracker.client.post(
        PATH,
        content=urlencode(callback("delivered", sid)),
        headers={b"content-type": FORM.encode()}
        | {k.replace("_", "-").encode(): v.encode("latin-1") for k, v in headers.items()},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert answer.json()["detail"] == "The request is not signed by an account that this server knows."
    assert stored(log, sid) == 0
    assert tracker.metric(f'tracker_callbacks_total{{result="{result}"}}') == counted + 1


def test_a_replay_with_changes_gets_403(tracker: Tracker, log: psycopg.Connection) -> None:
    """A true signature over other parameters, another URL, or another account's token does not help."""
    sid = message_sid(41)
    params = callback("undelivered", sid)
    signature = sign(tracker.webhook_url, list(params.items()))
    changed = callback("delivered", sid)
    assert tracker.post(changed, x_twilio_signature=signature).status_code == HTTPStatus.FORBIDDEN
    assert tracker.post(params, query="a=b", x_twilio_signature=signature).status_code == HTTPStatus.FORBIDDEN
    foreign = sign(tracker.webhook_url, list(params.items()), "other")
    assert tracker.post(params, x_twilio_signature=foreign).status_code == HTTPStatus.FORBIDDEN
    assert stored(log, sid) == 0


@pytest.mark.parametrize(
    ("account_sid", "token", "answer"),
    [
        (ACCOUNT_SID, "older", 200),
        (OTHER_ACCOUNT, "other", 200),
        (OTHER_ACCOUNT, TOKEN, 403),
        ("AC" + "9" * 32, TOKEN, 200),
    ],
    ids=["older token", "own token of a subaccount", "main token for a subaccount", "unlisted account"],
)
def test_each_account_is_verified_with_its_own_tokens(
    tracker: Tracker, account_sid: str, token: str, answer: int
) -> None:
    """Every token in force is accepted for its account; the main account's stands in for accounts that are not listed."""
    params = callback("sent", message_sid(50), AccountSid=account_sid)
    signature = sign(tracker.webhook_url, list(params.items()), token)
    assert tracker.post(params, x_twilio_signature=signature).status_code == answer


def test_a_shared_key_verifies_with_hmac_sha256(tracker: Tracker) -> None:
    """The settings header names the key and the algorithm, and twilio's own library signs the same."""
    params = callback("sent", message_sid(51))
    signature = RequestValidator("shared").compute_signature(tracker.webhook_url, params, algorithm="HMAC_SHA256")
    settings_header = {"x_twilio_webhooks_signature_settings": "key=WK1,algorithm=HMAC_SHA256"}
    assert tracker.post(params, x_twilio_signature=signature, **settings_header).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_encoding": "gzip"}, 415),
        ({"content_encoding": "identity, gzip"}, 415),
        ({"content_type": "application/x-www-form-urlencoded; charset=utf-16"}, 415),
        ({"content_type": "application/x-www-form-urlencoded; charset=iso-8859-1"}, 415),
        ({"content_encoding": "identity"}, 200),
        ({"content_type": "application/x-www-form-urlencoded"}, 200),
        ({"content_type": 'Application/X-WWW-form-urlencoded;Charset="UTF-8"'}, 200),
    ],
)
def test_a_form_in_another_coding_is_refused(tracker: Tracker, headers: dict[str, str], status: int) -> None:
    """415 for a signed callback whose headers claim that its bytes mean something else than they seem to."""
    assert tracker.post(callback("sent", message_sid(90)), **headers).status_code == status


@pytest.mark.parametrize(
    ("content", "media_type", "status", "result"),
    [
        (b"a=" + b"b" * 65_536, FORM, 413, "too_large"),
        (b"{}", "application/json", 415, "bad_media_type"),
        (b"a=b", None, 415, "bad_media_type"),
        (b"a=b", "multipart/form-data; boundary=x", 415, "bad_media_type"),
    ],
)
def test_wrong_sizes_and_media_types_are_refused_and_counted(
    tracker: Tracker, content: bytes, media_type: str | None, status: int, result: str
) -> None:
    """413 over 64 KiB, 415 for anything that is no form, each counted."""
    counted = tracker.metric(f'tracker_callbacks_total{{result="{result}"}}')
    headers = {"content-type": media_type} if media_type else {}
    answer = tracker.client.post(PATH, content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert tracker.metric(f'tracker_callbacks_total{{result="{result}"}}') == counted + 1


def test_a_body_of_exactly_64_kib_is_taken_whether_announced_or_chunked(
    tracker: Tracker, log: psycopg.Connection
) -> None:
    """The limit is a limit, not one less; a chunked body has no announced length."""
    sid = message_sid(60)
    params = list(callback("sent", sid, Filler="").items())
    filler = 65_536 - len(urlencode(params))
    params = [(name, "x" * filler if name == "Filler" else value) for name, value in params]
    body = urlencode(params).encode()
    assert len(body) == 65_536
    headers = {"content-type": FORM, "x-twilio-signature": sign(tracker.webhook_url, params)}
    assert tracker.client.post(PATH, content=body, headers=headers).status_code == HTTPStatus.OK
    assert tracker.client.post(PATH, content=iter([body[:7], body[7:]]), headers=headers).status_code == HTTPStatus.OK
    over = tracker.client.post(PATH, content=iter([body, b"x"]), headers=headers)
    assert over.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert stored(log, sid) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_get_405(tracker: Tracker, method: str) -> None:
    """Status callbacks are posted."""
    answer = tracker.client.request(method, PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_ten_thousand_parameters_and_a_long_url_are_taken(tracker: Tracker, log: psycopg.Connection) -> None:
    """What is signed is kept, however odd, as long as it fits into the size limit."""
    sid = message_sid(70)
    params = [*callback("sent", sid).items(), *((f"p{number:x}", "") for number in range(9_000))]
    query = "x=" + "y" * 3_900
    assert tracker.post(params, query=query).status_code == HTTPStatus.OK
    assert stored(log, sid) == 1


def test_repeated_parameters_are_signed_sorted_and_once(tracker: Tracker, log: psycopg.Connection) -> None:
    """As twilio's library signs them; the body keeps all of them in their order."""
    sid = message_sid(71)
    params = [*callback("sent", sid).items(), ("Tag", "b"), ("Tag", "a"), ("Tag", "b")]
    assert tracker.post(params).status_code == HTTPStatus.OK
    row = log.execute("SELECT body FROM events WHERE message_sid = %s", [sid]).fetchone()
    assert row == (urlencode(params).encode(),)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extra=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=5),
    status=st.text(max_size=80),
    sid=st.one_of(st.just(message_sid(80)), st.text(max_size=40)),
)
def test_whatever_is_signed_is_kept(
    tracker: Tracker, log: psycopg.Connection, extra: dict[str, str], status: str, sid: str
) -> None:
    """Signed, in any words: 200, and one more row in the log or in the quarantine. Never a 4xx, never a 500."""

    def kept() -> int:
        row = log.execute(
            "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM quarantined_callbacks)"
        ).fetchone()
        assert row is not None
        return row[0]

    before = kept()
    params = {**extra, "MessageSid": sid, "MessageStatus": status, "AccountSid": ACCOUNT_SID}
    assert tracker.post(params).status_code == HTTPStatus.OK
    assert kept() == before + 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    media_type=st.sampled_from([FORM, "text/plain", ""]),
    signature=st.binary(min_size=1, max_size=40),
)
def test_whatever_is_not_signed_gets_a_4xx_problem(
    tracker: Tracker, body: bytes, media_type: str, signature: bytes
) -> None:
    """Any bytes at all: a problem with a 4xx status, never a 500, never a row."""
    header = bytes(byte if byte > 0x20 else 0x30 for byte in signature)  # what a client can put on the wire
    answer = tracker.client.post(
        PATH, content=body, headers={b"content-type": media_type.encode(), b"x-twilio-signature": header}
    )
    assert answer.status_code in {400, 403, 415}
