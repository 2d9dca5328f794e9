"""``POST /webhooks/twilio/status``: receives a callback.

Cheap checks come before dear ones: size, media type, shape of the signature, number of parameters; then the form is parsed and the
signature verified. What verifies is appended, or set aside, and answered. A plain ASGI application, because this is the one route where
every microsecond is paid ten thousand times a second. It answers 200 only for what is durable.
"""

import time
from collections.abc import Callable
from typing import NamedTuple, cast

import uuid_utils
from litestar.types import Receive, Scope, Send

from tracker.errors import TrackerError
from tracker.http.fast_path import WholeRequest
from tracker.http.request_head import Headers
from tracker.http.responses import (
    BAD_MEDIA_TYPE,
    BAD_METHOD,
    FORBIDDEN,
    TAKEN,
    TOO_LARGE,
    TOO_MANY_PARAMETERS,
    UNAVAILABLE,
    Response,
)
from tracker.log.appender import Appender
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.event_store import Kept
from tracker.log.record import Record
from tracker.twilio.ambiguity import find_ambiguity
from tracker.twilio.callback import Callback, QuarantineReason, read_callback
from tracker.twilio.form import is_bounded, read_form
from tracker.twilio.keyring import Keyring
from tracker.twilio.signature import is_signature, verify
from tracker.web.public_url import PublicUrl
from tracker.web.repetitions import Repetitions, callback_digest
from tracker.web.summary_log import SummaryLog, describe_network, describe_url
from tracker.web.telemetry.shared_counters import Result, WebStats

PATH = "/webhooks/twilio/status"

MAX_BODY_BYTES = 64 * 1024
"""Twilio's largest callbacks have some kilobytes."""

_FORM = b"application/x-www-form-urlencoded"
_USUAL_FORM = b"application/x-www-form-urlencoded; charset=utf-8"
_MAX_MEDIA_TYPE = 256
"""Bytes of a Content-Type."""

_ASCII_CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii"})
"""Character sets in which an escaped form has the same bytes."""

_OPTIONAL_SPACE = b" \t"
"""White space around a header's value, which is not part of it (RFC 9110, section 5.5)."""


class BodyTooLargeError(Exception):
    """The body is larger than MAX_BODY_BYTES, or says that it will be."""


