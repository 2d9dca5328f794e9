"""One HTTP/1.1 connection: uvicorn's protocol with bounded requests, discarded trailers and refused upgrades.

uvicorn bounds no head and no trailer section, merges trailers into the headers, and reads a body behind an upgrade
offer as the next request. Here every request is bounded while it arrives, and what a connection holds in memory is
reported to ``Connections``, which bounds the sum. Several methods are copies of uvicorn's with these rules in them;
tests/unit/test_upstream.py fails when an original changes.
"""

import asyncio
import logging
import urllib.parse
from typing import Final, Literal, cast

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tracker.web.connections import WatchedState
from tracker.web.request_head import (
    MAX_HEAD_BYTES,
    MAX_HEADER_LINES,
    MAX_TARGET_BYTES,
    HeaderLines,
    RefusedRequestError,
    check_head,
    head_bytes,
    head_too_large,
    malformed,
    target_too_long,
)
from tracker.web.upgrade import EndOfBodyError, body_parser

MAX_REQUEST_BYTES: Final = 1024 * 1024
"""Bytes of any request, chunk sizes and trailers included. Routes have smaller limits of their own."""

MAX_FRAMING_BYTES: Final = 2 * MAX_HEAD_BYTES
"""Bytes of a request besides its body: the head, chunk sizes and extensions, and trailers."""

MAX_CHUNKS: Final = 1024
"""Chunks of a body. Each costs as much work as a small request, however short it is."""

MAX_PIPELINED: Final = 64
"""Requests that a client may send before it has the answer to the first."""

MAX_UNREAD_BYTES: Final = 256 * 1024
"""Bytes that are read and dropped after the last request of a connection. A connection that is closed with unread bytes
is reset, and the client may lose the answer."""

UNCHARGED_BYTES: Final = 8 * 1024
"""A request that arrives whole in one read of at most this size is not charged: it is answered at once."""

LINE_BYTES: Final = 192
"""Memory of a header line besides its bytes: a tuple, two bytes objects, a place in a list (sys.getsizeof, rounded up)."""

REQUEST_BYTES: Final = 4096
"""Memory of a request that waits for its turn besides its head and body: scope, cycle, event, dictionary of the fields."""

Wait = Literal["request", "idle", "reply", "linger"]
"""What a client keeps its connection waiting for: the rest of a request, the next one, that it reads the answer, or that
it closes a connection on which nothing more is read."""

_NO_LINES: Final[list[tuple[bytes, bytes]]] = []
_NO_FIELDS: Final[dict[bytes, bytes]] = {}
_NO_SCOPE: Final = cast("HTTPScope", {"type": "http", "method": "", "path": "", "headers": _NO_LINES})
_NO_REQUEST: Final = RequestResponseCycle(
    scope=_NO_SCOPE,
    transport=cast("asyncio.Transport", None),
    flow=cast("FlowControl", None),
    logger=logging.getLogger("uvicorn.error"),
    access_logger=logging.getLogger("uvicorn.access"),
    access_log=False,
    default_headers=_NO_LINES,
    message_event=asyncio.Event(),
    expect_100_continue=False,
    keep_alive=True,
    on_response=lambda: None,
)
_NO_REQUEST.response_started = _NO_REQUEST.response_complete = True
"""The answered request of every connection that is between two requests, so that it holds nothing of its own."""


