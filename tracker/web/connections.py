"""HTTP/1.1 connections that cannot be held against the server.

uvicorn waits for ever for a request that was begun and never ends, takes as many connections as come, and bounds no head. Here one
sweep a second looks at all connections and ends those that keep their place without using it; beyond a number of open connections a
newcomer takes the place of one that only waits, and where all are at work it waits itself: one read is taken from it and held, and
nothing is done with that before its turn. A request costs two comparisons, less than it saves: the timer that uvicorn sets for every
answer is not needed.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, Literal, cast

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_log = structlog.get_logger()

SWEEP_SECONDS: Final = 1
"""Time between two sweeps. The limits below are counted in sweeps, so that a process that was held up reads what came meanwhile
before it ends anything."""

REQUEST_SECONDS: Final = 10
"""How long a connection may take to send its first request, and any request from its first byte to its last. Twilio itself gives up
after fifteen seconds (https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides)."""

IDLE_SECONDS: Final = 75
"""How long a connection may stay open between two requests: longer than the sixty seconds of the usual load balancers, so that it is
they who close, and no request meets a connection that is just being closed."""

REPLY_SECONDS: Final = 30
"""How long a client may leave an answer unread."""

MAX_HEAD_BYTES: Final = 64 * 1024
"""Bytes that may come before a request's head is complete."""

MAX_REQUEST_BYTES: Final = 1024 * 1024
"""Bytes of any request, chunk sizes and trailers included; routes have smaller limits of their own."""

MAX_PIPELINED: Final = 64
"""Requests that a client may send before it has the answer to the first."""

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are held for all connections that wait unread; a newcomer that brings more is ended. For each of them it is one read,
which uvloop makes no longer than 256,000 bytes (UV_STREAM_RECV_BUF_SIZE in its includes/consts.pxi); the rest stays in the kernel."""

REPLACED_AT_ONCE: Final = 256
"""Connections that are chosen to give way in one go, at most: choosing looks at all of them."""

Wait = Literal["request", "idle", "reply"]
"""What a client keeps its connection waiting for: the rest of a request, the next one, or that it reads the answer."""

_SECONDS: Final[dict[Wait, int]] = {"request": REQUEST_SECONDS, "idle": IDLE_SECONDS, "reply": REPLY_SECONDS}


class WatchedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for a connection that ``Connections`` watches over."""

    _unfinished: object = None
    """Scope of the request that was incomplete when bytes came last."""
    _unfinished_bytes = 0
    """Received of it, but for what came along with its beginning."""
    last_wait: tuple[object, str] | None = None
    """The wait in which the last sweep found this connection, behind the request that it followed."""
    sweeps = 0
    """How many sweeps have found it in this wait."""
    is_unread = False
    """Whether it waits until others end: what comes meanwhile is held."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in asyncio.Protocol."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._watch.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """As in asyncio.Protocol."""
        super().connection_lost(exc)
        self._watch.leave(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; end the connection when what comes is no HTTP or has no end."""
        if self.is_unread:
            self._watch.hold(self, data)
            return
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]  # None when the connection is lost only
        except httptools.HttpParserUpgrade:
            # Nothing is upgraded: the request is answered as it is, which its sender must expect (RFC 9110, section 7.8).
            return
        except httptools.HttpParserError:
            self._watch.count("malformed")
            self.send_400_response("Invalid HTTP request received.")
            return
        if self.pipeline and len(self.pipeline) > MAX_PIPELINED:
            self._watch.end(self, "pipelined")
        # Usually a whole request has come, and is the application's by now.
        elif not self._has_head or self.cycle.more_body:
            self._count_unfinished(len(data))

    def _count_unfinished(self, size: int) -> None:
        """So many more bytes have come of a request that is not complete, unless it has only begun among them."""
        if self._unfinished is not self.scope:
            self._unfinished, self._unfinished_bytes = self.scope, 0
            return
        self._unfinished_bytes += size
        if self._unfinished_bytes > (MAX_REQUEST_BYTES if self._has_head else MAX_HEAD_BYTES):
            self._watch.end(self, "too_large")

    def on_response_complete(self) -> None:
        """Go on with the connection. No timer is set: the sweep sees when it stays idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def wait(self) -> Wait | None:
        """What the client keeps this connection waiting for; None when it is the application's turn."""
        if self.flow.write_paused:
            return "reply"
        if not self._has_head or self.cycle.more_body:
            return "request"
        return "idle" if self.cycle.response_complete else None

    @property
    def is_new(self) -> bool:
        """Whether not even one request's head has come yet."""
        return self.cycle is None  # pyright: ignore[reportUnnecessaryComparison]  # uvicorn's annotation leaves this None out

    @property
    def _has_head(self) -> bool:
        """Whether the head of the newest request is complete: its scope is then the cycle's."""
        return not self.is_new and self.cycle.scope is self.scope

    @property
    def _watch(self) -> "Connections":
        return cast("WatchedState", self.server_state).watch


