"""The webhook's answers, made once."""

import json

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Send


class Response:
    """A whole HTTP response that never changes."""

    __slots__ = ("_body", "_start")

    def __init__(
        self, status: int, media_type: str, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self._start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type.encode()),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
        self._body: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": False}

    async def send(self, send: Send) -> None:
        """Give it as the answer."""
        await send(self._start)
        await send(self._body)


def _problem(status: int, title: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """A problem of RFC 9457."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, "application/problem+json", json.dumps(body).encode(), headers)


TAKEN = Response(200, "text/xml", b"<Response/>")
"""An empty TwiML response, which is what Twilio asks for (https://www.twilio.com/docs/api/errors/11750)."""

FORBIDDEN = _problem(403, "Forbidden", "The request is not signed by an account that this server knows.")
"""Missing and wrong signatures get the same words: whoever forges learns nothing."""

TOO_LARGE = _problem(
    413, "Content Too Large", "A status callback has at most 65536 bytes.", ((b"connection", b"close"),)
)
BAD_MEDIA_TYPE = _problem(415, "Unsupported Media Type", "Send application/x-www-form-urlencoded.")
BAD_METHOD = _problem(405, "Method Not Allowed", "Status callbacks are posted.", ((b"allow", b"POST"),))
UNAVAILABLE = _problem(503, "Service Unavailable", "The callback could not be stored.", ((b"retry-after", b"1"),))
