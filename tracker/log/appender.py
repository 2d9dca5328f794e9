"""Group commit: events that are waiting together are appended in one transaction.

While one batch is at the database, the next one gathers, so no event waits for a timer (docs/adr/0003-group-commit-and-fast-path.md).
The queue is bounded: events that wait too long in a full queue go to the spool.

What is spooled is in order of arrival: before anything that waits goes there, the batch that is at the database goes too. It may be
kept twice then, which is the same as once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError, TrackerError
from tracker.log.event_store import Kept, Store
from tracker.log.record import Record

_log = structlog.get_logger()

MAX_BATCH_EVENTS: Final = 512
"""Events in one transaction at most: a batch that takes long makes its first event wait long."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""The same for their bodies together."""

MAX_WAITING_EVENTS: Final = 4 * MAX_BATCH_EVENTS
MAX_WAITING_BYTES: Final = 4 * MAX_BATCH_BYTES
"""Beyond either the queue is full."""

EVEN_EVENTS: Final = 128
"""Beyond so many events a batch has at most half of those that are under way."""

FEW_EVENTS: Final = 16
"""A batch of fewer costs the database more than the few turns of the event loop that others may need to come along."""

PATIENCE_SECONDS: Final = 0.5
"""How long events wait in a full queue before they are spooled."""

PATIENCE_ROUNDS: Final = 16
"""How often the spool may be asked in vain: then their callers are told that the events are not kept. Twilio waits fifteen seconds."""

_Keep = Callable[[Sequence[Record]], Awaitable[Kept]]


