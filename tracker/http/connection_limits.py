"""Limits over all connections of a worker: how many are read from, how long they may wait, how much memory they take.

uvicorn waits for ever for a request that was begun and never ends, and takes as many connections as come. Here one sweep a second looks
at all connections and ends those that keep their place without using it; beyond a number of open connections a newcomer takes the place
of one that only waits, and where all are at work it waits itself: one read is taken from it and held, and nothing is done with that
before its turn. Beyond a sum of memory the newest connection that waits for its client is closed.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import structlog
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from tracker.http.protocol import Wait, WatchedProtocol

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

LINGER_SECONDS: Final = 2
"""How long a client may take to close a connection after its last answer: the time of a few round trips."""

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Memory, estimated, of requests that are not complete or wait for their turn, and of answers that are not read. uvloop makes a read no
longer than 256,000 bytes (UV_STREAM_RECV_BUF_SIZE in its includes/consts.pxi); the rest stays in the kernel."""

REPLACED_AT_ONCE: Final = 256
"""Connections that are chosen to give way in one go, at most: choosing looks at all of them."""

_SECONDS: Final[dict["Wait", int]] = {
    "request": REQUEST_SECONDS,
    "idle": IDLE_SECONDS,
    "reply": REPLY_SECONDS,
    "linger": LINGER_SECONDS,
}


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
        """Sum of the charges of all connections."""
        self._replaceable: Iterator[WatchedProtocol] = iter(())
        self._ended: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: "WatchedProtocol") -> None:
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

    def hold(self, connection: "WatchedProtocol", data: bytes) -> None:
        """Keep what was read from a connection that waits: uvloop begins to read after connection_made(), whatever was paused in it.
        Reading is paused anew, now for good; ``flow`` takes it for paused already."""
        connection.transport.pause_reading()
        self._unread[connection] += data
        self.charge(connection, connection.charge + len(data))

    def charge(self, connection: "WatchedProtocol", size: int) -> None:
        """Set what a connection takes of MAX_HELD_BYTES, in bytes; while the sum exceeds it, close the newest one that waits for its
        client. A connection whose request is at work is never closed for this."""
        if connection not in self._open:
            return
        self._held_bytes += size - connection.charge
        connection.charge = size
        while self._held_bytes > MAX_HELD_BYTES:
            newest = next(filter(_may_be_closed, reversed(self._open)), None)
            if newest is None:
                return
            self.end(newest, "memory")

    def leave(self, connection: "WatchedProtocol") -> None:
        """A connection was lost: another may take its place."""
        self.charge(connection, 0)
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
            elif connection.last_wait != (connection.completed, wait):
                connection.last_wait = (connection.completed, wait)
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
            if connection.wait() in {"request", "idle", "linger"}:
                connection.transport.abort()

    def all_idle(self) -> bool:
        """Whether no request is under way, however little of it has come. A connection that has not sent any may be about to."""
        return all(connection.wait() == "idle" for connection in self._open)

    def end(self, connection: "WatchedProtocol", reason: str) -> None:
        """End a connection at once; not by close(), which would wait for a client that may not read."""
        self.count(reason)
        connection.transport.abort()
        self.charge(connection, 0)

    def count(self, reason: str) -> None:
        """A connection ends for this reason. Logged as a number at the next sweep: a flood must not become a flood of lines."""
        self._ended[reason] = self._ended.get(reason, 0) + 1

    def _replace_one(self, newcomer: "WatchedProtocol | None") -> bool:
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

    def _may_give_way(self, connection: "WatchedProtocol") -> bool:
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

    def _release(self, connection: "WatchedProtocol") -> bytes:
        """It does not wait unread any longer. Returns what was held for it."""
        held = self._unread.pop(connection)
        connection.is_unread = False
        self.charge(connection, 0)
        return held


class WatchedState(ServerState):
    """uvicorn's state of a server, with its connections."""

    def __init__(self, watch: Connections) -> None:
        super().__init__()
        self.watch = watch


def _may_be_closed(connection: "WatchedProtocol") -> bool:
    """Whether to close this connection frees memory and breaks off no work."""
    return (
        connection.charge > 0
        and not connection.transport.is_closing()
        and (connection.is_unread or connection.wait() is not None)
    )


def _usefulness(connection: "WatchedProtocol") -> tuple[int, int]:
    """Those with the smallest give way first: slow ones, then those that never sent anything, then idle ones, the longest idle first.
    A request that is just coming in goes on as long as there are others."""
    if connection.last_wait == (connection.completed, "request") or connection.wait() == "linger":
        return 0, -connection.sweeps
    if connection.is_new:
        return 1, 0
    if connection.wait() == "idle":
        return 2, -connection.sweeps
    return 3, 0