class Connections:
    """All connections of one worker."""

    def __init__(self, max_read: int, max_open: int) -> None:
        """max_read: how many are read from at the same time, which bounds the memory that requests take. max_open: how many there
        may be; those beyond max_read wait for others to end."""
        self._max_read = max_read
        self._max_open = max_open
        self._open: dict[WatchedProtocol, None] = {}
        """In order of arrival, like ``_unread``."""
        self._unread: dict[WatchedProtocol, bytes] = {}
        """What is held for each."""
        self._held_bytes = 0
        """Of all of them."""
        self._replaceable: Iterator[WatchedProtocol] = iter(())
        self._ended: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: WatchedProtocol) -> None:
        """A connection was made: read from it, if need be in another's place, or let it wait."""
        self._open[connection] = None
        if len(self._open) - len(self._unread) <= self._max_read or self._replace_one(connection):
            return
        if len(self._open) > self._max_open:
            self.end(connection, "too_many")
        else:
            self._unread[connection] = b""
            connection.is_unread = True
            connection.flow.pause_reading()

    def hold(self, connection: WatchedProtocol, data: bytes) -> None:
        """Keep what was read from a connection that waits: uvloop begins to read after connection_made(), whatever was paused in it.
        Reading is paused anew, now for good; ``flow`` takes it for paused already."""
        connection.transport.pause_reading()
        self._unread[connection] += data
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD_BYTES:
            self.end(connection, "too_many")

    def leave(self, connection: WatchedProtocol) -> None:
        """A connection was lost: another may take its place."""
        del self._open[connection]
        if connection.is_unread:
            self._release(connection)
        if self._unread and len(self._open) - len(self._unread) < self._max_read:
            self._read_next()

    def sweep(self) -> None:
        """End what has kept its place for too long. To be called every SWEEP_SECONDS."""
        for connection in tuple(self._open):
            wait = connection.wait()
            if wait is None or connection.is_unread:
                connection.last_wait = None
            elif connection.last_wait != (connection.cycle, wait):
                connection.last_wait = (connection.cycle, wait)
                connection.sweeps = 0
            else:
                connection.sweeps += SWEEP_SECONDS
                if connection.sweeps >= _SECONDS[wait]:
                    self.end(connection, wait)
        while self._unread and self._replace_one(None):
            self._read_next()
        if self._ended:
            _log.info("connections.ended", open=len(self._open), **self._ended)
            self._ended = {}

    def end_waiting(self) -> None:
        """End every connection that waits for its client to send something. Nobody waits for room any more: of those that do, whoever
        has sent a whole request is to be answered, and what is held for them all is bounded."""
        while self._unread:
            self._read_next()
        for connection in tuple(self._open):
            if connection.wait() in {"request", "idle"}:
                connection.transport.abort()

    def all_idle(self) -> bool:
        """Whether no request is under way, however little of it has come. A connection that has not sent any may be about to."""
        return all(connection.wait() == "idle" for connection in self._open)

    def end(self, connection: WatchedProtocol, reason: str) -> None:
        """End a connection at once; not by close(), which would wait for a client that may not read."""
        self.count(reason)
        connection.transport.abort()

    def count(self, reason: str) -> None:
        """A connection ends for this reason. Logged as a number at the next sweep: a flood must not become a flood of lines."""
        self._ended[reason] = self._ended.get(reason, 0) + 1

    def _replace_one(self, newcomer: WatchedProtocol | None) -> bool:
        """End one connection that waits for its client; False when there is none."""
        victim = next(filter(self._may_give_way, self._replaceable), None)
        if victim is None:
            found = sorted(
                (each for each in self._open if each is not newcomer and self._may_give_way(each)), key=_usefulness
            )
            # A few of them only: more useless ones may come.
            self._replaceable = iter(found[: min(len(found) // 4 + 1, REPLACED_AT_ONCE)])
            victim = next(self._replaceable, None)
        if victim is None:
            return False
        self.end(victim, "replaced")
        return True

    def _may_give_way(self, connection: WatchedProtocol) -> bool:
        return (
            connection in self._open
            and not connection.is_unread
            and not connection.transport.is_closing()
            and connection.wait() is not None
        )

    def _read_next(self) -> None:
        """Let the one that has waited longest have its turn."""
        connection = next(iter(self._unread))
        held = self._release(connection)
        if connection.transport.is_closing():
            return
        # Before it is fed: several requests, or a large one, pause it again.
        connection.flow.resume_reading()
        if held:
            connection.data_received(held)

    def _release(self, connection: WatchedProtocol) -> bytes:
        """It does not wait unread any longer. Returns what was held for it."""
        held = self._unread.pop(connection)
        connection.is_unread = False
        self._held_bytes -= len(held)
        return held


class WatchedState(ServerState):
    """uvicorn's state of a server, with its connections."""

    def __init__(self, watch: Connections) -> None:
        super().__init__()
        self.watch = watch


def _usefulness(connection: WatchedProtocol) -> tuple[int, int]:
    """Those with the smallest give way first: slow ones, then those that never sent anything, then idle ones, the longest idle first.
    A request that is just coming in goes on as long as there are others."""
    if connection.last_wait == (connection.cycle, "request"):
        return 0, -connection.sweeps
    if connection.is_new:
        return 1, 0
    if connection.wait() == "idle":
        return 2, -connection.sweeps
    return 3, 0