class Receipt(Protocol):
    """Told, once, what became of a record. A future is one; whatever else is one must not raise."""

    def done(self) -> bool:
        """Whether nobody wants to know any more."""
        ...

    def set_result(self, result: Kept, /) -> None:
        """The record is durable, and where."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """It may not be durable."""
        ...


_Waiting = tuple[Record, Receipt]


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
        """spool: keeps a batch when the queue is full, or raises SpoolUnavailableError; None: all wait for the store. max_waiting: events
        in a full queue. on_batch: told the number of events of each batch that was appended to the log."""
        self._store = store
        self._spool = spool
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._taken = 0
        self._last_batch = 0
        self._at_store: list[_Waiting] = []
        """The batch that is at the store and not in the spool."""
        self._writer: asyncio.Task[None] | None = None
        self._relief: asyncio.Task[None] | None = None

    def append(self, record: Record) -> "asyncio.Future[Kept]":
        """A future that is done when the record is durable and says where; it fails with TrackerError when it may not be durable."""
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self.put(record, future)
        return future

    def put(self, record: Record, receipt: Receipt) -> None:
        """The same with a receipt of the caller's own: thousands of callers a second need not be as many tasks that wait."""
        self._waiting.append((record, receipt))
        self._waiting_bytes += len(record.evidence.body)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())
        elif self._relief is None and self._spool is not None and self._is_full():
            self._relief = asyncio.get_running_loop().create_task(self._relieve(self._spool))

    async def drain(self) -> None:
        """Wait until everything that was given to this appender has been answered."""
        while tasks := [task for task in (self._writer, self._relief) if task is not None]:
            await asyncio.wait(tasks)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                self._at_store = self._take()
                self._last_batch = len(self._at_store)
                await self._write(self._at_store, self._store.append)
                self._at_store = []
        finally:
            self._writer = None
            # Only a writer that was cancelled leaves anybody waiting.
            while self._waiting:
                _fail(self._take(), DatabaseUnavailableError("the appender was stopped"))

    async def _gather(self) -> None:
        """Let the event loop turn while each turn brings more events: what has arrived at the sockets already goes along. When half as
        many wait as went last, that is enough: they are written while those are answered, and neither side waits for the other."""
        seen = 0
        enough = min(self._max_batch, max(self._last_batch // 2, FEW_EVENTS))
        while seen < len(self._waiting) < enough:
            seen = len(self._waiting)
            await asyncio.sleep(0)

    async def _relieve(self, spool: _Keep) -> None:
        """Spool what has been waiting in a full queue for PATIENCE_SECONDS, until it is full no longer. What the spool does not take
        waits on for the store, through PATIENCE_ROUNDS."""
        # For each round in vain, the newest that waited then.
        in_vain: deque[int] = deque(maxlen=PATIENCE_ROUNDS)
        try:
            while self._is_full():
                newest = self._taken + len(self._waiting)
                await asyncio.sleep(PATIENCE_SECONDS)
                try:
                    await self._spool_until(newest, spool)
                    in_vain.clear()
                except SpoolUnavailableError as error:
                    in_vain.append(newest)
                    while len(in_vain) == PATIENCE_ROUNDS and self._taken < in_vain[0]:
                        _fail(self._take(), error)
        finally:
            self._relief = None

    async def _spool_until(self, newest: int, spool: _Keep) -> None:
        """Spool all that came no later. Raises SpoolUnavailableError when the spool does not take something; that waits on."""
        while self._taken < newest:
            if batch := self._at_store:
                await self._write(batch, spool, is_last=False)
                if self._at_store is batch:
                    self._at_store = []
                continue
            batch = self._take()
            try:
                await self._write(batch, spool, is_last=False)
            except SpoolUnavailableError:
                self._put_back(batch)
                raise

    def _put_back(self, batch: Sequence[_Waiting]) -> None:
        self._waiting.extendleft(reversed(batch))
        self._waiting_bytes += sum(len(record.evidence.body) for record, _ in batch)
        self._taken -= len(batch)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._max_waiting or self._waiting_bytes >= MAX_WAITING_BYTES

    def _take(self) -> list[_Waiting]:
        """The next batch: one record at least, if any waits. Those of the last batch are answered now, and their callers send more:
        with one half of all at the database and the other half on its way, this process does not wait for the database."""
        batch: list[_Waiting] = []
        size = 0
        most = min(self._max_batch, max(EVEN_EVENTS, (len(self._waiting) + self._last_batch) // 2))
        while self._waiting and len(batch) < most and size < MAX_BATCH_BYTES:
            item = self._waiting.popleft()
            batch.append(item)
            size += len(item[0].evidence.body)
        self._waiting_bytes -= size
        self._taken += len(batch)
        return batch

    async def _write(self, batch: Sequence[_Waiting], keep: _Keep, *, is_last: bool = True) -> None:
        """Answer every caller of the batch, whatever happens. is_last: whether there is no other place; if there is,
        SpoolUnavailableError is raised, and nobody answered."""
        try:
            kept = await keep([record for record, _ in batch])
        except TrackerError as error:
            if isinstance(error, SpoolUnavailableError) and not is_last:
                raise
            if isinstance(error, RecordsRefusedError) and len(batch) > 1:
                # Not all of them are bad: the others are not to suffer.
                middle = len(batch) // 2
                await self._write(batch[:middle], keep)
                await self._write(batch[middle:], keep)
            else:
                _fail(batch, error)
        except Exception as error:  # noqa: BLE001  # a bug: every caller is told, and it is logged with its traceback
            _log.exception("append.crashed", events=len(batch))
            _fail(batch, error)
        except BaseException:
            _fail(batch, DatabaseUnavailableError("the appender was stopped"))
            raise
        else:
            # Not at once: the next batch, when it is ready, is on its way first.
            asyncio.get_running_loop().call_soon(_tell, batch, kept)
            if kept != "spooled":
                self._on_batch(len(batch))


def _tell(batch: Sequence[_Waiting], kept: Kept) -> None:
    for _, receipt in batch:
        if not receipt.done():
            try:
                receipt.set_result(kept)
            except Exception:  # noqa: BLE001  # a bug, and one caller's: the others' records are as durable
                _log.exception("receipt.crashed")


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for _, receipt in batch:
        if not receipt.done():
            receipt.set_exception(error)
