"""One HTTP/1.1 connection: uvicorn's protocol with bounded requests, refused upgrades and answers for half-closed clients.

uvicorn bounds no head and no trailer section, merges trailers into the headers, and reads a body behind an upgrade
offer as the next request. Here every request is bounded while it arrives (``RequestReader`` has the parser's part), and
what a connection holds in memory is reported to ``Connections``, which bounds the sum.
"""

import asyncio
from typing import Final, Literal, cast

import httptools

from tracker.http.connection_limits import WatchedState
from tracker.http.request_head import MAX_HEAD_BYTES, HeaderLines, RefusedRequestError, malformed
from tracker.http.request_reader import LINE_BYTES, NO_FIELDS, NO_LINES, NO_SCOPE, RequestReader
from tracker.http.upgrade import EndOfBodyError, body_parser

MAX_REQUEST_BYTES: Final = 1024 * 1024
"""Bytes of any request, chunk sizes and trailers included. Routes have smaller limits of their own."""

MAX_FRAMING_BYTES: Final = 2 * MAX_HEAD_BYTES
"""Bytes of a request besides its body: the head, chunk sizes and extensions, and trailers."""

MAX_UNREAD_BYTES: Final = 256 * 1024
"""Bytes that are read and dropped after the last request of a connection. A connection that is closed with unread bytes
is reset, and the client may lose the answer."""

UNCHARGED_BYTES: Final = 8 * 1024
"""A request that arrives whole in one read of at most this size is not charged: it is answered at once."""

Wait = Literal["request", "idle", "reply", "linger"]
"""What a client keeps its connection waiting for: the rest of a request, the next one, that it reads the answer, or that
it closes a connection on which nothing more is read."""


class WatchedProtocol(RequestReader):
    """A connection that ``Connections`` watches over."""

    last_wait: tuple[int, str] | None = None
    """The wait in which the last sweep found this connection, behind the number of requests before it."""
    sweeps = 0
    """How many sweeps have found it in this wait."""
    is_unread = False
    """Whether it waits until others end: what comes meanwhile is held."""
    charge = 0
    """Memory that its unanswered requests and unread answers take, as ``Connections`` has it in its sum. Bytes, estimated."""

    _is_last = False
    """Whether no request after the newest one is read: the client offered another protocol, sent nonsense, or has stopped sending."""
    _is_lingering = False
    """Whether the last answer has been sent, and the client has still to close the connection."""
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
        self.scope, self.headers, self.fields, self.url = NO_SCOPE, NO_LINES, NO_FIELDS, b""
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
