"""The webhook's answers, made once."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Send

from tracker.http.security_headers import SECURITY_HEADERS

CLOSE: Final = (b"connection", b"close")
"""The header that ends a connection after an answer."""

_SECURITY_HEADERS: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())

_Headers = Sequence[tuple[bytes, bytes]]


class Response:
    """A whole HTTP response that never changes."""

    __slots__ = ("_body", "_made_for", "_start", "_status_line", "_whole", "closes")

    def __init__(
        self, status: int, media_type: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        own = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body)), *headers]
        self._start: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": own}
        self._body: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": False}
        self._status_line = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
        self._made_for: _Headers | None = None
        self._whole = (b"", b"")
        self.closes = CLOSE in headers
        """Whether it says that the connection ends after it."""

    async def send(self, send: Send) -> None:
        """Give it as the answer, as any ASGI application does."""
        await send(self._start)
        await send(self._body)

    def whole(self, defaults: _Headers, *, close: bool) -> bytes:
        """Its bytes. defaults: the server's own headers, a new object whenever one of them has changed. close: whether to say that the
        connection ends after it, for those that do not say so themselves."""
        if defaults is not self._made_for:
            head = self._status_line + _lines([*defaults, *self._start["headers"]])
            body = b"\r\n" + self._body["body"]
            self._made_for, self._whole = defaults, (head + body, head + _lines([CLOSE]) + body)
        return self._whole[close]


def _lines(headers: _Headers) -> bytes:
    return b"".join([b"%s: %s\r\n" % header for header in headers])


def _problem(status: int, title: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """A problem of RFC 9457."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, "application/problem+json", json.dumps(body).encode(), (*_SECURITY_HEADERS, *headers))


TAKEN = Response(200, "text/xml", b"<Response/>")
"""An empty TwiML response, which is what Twilio asks for (https://www.twilio.com/docs/api/errors/11750)."""

FORBIDDEN = _problem(403, "Forbidden", "The request is not signed by an account that this server knows.")
"""Missing and wrong signatures get the same words: whoever forges learns nothing."""

TOO_LARGE = _problem(413, "Content Too Large", "A status callback has at most 65536 bytes.", (CLOSE,))
BAD_MEDIA_TYPE = _problem(
    415,
    "Unsupported Media Type",
    "Send application/x-www-form-urlencoded in UTF-8, without a content coding.",
    ((b"accept-encoding", b"identity"),),
)
TOO_MANY_PARAMETERS = _problem(
    413, "Content Too Large", "A status callback has at most 200 separators and 256 unescaped special bytes."
)
BAD_METHOD = _problem(405, "Method Not Allowed", "Status callbacks are posted.", ((b"allow", b"POST"),))
UNAVAILABLE = _problem(503, "Service Unavailable", "The callback could not be stored.", ((b"retry-after", b"1"),))
CRASHED = _problem(500, "Internal Server Error", "A fault of this server; its log has it.", (CLOSE,))

BAD_REQUEST = _problem(400, "Bad Request", "The request is no valid HTTP/1.1.", (CLOSE,))
TARGET_TOO_LONG = _problem(414, "URI Too Long", "A request target has at most 8192 bytes.", (CLOSE,))
HEAD_TOO_LARGE = _problem(
    431, "Request Header Fields Too Large", "A request has at most 100 header lines and 16384 bytes of them.", (CLOSE,)
)
UNKNOWN_TRANSFER_CODING = _problem(501, "Not Implemented", "The only transfer coding is chunked.", (CLOSE,))
UNSUPPORTED_VERSION = _problem(505, "HTTP Version Not Supported", "Send HTTP/1.1.", (CLOSE,))
