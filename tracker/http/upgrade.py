"""The body of a request that offers another protocol (RFC 9110, section 7.8).

httptools stops at the end of such a head, whether a body follows or not, and would read the body as the next request.
Nothing here speaks another protocol, so the offer is ignored, the body is read by a second parser, and the connection
ends after the answer.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import httptools

_HEAD: Final = b"POST / HTTP/1.1\r\n%s: %s\r\n\r\n"
"""Head for the second parser: the framing of the first one's request, and no offer."""


class BodyReceiver(Protocol):
    """Connection whose request has a body."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a trailer line."""

    def on_chunk_header(self) -> None:
        """Count a chunk."""

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""

    def complete_request(self) -> None:
        """Note that the body is complete."""


class EndOfBodyError(Exception):
    """Stops the parser at the end of the body: what follows is no request."""


def body_parser(receiver: BodyReceiver, fields: Mapping[bytes, bytes]) -> httptools.HttpRequestParser | None:
    """A parser for the body that follows a head with these fields; None when no body follows.

    fields: names in lower case, checked by the parser of the head. The parser raises HttpParserCallbackError at the end
    of the body.
    """
    for name in (b"transfer-encoding", b"content-length"):
        value = fields.get(name)
        if value is not None and value != b"0":
            parser = httptools.HttpRequestParser(_BodyCallbacks(receiver))
            parser.feed_data(_HEAD % (name, value))
            return parser
    return None


class _BodyCallbacks:
    """Parser callbacks that ignore the head and pass the body on."""

    def __init__(self, receiver: BodyReceiver) -> None:
        self.on_body = receiver.on_body
        self._receiver = receiver
        self._has_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass a trailer line on."""
        if self._has_head:
            self._receiver.on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the body begin."""
        self._has_head = True

    def on_chunk_header(self) -> None:
        """Pass a chunk's beginning on."""
        self._receiver.on_chunk_header()

    def on_message_complete(self) -> None:
        """End the body, and the parser."""
        self._receiver.complete_request()
        raise EndOfBodyError
