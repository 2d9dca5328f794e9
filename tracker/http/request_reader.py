"""Requests read from a connection: uvicorn's parser callbacks with bounded lines, chunks and pipelines, and discarded trailers.

The callbacks are copies of uvicorn's with these rules in them; tests/unit/test_upstream.py fails when an original changes.
"""

import asyncio
import logging
import urllib.parse
from typing import TYPE_CHECKING, Final, cast

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tracker.http.request_head import (
    MAX_HEAD_BYTES,
    MAX_HEADER_LINES,
    MAX_TARGET_BYTES,
    RefusedRequestError,
    check_head,
    head_bytes,
    head_too_large,
    malformed,
    target_too_long,
)

if TYPE_CHECKING:
    from tracker.http.connection_limits import Connections
    from tracker.http.protocol import WatchedProtocol

MAX_CHUNKS: Final = 1024
"""Chunks of a body. Each costs as much work as a small request, however short it is."""

MAX_PIPELINED: Final = 64
"""Requests that a client may send before it has the answer to the first."""

LINE_BYTES: Final = 192
"""Memory of a header line besides its bytes: a tuple, two bytes objects, a place in a list (sys.getsizeof, rounded up)."""

REQUEST_BYTES: Final = 4096
"""Memory of a request that waits for its turn besides its head and body: scope, cycle, event, dictionary of the fields."""

NO_LINES: Final[list[tuple[bytes, bytes]]] = []
NO_FIELDS: Final[dict[bytes, bytes]] = {}
NO_SCOPE: Final = cast("HTTPScope", {"type": "http", "method": "", "path": "", "headers": NO_LINES})
_NO_REQUEST: Final = RequestResponseCycle(
    scope=NO_SCOPE,
    transport=cast("asyncio.Transport", None),
    flow=cast("FlowControl", None),
    logger=logging.getLogger("uvicorn.error"),
    access_logger=logging.getLogger("uvicorn.access"),
    access_log=False,
    default_headers=NO_LINES,
    message_event=asyncio.Event(),
    expect_100_continue=False,
    keep_alive=True,
    on_response=lambda: None,
)
_NO_REQUEST.response_started = _NO_REQUEST.response_complete = True
"""The answered request of every connection that is between two requests, so that it holds nothing of its own."""


class RequestReader(HttpToolsProtocol):
    """A connection's requests, from their first byte to their last."""

    watch: "Connections"
    """All connections of the worker."""
    _messages = 0
    """Requests that have begun."""
    _has_head = False
    """Whether the newest request's head is complete."""
    _is_whole = True
    """Whether the newest request has arrived completely; True before the first."""
    _offers_upgrade = False
    """Whether the newest request's head offers another protocol."""
    _read_bytes = 0
    """Size of the newest read."""
    _received_bytes = 0
    """Of the newest request. A lower bound: where its beginning came behind another request, that first read is left out."""
    _body_bytes = 0
    """Of the newest request's body."""
    _chunks = 0
    """Of the newest request's body."""
    _pipelined_bytes = 0
    """Memory of the requests that wait for their turn. Bytes, estimated; an upper bound until none of them waits."""

    def on_message_begin(self) -> None:
        """Begin a request. A parser callback, as are the following."""
        self.url = b""
        self.headers = headers = []
        self.scope = cast(
            "HTTPScope",
            {
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
                "http_version": "1.1",
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "root_path": self.root_path,
                "headers": headers,
                "state": self.app_state.copy(),
            },
        )
        self._messages += 1
        self._has_head = self._is_whole = self._offers_upgrade = False
        self._body_bytes = self._chunks = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Record a header line, or count a trailer line."""
        headers = self.headers
        if len(headers) >= MAX_HEADER_LINES:
            raise head_too_large()
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head; start the request, or queue it behind those before it."""
        if len(self.pipeline) >= MAX_PIPELINED:
            # Nobody could tell which of them were answered.
            self.watch.end(cast("WatchedProtocol", self), "pipelined")
            raise malformed()
        headers, scope = self.headers, self.scope
        parser = cast("httptools.HttpRequestParser", self.parser)
        app = cast("ASGI3Application", self.app)
        if self._received_bytes + self._read_bytes > MAX_HEAD_BYTES and head_bytes(self.url, headers) > MAX_HEAD_BYTES:
            raise self._too_large()
        version = parser.get_http_version()
        fields = dict(headers)
        url = httptools.parse_url(check_head(version, self.url, headers, fields))
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        path = url.path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        self._has_head = True
        self._offers_upgrade = b"upgrade" in fields and parser.should_upgrade()
        self.fields = fields
        existing = self.cycle
        self.cycle = cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=b"expect" in fields and fields[b"expect"].lower() == b"100-continue",
            keep_alive=version != "1.0" and not self._offers_upgrade and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if existing is None or existing.response_complete:  # pyright: ignore[reportUnnecessaryComparison]  # uvicorn's annotation leaves None out
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
            self._pipelined_bytes += REQUEST_BYTES + LINE_BYTES * len(headers)

    def on_chunk_header(self) -> None:
        """Count a chunk. Behind the last one come the trailers, which nothing reads."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise malformed()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body for the application."""
        self._body_bytes += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Let the application know that the body is complete. The parser calls this before the body where an upgrade is offered."""
        if self._offers_upgrade:
            return
        self._is_whole = True
        cycle = self.cycle
        if cycle.response_complete:
            self._forget_request()
            return
        cycle.more_body = False
        cycle.message_event.set()

    def complete_request(self) -> None:
        """Note that the body behind an upgrade offer is complete."""
        self._offers_upgrade = False
        self.on_message_complete()

    @property
    def is_new(self) -> bool:
        """Whether not even one request's head has come yet."""
        return self.cycle is None  # pyright: ignore[reportUnnecessaryComparison]  # uvicorn's annotation leaves this None out

    def _forget_request(self) -> None:
        """Drop the newest request, which has come whole and is answered: an idle connection holds nothing of it."""
        self.cycle, self.scope, self.headers, self.fields = _NO_REQUEST, NO_SCOPE, NO_LINES, NO_FIELDS
        self.url = b""

    def _too_large(self) -> RefusedRequestError:
        """The error for a head over MAX_HEAD_BYTES."""
        return target_too_long() if len(self.url) > MAX_TARGET_BYTES else head_too_large()
