"""The webhook without a server: what refused requests cost, what is remembered, and what is logged."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlencode

import pytest
from litestar.types import Receive, Scope, Send
from structlog.testing import capture_logs

from tests.support.events import message_sid
from tests.support.serving import ACCOUNT_SID, FORM, PATH, TOKEN, callback, sign
from tracker.errors import DatabaseUnavailableError
from tracker.log.appender import Appender
from tracker.log.event_store import Kept
from tracker.log.record import Record
from tracker.twilio.keyring import Keyring
from tracker.web.public_url import PublicUrl
from tracker.web.summary_log import SUMMARY_SECONDS
from tracker.web.telemetry.shared_counters import WebStats, shared_memory
from tracker.web.webhook import Webhook

BASE_URL = "https://status.example.com"
URL = BASE_URL + PATH
FORGED = b"A" * 27 + b"="
CLIENT = "192.0.2.77"


class FakeStore:
    """Keeps records in memory, as long as it is up."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_up = True

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        if not self.is_up:
            raise DatabaseUnavailableError("down")
        self.records += records
        return "appended"


class Receiver:
    """A webhook on a fake store."""

    def __init__(self, stats: WebStats) -> None:
        self.store = FakeStore()
        self.stats = stats
        keyring = Keyring({ACCOUNT_SID: [TOKEN, "older"]}, ACCOUNT_SID)
        self.webhook = Webhook(Appender(self.store), keyring, PublicUrl([BASE_URL]), stats)

    def check(self, body: bytes, query: bytes = b"", headers: dict[bytes, bytes] | None = None) -> str | None:
        """Check a forged request; the result that is counted, None when it verifies."""
        taken = self.webhook._take(scope(query), {**usual_headers(FORGED), **(headers or {})}, body)
        result = taken[0]
        return result if isinstance(result, str) else None

    async def post(self, params: dict[str, str], signature: str | None = None) -> int:
        """Post a callback as an ASGI server does; the status of the answer."""
        body = urlencode(params).encode()
        statuses: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(cast("int", message["status"]))

        headers = usual_headers((signature or sign(URL, list(params.items()))).encode())
        request = scope(b"") | {"headers": list(headers.items())}  # pyright: ignore[reportOperatorIssue]
        await self.webhook(cast("Scope", request), cast("Receive", receive), cast("Send", send))
        return statuses[0]


def scope(query: bytes) -> Scope:
    """A request's, as the server gives it."""
    request = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "client": (CLIENT, 1),
        "raw_path": PATH.encode(),
        "query_string": query,
    }
    return cast("Scope", request)


