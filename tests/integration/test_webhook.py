"""``POST /webhooks/twilio/status``: the table of requests and answers, against a real server on a real PostgreSQL."""

import base64
import json
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from tests.durability.clients import answer, connections
from tests.support.database import PostgresForTests
from tests.support.events import message_sid
from tests.support.serving import ACCOUNT_SID, FORM, PATH, TOKEN, Tracker, callback, running_tracker, sign

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
        TWILIO_SHARED_KEYS=json.dumps({"WK1": "shared", "WK2": {"secret": "two", "accounts": [OTHER_ACCOUNT]}}),
    ) as tracker:
        yield tracker


@pytest.fixture
def log(module_database_url: str) -> Iterator[psycopg.Connection]:
    """A look into the database."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


def number_of_events(log: psycopg.Connection) -> int:
    """In the whole log."""
    row = log.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None
    return row[0]


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
        (
            {"MessageSid": message_sid(1, "IM"), "MessageStatus": "sent", "AccountSid": ACCOUNT_SID},
            "invalid_message_sid",
        ),
        ({"MessageSid": message_sid(1), "AccountSid": ACCOUNT_SID}, "no_status"),
        ({"MessageSid": message_sid(2), "SmsStatus": "received", "Body": "STOP", "OptOutType": "STOP"}, "opt_out"),
        (callback("sent", message_sid(3), Note=f"MessageSid{message_sid(4)}"), "ambiguous"),
        ({"MessageSid": message_sid(1) + "\0", "MessageStatus": "sent", "AccountSid": ACCOUNT_SID}, "ambiguous"),
        ({"MessageSid": message_sid(1), "MessageStatus": "x" * 65, "AccountSid": ACCOUNT_SID}, "ambiguous"),
    ],
    ids=["voice", "other sid", "no status", "opt-out", "hidden name", "sid with NUL", "endless status"],
)
def test_signed_requests_that_are_no_message_status_are_set_aside(
    tracker: Tracker, log: psycopg.Connection, params: dict[str, str], reason: str
) -> None:
    """The same 200, nothing in the log, the whole request in the quarantine with its reason, and counted by it."""
    of_reason = f'tracker_quarantined_callbacks_total{{reason="{reason}"}}'
    counted_by_reason, events = tracker.metric(of_reason), number_of_events(log)
    before = log.execute("SELECT count(*) FROM quarantined_callbacks WHERE reason = %s", [reason]).fetchone()
    counted = tracker.metric('tracker_callbacks_total{result="quarantined"}')
    assert tracker.post(params).status_code == HTTPStatus.OK
    after = log.execute("SELECT count(*) FROM quarantined_callbacks WHERE reason = %s", [reason]).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] == before[0] + 1
    assert tracker.metric('tracker_callbacks_total{result="quarantined"}') == counted + 1
    assert tracker.metric(of_reason) == counted_by_reason + 1
    assert number_of_events(log) == events


def test_an_inbound_message_is_an_event(tracker: Tracker, log: psycopg.Connection) -> None:
    """It has the legacy status only, and a body."""
    sid = message_sid(32)
    params = {
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "MessageSid": sid,
        "SmsStatus": "received",
        "Body": "hi",
        "NumMedia": "0",
    }
    assert tracker.post(params | {"AccountSid": ACCOUNT_SID, "From": "+14155550199"}).status_code == HTTPStatus.OK
    assert log.execute("SELECT status FROM events WHERE message_sid = %s", [sid]).fetchall() == [("received",)]


def test_a_body_without_an_account_belongs_to_the_keys(tracker: Tracker, log: psycopg.Connection) -> None:
    """And one in capitals to the account that has them in small letters."""
    for number, params in enumerate(({}, {"AccountSid": "AC" + ACCOUNT_SID[2:].upper()}), start=33):
        sid = message_sid(number)
        assert tracker.post({"MessageSid": sid, "MessageStatus": "sent"} | params).status_code == HTTPStatus.OK
        row = log.execute("SELECT account_sid FROM events WHERE message_sid = %s", [sid]).fetchone()
        assert row == (ACCOUNT_SID,)


def test_a_read_name_in_the_query_makes_a_callback_ambiguous(tracker: Tracker, log: psycopg.Connection) -> None:
    """What follows it in the body may have been its value."""
    assert tracker.post(callback("sent", message_sid(35)), query="x=MessageSid").status_code == HTTPStatus.OK
    assert stored(log, message_sid(35)) == 0


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
        (
            {
                "x_twilio_signature": "A" * 43 + "=",
                "x_twilio_webhooks_signature_settings": "key=WK1,algorithm=HMAC_SHA256",
            },
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


@pytest.mark.parametrize(
    ("account_sid", "counted"),
    [
        (ACCOUNT_SID, "configured"),
        (OTHER_ACCOUNT.upper(), "configured"),
        ("AC" + "9" * 32, "other"),
        ("", "other"),
    ],
)
def test_refused_requests_are_counted_by_whether_their_account_is_ours(
    tracker: Tracker, account_sid: str, counted: str
) -> None:
    """One that names an account of the settings is more likely a wrong setting than a forgery."""
    samples = {each: f'tracker_refused_callbacks_total{{account="{each}"}}' for each in ("configured", "other")}
    before = {each: tracker.metric(sample) for each, sample in samples.items()}
    params = callback("sent", AccountSid=account_sid)
    assert tracker.post(params, x_twilio_signature="A" * 27 + "=").status_code == HTTPStatus.FORBIDDEN
    after = {each: tracker.metric(sample) - before[each] for each, sample in samples.items()}
    assert after == {"configured": 0, "other": 0} | {counted: 1}


def test_white_space_around_a_signature_does_not_count(tracker: Tracker, log: psycopg.Connection) -> None:
    """It is not part of a header's value (RFC 9110); the evidence has the signature without it."""
    params = callback("sent", message_sid(42))
    body, signature = urlencode(params), sign(tracker.webhook_url, list(params.items()))
    for sent, status in (
        (f"{signature} \t ", b"200"),
        (f"\t{signature}", b"200"),
        (f"{signature} =", b"403"),
        (" \t", b"403"),
    ):
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{tracker.port}\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}Connection: close\r\nX-Twilio-Signature: {sent}\r\n\r\n{body}"
        with connections(tracker, 1, request.encode()) as (client,):
            assert answer(client).split()[1] == status
    rows = log.execute("SELECT signature FROM events WHERE message_sid = %s", [message_sid(42)]).fetchall()
    assert rows == [(signature,)] * 2


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
        (OTHER_ACCOUNT.upper(), TOKEN, 403),
        (OTHER_ACCOUNT.upper(), "other", 200),
        ("AC" + "9" * 32, TOKEN, 200),
        ("AC" + "9" * 32, "other", 403),
        (ACCOUNT_SID, "other", 403),
    ],
    ids=[
        *("older token", "own token of a subaccount", "main token for a subaccount", "main token, capitals"),
        *("own token, capitals", "unlisted account", "subaccount's token, unlisted", "subaccount's token, main"),
    ],
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
    ("key_id", "secret", "account_sid", "answer"),
    [
        ("WK1", "shared", OTHER_ACCOUNT, 403),
        ("WK1", "shared", "AC" + "9" * 32, 403),
        ("WK2", "two", OTHER_ACCOUNT, 200),
        ("WK2", "two", ACCOUNT_SID, 403),
    ],
)
def test_a_shared_key_speaks_for_its_accounts_only(
    tracker: Tracker, key_id: str, secret: str, account_sid: str, answer: int
) -> None:
    """Those named with it; without any, the main account."""
    params = callback("sent", message_sid(52), AccountSid=account_sid)
    signature = sign(tracker.webhook_url, list(params.items()), secret)
    header = {"x_twilio_webhooks_signature_settings": f"key={key_id}"}
    assert tracker.post(params, x_twilio_signature=signature, **header).status_code == answer


