"""``POST /webhooks/twilio/status``: take a callback in.

Size, media type, signature over all parameters as sent, append, answer. A plain ASGI application, because this is the one route
where every microsecond is paid ten thousand times a second. It answers 200 only for what is durable.
"""

import time
from collections.abc import Callable

import structlog
import uuid_utils
from litestar.types import Receive, Scope, Send

from tracker.errors import TrackerError
from tracker.log.appender import Appender
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.twilio.callback import Callback, first_values, parse_form, read_callback, signed_text
from tracker.twilio.signature import Keyring, verify
from tracker.web.public_url import Headers, PublicUrl
from tracker.web.responses import BAD_MEDIA_TYPE, BAD_METHOD, FORBIDDEN, TAKEN, TOO_LARGE, UNAVAILABLE, Response
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
        self._refusals = 0
        self._refusal_logged = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        received_at = self._now() // 1000
        if scope["method"] != "POST":  # pyright: ignore[reportTypedDictNotRequiredAccess, reportGeneralTypeIssues]  # HTTP only
            await BAD_METHOD.send(send)
            return
        try:
            result, response = await self._take(scope, receive, received_at)
        except ConnectionAbortedError:
            return
        await response.send(send)
        self._stats.count(result, time.perf_counter() - started)

    async def _take(self, scope: Scope, receive: Receive, received_at: int) -> tuple[Result, Response]:
        headers: Headers = dict(scope["headers"])
        try:
            body = await _read_body(headers, receive)
        except BodyTooLargeError:
            return "too_large", TOO_LARGE
        media_type = headers.get(b"content-type", b"")
        if media_type != _USUAL_FORM and media_type.partition(b";")[0].strip().lower() != _FORM:
            return "bad_media_type", BAD_MEDIA_TYPE
        signature = headers.get(b"x-twilio-signature")
        if not signature:
            return self._refuse("no_signature"), FORBIDDEN
        pairs = parse_form(body)
        params = first_values(pairs)
        verified = verify(
            self._keyring.keys(params.get("AccountSid"), _text(headers.get(b"x-twilio-webhooks-signature-settings"))),
            self._urls(scope, headers),
            signed_text(pairs),
            signature,
        )
        if verified is None:
            return self._refuse("bad_signature"), FORBIDDEN
        key, url = verified
        evidence = Evidence(
            url, body, signature.decode("ascii"), _token(headers.get(b"i-twilio-idempotency-token")), key.key_id
        )
        return await self._keep(read_callback(params), evidence, received_at)

    async def _keep(self, callback: Callback | str, evidence: Evidence, received_at: int) -> tuple[Result, Response]:
        event_id = uuid_utils.uuid7().bytes
        try:
            if isinstance(callback, Callback):
                return await self._appender.append(NewEvent(event_id, received_at, callback, evidence)), TAKEN
            kept = await self._appender.append(Quarantined(event_id, received_at, callback, evidence))
        except TrackerError:
            return "unavailable", UNAVAILABLE
        _log.warning("callback.quarantined", reason=callback, quarantine_id=event_id.hex())
        return "spooled" if kept == "spooled" else "quarantined", TAKEN

    def _urls(self, scope: Scope, headers: Headers) -> tuple[str, ...]:
        client = scope["client"]
        return self._public_url.forms(
            scope["scheme"], client[0] if client else None, headers, scope["raw_path"], scope["query_string"]
        )

    def _refuse(self, reason: Result) -> Result:
        self._refusals += 1
        now = time.monotonic()
        if now - self._refusal_logged >= REFUSAL_LOG_SECONDS:
            _log.warning("callback.refused", reason=reason, refused=self._refusals)
            self._refusals, self._refusal_logged = 0, now
        return reason


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """The whole body. Raises BodyTooLargeError as soon as that is known, and ConnectionAbortedError when the client went away or
    was too slow, which the protocol watches over."""
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
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError
    return body


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _token(value: bytes | None) -> str | None:
    """The idempotency token, bounded and fit for a text column."""
    return None if value is None else value.decode("latin-1")[:256].replace("\0", "\ufffd")