def usual_headers(signature: bytes) -> dict[bytes, bytes]:
    """Of a callback."""
    return {b"host": b"x", b"content-type": FORM.encode(), b"x-twilio-signature": signature}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook that nobody has asked yet."""
    memory = shared_memory()
    yield Receiver(WebStats(memory, 1, 0))
    os.close(memory)


SIZE = 64 * 1024

DEAR: dict[str, tuple[bytes, bytes, dict[bytes, bytes]]] = {
    "escaped names": (b"%41&" * (SIZE // 4), b"", {}),
    "escaped names and values": (b"%41=%41&" * (SIZE // 8), b"", {}),
    "names": (b"a&" * (SIZE // 2), b"", {}),
    "broken escapes": (b"%x=%41" * (SIZE // 6), b"", {}),
    "broken escapes alone": (b"%" * SIZE, b"", {}),
    "escapes": (b"a=" + b"%41" * (SIZE // 3 - 1), b"", {}),
    "escapes that are no text": (b"a=" + b"%ff" * (SIZE // 3 - 1), b"", {}),
    "a long text in Chinese": (b"Body=" + b"%E4%BD%A0" * 1600, b"", {}),
    "one plain value": (b"a" * SIZE, b"", {}),
    "bytes that are no text": (b"\xff" * SIZE, b"", {}),
    "bytes that are no text, just few enough": (b"\xff" * 256 + b"%ff" * (SIZE // 3 - 86), b"", {}),
    "marks of a URL": (b"#" * SIZE, b"", {}),
    "marks of a URL, just few enough": (b"#" * 256 + b"=" * (SIZE - 256), b"", {}),
    "parameters, just few enough": (b"&".join([b"%41%3D" * 40 + b"=" + b"%zz%" * 20] * 201)[:SIZE], b"", {}),
    "equal parameters": (b"&".join([b"aaaaaaaa=" + b"b" * 300] * 201), b"", {}),
    "a long query": (b"a=" + b"%41" * (SIZE // 3 - 1), b"x=" + b"&" * 8000, {}),
    "a long account": (b"AccountSid=AC" + b"f" * (SIZE - 13), b"", {}),
    "a long signature": (b"a" * SIZE, b"", {b"x-twilio-signature": b"A" * 16_000}),
    "a long settings header": (b"a=b", b"", {b"x-twilio-webhooks-signature-settings": b"key=," * 3200}),
    "a long media type": (b"a=b", b"", {b"content-type": b"application/x-www-form-urlencoded" + b";" * 16_000}),
    "a long host": (b"a=b", b"", {b"host": b"h" * 16_000}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("what", DEAR)
async def test_a_refused_request_costs_less_than_a_millisecond(receiver: Receiver, what: str) -> None:
    """Of processor time, with two tokens and two forms of the URL to try. One of many has to be so quick: others use the machine, too."""
    body, query, headers = DEAR[what]
    assert len(body) <= SIZE
    best, tries = 1.0, 0
    while best >= 0.001 and tries < 400:
        tries += 1
        started = time.thread_time()
        result = receiver.check(body, query, headers)
        best = min(best, time.thread_time() - started)
        assert result in {"bad_signature", "too_many_parameters", "bad_media_type"}
    receiver.webhook.close()
    assert best < 0.001


@pytest.mark.anyio
async def test_a_failed_append_does_not_count_as_a_repetition(receiver: Receiver) -> None:
    """Only what is durable does: a callback that was never stored is stored as soon as that is possible, however often it came."""
    params = callback("sent")
    receiver.store.is_up = False
    for _ in range(30):
        assert await receiver.post(params) == 503
    receiver.store.is_up = True
    for number in range(1, 22):
        assert await receiver.post(params) == 200
        assert len(receiver.store.records) == number
    assert await receiver.post(params) == 200
    assert len(receiver.store.records) == 21
    assert receiver.stats.results()["repeated"] == 1


@pytest.mark.anyio
async def test_a_replay_of_a_quarantined_callback_is_bounded_too(receiver: Receiver) -> None:
    """And counted by its reason as often as it is stored."""
    for _ in range(30):
        assert await receiver.post({"CallSid": "CA1"}) == 200
    assert len(receiver.store.records) == 21
    assert receiver.stats.quarantined()["no_message_sid"] == 21
    assert receiver.stats.results()["quarantined"] == 21
    receiver.webhook.close()


@pytest.mark.anyio
async def test_forged_requests_are_remembered_nowhere(receiver: Receiver) -> None:
    """Whatever a stranger sends, no table grows."""
    for number in range(100):
        assert await receiver.post(callback("sent", message_sid(number)), FORGED.decode()) == 403
    assert len(receiver.webhook._repetitions) == 0
    receiver.webhook.close()


@pytest.mark.anyio
async def test_a_flood_is_logged_at_its_begin_and_with_its_sum(receiver: Receiver) -> None:
    """One line at once, one when ten seconds are over or the worker stops, which counts all others; with the account if it is ours,
    the compared URL, and the client's network."""
    with capture_logs() as lines:
        for number in range(50):
            params = callback("sent", message_sid(number), AccountSid=ACCOUNT_SID if number % 2 else "AC" + "9" * 32)
            assert await receiver.post(params, FORGED.decode()) == 403
        assert await receiver.post(callback("sent"), "x") == 403
        assert len(lines) == 1
        receiver.webhook.close()
    assert [line["event"] for line in lines] == ["callback.refused"] * 2
    assert sum(line["number"] for line in lines) == 51
    assert lines[1]["reasons"] == {"bad_signature": 50}
    assert lines[1]["accounts"] == [ACCOUNT_SID]
    assert lines[1]["urls"] == [URL]
    assert lines[1]["networks"] == ["192.0.2.0/24"]


@pytest.mark.anyio
async def test_quarantined_callbacks_are_logged_in_sum_too(receiver: Receiver) -> None:
    """With identities to look for, and never a body or a number."""
    with capture_logs() as lines:
        for number in range(30):
            assert await receiver.post({"CallSid": f"CA{number}", "From": "+14155550199"}) == 200
        receiver.webhook.close()
    assert [line["event"] for line in lines] == ["callback.quarantined"] * 2
    assert lines[1]["reasons"] == {"no_message_sid": 29}
    assert len(lines[1]["quarantine_ids"]) == 4
    assert lines[1]["key_ids"][0].startswith(ACCOUNT_SID)
    assert "4155550199" not in str(lines)


def test_the_time_between_lines() -> None:
    """Ten seconds, as OPERATIONS says."""
    assert SUMMARY_SECONDS == 10