@pytest.mark.parametrize(
    ("content", "media_type", "status", "result"),
    [
        (b"a=" + b"b" * 65_536, FORM, 413, "too_large"),
        (b"{}", "application/json", 415, "bad_media_type"),
        (b"a=b", None, 415, "bad_media_type"),
        (b"a=b", "multipart/form-data; boundary=x", 415, "bad_media_type"),
        (b"a=b", "application/x-www-form-urlencoded; charset=utf-16", 415, "bad_media_type"),
        (b"&" * 201, FORM, 413, "too_many_parameters"),
        (b"#" * 257, FORM, 413, "too_many_parameters"),
        (b"&" * 200 + b"#" * 256, FORM, 403, "bad_signature"),
        (b"a=b", "Application/X-WWW-Form-Urlencoded ; Charset=UTF-8", 403, "bad_signature"),
    ],
)
def test_wrong_sizes_and_media_types_are_refused_and_counted(
    tracker: Tracker, content: bytes, media_type: str | None, status: int, result: str
) -> None:
    """413 over 64 KiB or 200 separators, 415 for anything that is no form, each counted."""
    counted = tracker.metric(f'tracker_callbacks_total{{result="{result}"}}')
    headers = {"x-twilio-signature": "A" * 27 + "="} | ({"content-type": media_type} if media_type else {})
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