class WatchedProtocol(HttpToolsProtocol):
    """A connection that ``Connections`` watches over."""

    last_wait: tuple[int, str] | None = None
    """The wait in which the last sweep found this connection, behind the number of requests before it."""
    sweeps = 0
    """How many sweeps have found it in this wait."""
    is_unread = False
    """Whether it waits until others end: what comes meanwhile is held."""
    charge = 0
    """Memory that its unanswered requests and unread answers take, as ``Connections`` has it in its sum. Bytes, estimated."""

    _messages = 0
    """Requests that have begun."""
    _has_head = False
    """Whether the newest request's head is complete."""
    _is_whole = True
    """Whether the newest request has arrived completely; True before the first."""
    _is_last = False
    """Whether no request after the newest one is read: the client offered another protocol, sent nonsense, or has stopped sending."""
    _is_lingering = False
    """Whether the last answer has been sent, and the client has still to close the connection."""
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
    _unread_bytes = 0
    """Dropped after the last request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.watch = cast("WatchedState", self.server_state).watch
        self.watch.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and make room for another connection."""
        super().connection_lost(exc)
        self.watch.leave(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse what is not HTTP/1.1 or exceeds a limit."""
        if self.is_unread:
            self.watch.hold(self, data)
            return
        if self._is_last and self._is_whole:
            self._drop(len(data))
            return
        was_whole, messages = self._is_whole, self._messages
        self._read_bytes = size = len(data)
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]  # None when the connection is lost only
        except httptools.HttpParserUpgrade as offer:
            if not self._read_body_behind_offer(data[offer.args[0] :]):
                return
        except httptools.HttpParserError as error:
            if not self._is_end_of_last(error):
                return
        if not self._is_whole or size > UNCHARGED_BYTES or self.pipeline or self.charge:
            self._account(size, was_whole, self._messages - messages)

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # as in asyncio.Protocol
        """Keep the connection open for answers to requests that came whole before the client stopped sending."""
        if self.is_unread or self._is_lingering or not self._drop_unfinished():
            return False
        self._is_last = True
        return True

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
            self.watch.end(self, "pipelined")
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

    def on_response_complete(self) -> None:
        """Go on with the connection. No timer is set: the sweep sees when it stays idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.resume_reading()
            self._start_asgi_task(*self.pipeline.pop())
            if not self.pipeline:
                self._pipelined_bytes = 0
            self.watch.charge(self, self._memory())
            return
        if self._is_last and self._is_whole:
            self.transport.close()
            return
        self.flow.resume_reading()
        if self._is_whole:
            self._forget_request()
        if self.charge:
            self.watch.charge(self, self._memory())

    def pause_writing(self) -> None:
        """Wait for the client to read. What it has not read is held in memory."""
        super().pause_writing()
        self.watch.charge(self, self._memory())

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self.watch.charge(self, self._memory())

    def wait(self) -> Wait | None:
        """What the client keeps this connection waiting for; None when it is the application's turn."""
        if self.flow.write_paused:
            return "reply"
        if self._is_lingering:
            return "linger"
        if not self._is_whole or self.is_new:
            return "request"
        return "idle" if self.cycle.response_complete else None

    @property
    def completed(self) -> int:
        """Requests that have arrived completely."""
        return self._messages if self._is_whole else self._messages - 1

    @property
    def is_new(self) -> bool:
        """Whether not even one request's head has come yet."""
        return self.cycle is None  # pyright: ignore[reportUnnecessaryComparison]  # uvicorn's annotation leaves this None out

    def _read_body_behind_offer(self, data: bytes) -> bool:
        """Read the newest request's body, which begins with ``data``. False when the request was refused."""
        self._is_last = True
        parser = body_parser(self, self.fields)
        if parser is None:
            self.complete_request()
            return True
        self.parser = parser
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._is_end_of_last(error)
        return True

    def _is_end_of_last(self, error: Exception) -> bool:
        """Whether a parser's error only says that the last request is complete. If not, the request is refused."""
        if isinstance(error.__context__, EndOfBodyError):
            return True
        self._refuse(error.__context__)
        return False

    def _account(self, size: int, was_whole: bool, begun: int) -> None:
        """Hold what has arrived against the limits. size, begun: bytes of the newest read, and requests that began in it."""
        if not begun:
            self._received_bytes += size
        else:
            self._received_bytes = size if was_whole and begun == 1 else 0
        if self.pipeline:
            self._pipelined_bytes += size
        if not self._is_whole:
            if not self._has_head:
                if self._received_bytes > MAX_HEAD_BYTES:
                    self._refuse(self._too_large())
                    return
            elif (
                self._received_bytes > MAX_REQUEST_BYTES or self._received_bytes - self._body_bytes > MAX_FRAMING_BYTES
            ):
                self.watch.end(self, "too_large")
                return
        self.watch.charge(self, self._memory())

    def _too_large(self) -> RefusedRequestError:
        """The error for a head over MAX_HEAD_BYTES."""
        return target_too_long() if len(self.url) > MAX_TARGET_BYTES else head_too_large()

    def _memory(self) -> int:
        """Estimate of what unanswered requests and unread answers take. Bytes."""
        size = self._pipelined_bytes
        if self.flow.write_paused:
            size += self.transport.get_write_buffer_size()
        if not self._has_head and not self._is_whole:
            size += max(self._received_bytes, self._read_bytes) + LINE_BYTES * len(self.headers)
        elif self._has_head and not self.cycle.response_complete:
            size += max(self._received_bytes, self._body_bytes)
            size += LINE_BYTES * (len(cast("HeaderLines", self.scope["headers"])) + len(self.headers))
        return size

    def _forget_request(self) -> None:
        """Drop the newest request, which has come whole and is answered: an idle connection holds nothing of it."""
        self.cycle, self.scope, self.headers, self.fields = _NO_REQUEST, _NO_SCOPE, _NO_LINES, _NO_FIELDS
        self.url = b""

    def _drop_unfinished(self) -> bool:
        """Drop the newest request where it is incomplete. Returns whether earlier ones are still to be answered."""
        is_unfinished, self._is_whole = not self._is_whole, True
        if is_unfinished and self._has_head:
            if not self.pipeline:
                return False
            self.pipeline.popleft()
            return True
        return not self.is_new and not self.cycle.response_complete

    def _refuse(self, error: BaseException | None) -> None:
        """Answer the newest request with an error, unless earlier ones are to be answered, and read no more.

        error: a RefusedRequestError; anything else is the parser's, or that of a malformed target.
        """
        if self.transport.is_closing():
            return
        refused = error if isinstance(error, RefusedRequestError) else malformed()
        self.watch.count(refused.reason)
        current = None if self._is_whole or not self._has_head or self.pipeline else self.cycle
        is_owed = self._drop_unfinished()
        self._is_last = True
        # What was parsed of the request, and what the parser holds of a line.
        self.parser = None  # pyright: ignore[reportAttributeAccessIssue]  # as uvicorn does
        self.scope, self.headers, self.fields, self.url = _NO_SCOPE, _NO_LINES, _NO_FIELDS, b""
        if is_owed:
            self.watch.charge(self, self._memory())
            return
        if self.flow.write_paused or (current is not None and current.response_started):
            self.transport.abort()
            return
        if current is not None:
            current.disconnected = True
            current.body.clear()
            current.message_event.set()
        self.transport.write(refused.response.whole(self.server_state.default_headers, close=False))
        self.transport.write_eof()
        self._is_lingering = True
        self.watch.charge(self, 0)

    def _drop(self, size: int) -> None:
        """Drop what comes after the last request."""
        self._unread_bytes += size
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self.watch.end(self, "unread")
