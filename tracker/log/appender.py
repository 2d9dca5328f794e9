"""Group commit: events that are waiting together are appended in one transaction.

While one batch is on its way to the database the next one gathers, so the busier the receiver, the larger its batches, and no
event waits for a timer. What waits is bounded: when a slow database lets the queue grow, what has waited too long goes to the spool.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from tracker.errors import DatabaseUnavailableError, TrackerError
from tracker.log.record import Record
from tracker.log.store import Kept, Store

_log = structlog.get_logger()

MAX_BATCH_EVENTS: Final = 512
"""Events in one transaction at most: a batch that takes long makes its first event wait long."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""The same for their bodies together."""

MAX_WAITING_EVENTS: Final = 4 * MAX_BATCH_EVENTS
MAX_WAITING_BYTES: Final = 4 * MAX_BATCH_BYTES
"""Beyond either the queue is full."""

PATIENCE_SECONDS: Final = 0.5
"""How long events wait in a full queue before they are spooled."""

_Keep = Callable[[Sequence[Record]], Awaitable[Kept]]
_Waiting = tuple[Record, "asyncio.Future[Kept]"]


class Appender:
    """Keeps events, and callbacks that are set aside, for many callers at once, in their order of arrival."""

    def __init__(
        self,
        store: Store,
        *,
        spool: _Keep | None = None,
        max_batch: int = MAX_BATCH_EVENTS,
        max_waiting: int = MAX_WAITING_EVENTS,
        on_batch: Callable[[int], object] = lambda events: None,
    ) -> None:
        """spool: keeps a batch when the queue is full; None: all wait for the store. max_waiting: events in a full queue. on_batch: told
        the number of events of each batch that was appended to the log."""
        self._store = store
        self._spool = spool
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._taken = 0
        self._writer: asyncio.Task[None] | None = None
        self._relief: asyncio.Task[None] | None = None

    def append(self, record: Record) -> "asyncio.Future[Kept]":
        """A future that is done when the record is durable and says where; it fails with TrackerError when it may not be durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Kept] = loop.create_future()
        self._waiting.append((record, future))
        self._waiting_bytes += len(record.evidence.body)
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        elif self._relief is None and self._spool is not None and self._is_full():
            self._relief = loop.create_task(self._relieve(self._spool))
        return future

    async def drain(self) -> None:
        """Wait until everything that was given to this appender has been answered."""
        while tasks := [task for task in (self._writer, self._relief) if task is not None]:
            await asyncio.wait(tasks)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._write(self._take(), self._store.append)
        finally:
            self._writer = None
            # Only a writer that was cancelled leaves anybody waiting.
            while self._waiting:
                _fail(self._take(), DatabaseUnavailableError("the appender was stopped"))

    async def _gather(self) -> None:
        """Let the event loop turn while each turn brings more events: what has arrived at the sockets already goes along."""
        seen = 0
        while seen < len(self._waiting) < self._max_batch:
            seen = len(self._waiting)
            await asyncio.sleep(0)

    async def _relieve(self, spool: _Keep) -> None:
        """Spool what has been waiting in a full queue for PATIENCE_SECONDS, until it is full no longer."""
        try:
            while self._is_full():
                newest = self._taken + len(self._waiting)
                await asyncio.sleep(PATIENCE_SECONDS)
                while self._taken < newest:
                    await self._write(self._take(), spool)
        finally:
            self._relief = None

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._max_waiting or self._waiting_bytes >= MAX_WAITING_BYTES

    def _take(self) -> list[_Waiting]:
        """The next batch: one record at least, if any waits."""
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < self._max_batch and size < MAX_BATCH_BYTES:
            item = self._waiting.popleft()
            batch.append(item)
            size += len(item[0].evidence.body)
        self._waiting_bytes -= size
        self._taken += len(batch)
        return batch

    async def _write(self, batch: Sequence[_Waiting], keep: _Keep) -> None:
        """Answer every caller of the batch, whatever happens."""
        try:
            kept = await keep([record for record, _ in batch])
        except TrackerError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001  # a bug: every caller is told, and it is logged with its traceback
            _log.exception("append.crashed", events=len(batch))
            _fail(batch, error)
        except BaseException:
            _fail(batch, DatabaseUnavailableError("the appender was stopped"))
            raise
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(kept)
            if kept != "spooled":
                self._on_batch(len(batch))


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