@pytest.mark.parametrize(("encoding", "answer"), [("gzip", 415), ("identity", 200)])
def test_a_compressed_body_is_refused(tracker: Tracker, encoding: str, answer: int) -> None:
    """Its bytes are not what was signed."""
    assert tracker.post(callback("sent", message_sid(53)), content_encoding=encoding).status_code == answer


def test_200_separators_and_a_long_url_are_taken(tracker: Tracker, log: psycopg.Connection) -> None:
    """One more is refused before the signature is looked at."""
    sid = message_sid(70)
    usual = list(callback("sent", sid).items())
    params = [*usual, *((f"p{number:x}", "") for number in range(201 - len(usual)))]
    query = "x=" + "y" * 3_900
    assert tracker.post(params, query=query).status_code == HTTPStatus.OK
    assert tracker.post([*params, ("q", "")], query=query).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert stored(log, sid) == 1


def test_a_replay_is_stored_twenty_times_and_then_counted(tracker: Tracker, log: psycopg.Connection) -> None:
    """The first and twenty repetitions are in the log; the next is answered in the same way and is not. Another body, or the same for
    another URL, is another callback."""
    sid = message_sid(72)
    repeated = 'tracker_callbacks_total{result="repeated"}'
    params, before = callback("sent", sid), tracker.metric(repeated)
    for number in range(1, 22):
        assert tracker.post(params).status_code == HTTPStatus.OK
        assert stored(log, sid) == number
    assert tracker.metric(repeated) == before
    for _ in range(2):
        taken = tracker.post(params, i_twilio_idempotency_token="another")
        assert (taken.status_code, taken.text) == (200, "<Response/>")
    assert stored(log, sid) == 21
    assert tracker.metric(repeated) == before + 2
    assert tracker.post(params, query="a=b").status_code == HTTPStatus.OK
    assert tracker.post(list(reversed(params.items()))).status_code == HTTPStatus.OK
    assert stored(log, sid) == 23


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
    body=st.binary(max_size=300)
    | st.dictionaries(st.sampled_from(["AccountSid", "MessageSid", "MessageStatus"]), st.text()).map(
        lambda params: urlencode({"AccountSid": ACCOUNT_SID} | params).encode()
    ),
    media_type=st.sampled_from([FORM, "text/plain", ""]),
    signature=st.binary(min_size=1, max_size=40) | st.binary(min_size=20, max_size=20).map(base64.b64encode),
)
def test_whatever_is_not_signed_gets_a_4xx_problem(
    tracker: Tracker, log: psycopg.Connection, body: bytes, media_type: str, signature: bytes
) -> None:
    """Any bytes at all: a problem with a 4xx status, never a 500, never a row."""

    def kept() -> tuple[int, int]:
        row = log.execute(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM quarantined_callbacks)"
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    before = kept()
    header = bytes(byte if byte > 0x20 else 0x30 for byte in signature)  # what a client can put on the wire
    answer = tracker.client.post(
        PATH, content=body, headers={b"content-type": media_type.encode(), b"x-twilio-signature": header}
    )
    assert answer.status_code in {400, 403, 415}
    if answer.status_code != HTTPStatus.BAD_REQUEST:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
    assert kept() == before