class _Verified(NamedTuple):
    """A verified request."""

    record: Record
    digest: bytes
    """``callback_digest``."""
    client: str | None
    """IP address of the connection; None on a Unix socket."""


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
        self._repetitions = Repetitions()
        self._refused_log = SummaryLog("callback.refused")
        self._quarantine_log = SummaryLog("callback.quarantined")

    def take(self, request: WholeRequest) -> None:
        """Answer a request that has come whole, when what it says is durable. A ``Shortcut``: the way of nearly every callback."""
        taken = self._take(cast("Scope", request.scope), request.headers, request.body)
        if isinstance(taken, _Verified):
            self._appender.put(taken.record, _Receipt(taken, request, self))
        else:
            result, response = taken
            request.answer(response)
            self._stats.count(result, time.perf_counter() - request.started)

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
            result, response = await self._keep(taken) if isinstance(taken, _Verified) else taken
        await response.send(send)
        self._stats.count(result, time.perf_counter() - started)

    def close(self) -> None:
        """Log what is counted and not logged yet."""
        self._refused_log.close()
        self._quarantine_log.close()

    def count_stored(self, verified: _Verified, kept: Kept) -> Result:
        """Count a record that is durable; what to count of its request."""
        self._repetitions.count(verified.digest)
        record = verified.record
        if isinstance(record, NewEvent):
            return kept
        self._stats.count_quarantined(cast("QuarantineReason", record.reason))
        log = self._quarantine_log
        log.count(record.reason)
        log.example("quarantine_ids", record.quarantine_id.hex())
        log.example("key_ids", record.evidence.key_id)
        log.example("urls", describe_url(record.evidence.url))
        if log.wants("networks"):
            log.example("networks", describe_network(verified.client))
        log.finish()
        return "spooled" if kept == "spooled" else "quarantined"

    def count_answered(self, result: Result, seconds: float) -> None:
        """Count a request that was answered, so many seconds after its first byte."""
        self._stats.count(result, seconds)

    def _take(self, scope: Scope, headers: Headers, body: bytes) -> _Verified | tuple[Result, Response]:
        """What is to be stored of a request; or, where nothing is, what to count and how to answer."""
        received_at = self._now() // 1000
        client = scope["client"]
        address = client[0] if client else None
        signature = headers.get(b"x-twilio-signature", b"").strip(_OPTIONAL_SPACE)
        refused = self._check_cheaply(headers, body, signature, address)
        if refused is not None:
            return refused
        query = scope["query_string"]
        urls = self._public_url.forms(scope["scheme"], headers.get(b"host", b""), scope["raw_path"], query)
        if not urls:
            return self._refuse("unknown_host", address), FORBIDDEN
        form = read_form(body)
        account_sid = form.params.get("AccountSid")
        settings_header = headers.get(b"x-twilio-webhooks-signature-settings")
        keys = self._keyring.keys(account_sid, None if settings_header is None else settings_header.decode("latin-1"))
        verified = verify(keys, urls, form.signed, signature)
        if verified is None:
            return self._refuse("bad_signature", address, account_sid, urls[0]), FORBIDDEN
        key, url = verified
        digest = callback_digest(url, body)
        if self._repetitions.is_exhausted(digest):
            return "repeated", TAKEN
        token = headers.get(b"i-twilio-idempotency-token")
        evidence = Evidence(url, body, signature.decode("ascii"), None if token is None else _text(token), key.key_id)
        if find_ambiguity(form.params, form.signed, form.repeated, query.decode("latin-1")) is None:
            callback = read_callback(form.params, key.account_sid)
        else:
            callback = "ambiguous"
        event_id = uuid_utils.uuid7().bytes
        if isinstance(callback, Callback):
            return _Verified(NewEvent(event_id, received_at, callback, evidence), digest, address)
        return _Verified(Quarantined(event_id, received_at, callback, evidence), digest, address)

    def _check_cheaply(
        self, headers: Headers, body: bytes, signature: bytes, client: str | None
    ) -> tuple[Result, Response] | None:
        """What can be refused before the body is parsed; None: the signature has to be verified."""
        if len(body) > MAX_BODY_BYTES:
            return "too_large", TOO_LARGE
        media_type = headers.get(b"content-type", b"")
        if (media_type != _USUAL_FORM and not _is_form(media_type)) or not _is_plain(headers):
            return "bad_media_type", BAD_MEDIA_TYPE
        if not signature:
            return self._refuse("no_signature", client), FORBIDDEN
        if not is_signature(signature):
            return self._refuse("bad_signature", client), FORBIDDEN
        if not is_bounded(body):
            return self._refuse("too_many_parameters", client), TOO_MANY_PARAMETERS
        return None

    async def _keep(self, verified: _Verified) -> tuple[Result, Response]:
        try:
            return self.count_stored(verified, await self._appender.append(verified.record)), TAKEN
        except TrackerError:
            return "unavailable", UNAVAILABLE

    def _refuse(
        self, reason: Result, client: str | None, account_sid: str | None = None, url: str | None = None
    ) -> Result:
        """Count and log a request that is not verified. account_sid, url: as far as they were found out."""
        is_configured = bool(account_sid) and self._keyring.is_configured(account_sid or "")
        self._stats.count_refused("configured" if is_configured else "other")
        log = self._refused_log
        log.count(reason)
        if is_configured:
            log.example("accounts", account_sid)
        if url is not None and log.wants("urls"):
            log.example("urls", describe_url(url))
        if log.wants("networks"):
            log.example("networks", describe_network(client))
        if reason == "unknown_host":
            log.example("advice", "set PUBLIC_BASE_URL")
        log.finish()
        return reason


class _Receipt:
    """Answers a request when its record is durable, or may not be."""

    __slots__ = ("_request", "_verified", "_webhook")

    def __init__(self, verified: _Verified, request: WholeRequest, webhook: Webhook) -> None:
        self._verified = verified
        self._request: WholeRequest | None = request
        self._webhook = webhook

    def done(self) -> bool:
        """As in Receipt. A batch can be kept in two places, and each of them reports."""
        return self._request is None

    def set_result(self, kept: Kept) -> None:
        """As in Receipt."""
        request, self._request = self._request, None
        if request is not None:
            request.answer(TAKEN)
            result = self._webhook.count_stored(self._verified, kept)
            self._webhook.count_answered(result, time.perf_counter() - request.started)

    def set_exception(self, _: Exception) -> None:
        """As in Receipt. The cause is logged where it occurred."""
        request, self._request = self._request, None
        if request is not None:
            request.answer(UNAVAILABLE)
            self._webhook.count_answered("unavailable", time.perf_counter() - request.started)


def _is_form(media_type: bytes) -> bool:
    if len(media_type) > _MAX_MEDIA_TYPE:
        return False
    name, *parameters = [part.strip() for part in media_type.lower().split(b";")]
    charsets = [part.partition(b"=")[2].strip(b' "') for part in parameters if part.startswith(b"charset")]
    return name == _FORM and _ASCII_CHARSETS.issuperset(charsets)


def _is_plain(headers: Headers) -> bool:
    """Whether the body is what was signed, and not compressed."""
    encoding = headers.get(b"content-encoding")
    return encoding is None or encoding.strip().lower() in {b"", b"identity"}


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
