"""``POST /webhooks/twilio/status``: take a callback in.

Size, media type, signature over all parameters as sent, append, answer. A plain ASGI application, because this is the one route
where every microsecond is paid ten thousand times a second. It answers 200 only for what is durable.
"""

import time
from collections.abc import Callable
from typing import cast

import structlog
import uuid_utils
from litestar.types import Receive, Scope, Send

from tracker.errors import TrackerError
from tracker.log.appender import Appender
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.record import Record
from tracker.log.store import Kept
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import Forms
from tracker.twilio.signature import Keyring, verify
from tracker.web.public_url import Headers, PublicUrl
from tracker.web.responses import (
    BAD_MEDIA_TYPE,
    BAD_METHOD,
    FORBIDDEN,
    TAKEN,
    TOO_LARGE,
    UNAVAILABLE,
    Response,
)
from tracker.web.shortcut import WholeRequest
from tracker.web.stats import Result, WebStats

_log = structlog.get_logger()

PATH = "/webhooks/twilio/status"

MAX_BODY_BYTES = 64 * 1024
"""Twilio's largest callbacks have some kilobytes."""

REFUSAL_LOG_SECONDS = 10
"""Refused requests are logged once in so many seconds, with their number: a flood of them must not become a flood of lines."""

_FORM = b"application/x-www-form-urlencoded"
_USUAL_FORM = b"application/x-www-form-urlencoded; charset=utf-8"


class BodyTooLargeError(Exception):
    """The body is larger than MAX_BODY_BYTES, or says that it will be."""


class Webhook:
    """The webhook of one worker."""

    def __init__(
        self,
        appender: Appender,
        keyring: Keyring,
        public_url: PublicUrl,
        stats: WebStats,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """now: the wall clock, nanoseconds since the Unix epoch; it dates what is received."""
        self._appender = appender
        self._keyring = keyring
        self._public_url = public_url
        self._stats = stats
        self._now = now
        self._forms = Forms()
        self._refusals = 0
        self._refusal_logged = 0.0

    def take(self, request: WholeRequest) -> None:
        """Answer a request that has come whole, when what it says is durable. A ``Shortcut``: the way of nearly every callback."""
        taken = self._take(cast("Scope", request.scope), request.headers, request.body)
        if isinstance(taken, tuple):
            result, response = taken
            request.answer(response)
            self._stats.count(result, time.perf_counter() - request.started)
        else:
            self._appender.put(taken, _Receipt(taken, request, self._stats))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer any request, as an ASGI application."""
        started = time.perf_counter()
        if scope["method"] != "POST":  # pyright: ignore[reportTypedDictNotRequiredAccess, reportGeneralTypeIssues]  # HTTP only
            await BAD_METHOD.send(send)
            return
        headers: Headers = dict(scope["headers"])
        try:
            body = await _read_body(headers, receive)
        except BodyTooLargeError:
            result, response = "too_large", TOO_LARGE
        except ConnectionAbortedError:
            return
        else:
            taken = self._take(scope, headers, body)
            result, response = taken if isinstance(taken, tuple) else await self._keep(taken)
        await response.send(send)
        self._stats.count(result, time.perf_counter() - started)

    def _take(self, scope: Scope, headers: Headers, body: bytes) -> Record | tuple[Result, Response]:
        """What is to be kept of a request, or how it is refused."""
        received_at = self._now() // 1000
        if len(body) > MAX_BODY_BYTES:
            return "too_large", TOO_LARGE
        media_type = headers.get(b"content-type", b"")
        if media_type != _USUAL_FORM and media_type.partition(b";")[0].strip().lower() != _FORM:
            return "bad_media_type", BAD_MEDIA_TYPE
        signature = headers.get(b"x-twilio-signature")
        if not signature:
            return self._refuse("no_signature"), FORBIDDEN
        urls = self._public_url.forms(
            scope["scheme"], headers.get(b"host", b""), scope["raw_path"], scope["query_string"]
        )
        if urls is None:
            return self._refuse("unknown_host"), FORBIDDEN
        form = self._forms.read(body)
        settings_header = headers.get(b"x-twilio-webhooks-signature-settings")
        verified = verify(
            self._keyring.keys(
                form.params.get("AccountSid"), None if settings_header is None else settings_header.decode("latin-1")
            ),
            urls,
            form.signed,
            signature,
        )
        if verified is None:
            return self._refuse("bad_signature"), FORBIDDEN
        if not form.is_known:
            self._forms.remember(body)
        key, url = verified
        token = headers.get(b"i-twilio-idempotency-token")
        evidence = Evidence(url, body, signature.decode("ascii"), None if token is None else _text(token), key.key_id)
        callback = read_callback(form.params)
        event_id = uuid_utils.uuid7().bytes
        if isinstance(callback, Callback):
            return NewEvent(event_id, received_at, callback, evidence)
        return Quarantined(event_id, received_at, callback, evidence)

    async def _keep(self, record: Record) -> tuple[Result, Response]:
        try:
            return _kept(record, await self._appender.append(record)), TAKEN
        except TrackerError:
            return "unavailable", UNAVAILABLE

    def _refuse(self, reason: Result) -> Result:
        self._refusals += 1
        now = time.monotonic()
        if now - self._refusal_logged >= REFUSAL_LOG_SECONDS:
            advice = {"advice": "set PUBLIC_BASE_URL"} if reason == "unknown_host" else {}
            _log.warning("callback.refused", reason=reason, refused=self._refusals, **advice)
            self._refusals, self._refusal_logged = 0, now
        return reason


class _Receipt:
    """Answers a request when its record has been kept, or has not."""

    __slots__ = ("_record", "_request", "_stats")

    def __init__(self, record: Record, request: WholeRequest, stats: WebStats) -> None:
        self._record = record
        self._request: WholeRequest | None = request
        self._stats = stats

    def done(self) -> bool:
        """As in Receipt. A batch can be kept in two places, and each of them tells."""
        return self._request is None

    def set_result(self, kept: Kept) -> None:
        """As in Receipt."""
        self._give(TAKEN, _kept(self._record, kept))

    def set_exception(self, _: Exception) -> None:
        """As in Receipt. What it was has been logged."""
        self._give(UNAVAILABLE, "unavailable")

    def _give(self, response: Response, result: Result) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.answer(response)
            self._stats.count(result, time.perf_counter() - request.started)


def _kept(record: Record, kept: Kept) -> Result:
    """What to count of a record that was kept."""
    if isinstance(record, NewEvent):
        return kept
    _log.warning("callback.quarantined", reason=record.reason, quarantine_id=record.quarantine_id.hex())
    return "spooled" if kept == "spooled" else "quarantined"


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """The whole body, or more of it than is taken. Raises BodyTooLargeError where still more would come, and ConnectionAbortedError
    when the client went away or was too slow, which the protocol watches over."""
    announced = headers.get(b"content-length")
    if announced is not None and int(announced) > MAX_BODY_BYTES:
        raise BodyTooLargeError
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ConnectionAbortedError
    return body


def _text(token: bytes) -> str:
    """The idempotency token, bounded and fit for a text column."""
    return token.decode("latin-1")[:256].replace("\0", "\ufffd")
