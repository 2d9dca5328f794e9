"""Group commit: events that are waiting together are appended in one transaction.

While one batch is on its way to the database the next one gathers, so the busier the receiver, the larger its batches, and no
event waits for a timer.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from tracker.errors import DatabaseUnavailableError
from tracker.log.event import NewEvent, Quarantined
from tracker.log.store import Store

_log = structlog.get_logger()

MAX_BATCH_EVENTS = 512
"""Events in one transaction at most: a batch that takes long makes its first event wait long."""

_Waiting = tuple[NewEvent, "asyncio.Future[None]"]


class Appender:
    """Appends events for many callers at once, in their order of arrival."""

    def __init__(
        self,
        store: Store,
        *,
        max_batch: int = MAX_BATCH_EVENTS,
        on_batch: Callable[[int], object] = lambda events: None,
    ) -> None:
        """on_batch: told the number of events of each batch that was appended."""
        self._store = store
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None

    def append(self, event: NewEvent) -> "asyncio.Future[None]":
        """A future that is done when the event is durable, and fails with DatabaseUnavailableError when it may not be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, future))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())
        return future

    async def quarantine(self, callback: Quarantined) -> None:
        """Set a signed request aside; durable when this returns. Raises DatabaseUnavailableError."""
        await self._store.quarantine([callback])

    async def drain(self) -> None:
        """Wait until everything that was given to this appender has been answered."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]
                await self._write(batch)
        finally:
            self._writer = None
            # Only a writer that was cancelled leaves anybody waiting.
            _answer(self._waiting, DatabaseUnavailableError("the appender was stopped"))
            self._waiting.clear()

    async def _gather(self) -> None:
        """Let the event loop turn while each turn brings more events: what has arrived at the sockets already goes along."""
        seen = 0
        while seen < len(self._waiting) < self._max_batch:
            seen = len(self._waiting)
            await asyncio.sleep(0)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._store.append([event for event, _ in batch])
        except DatabaseUnavailableError as error:
            _log.warning("append.failed", events=len(batch), reason=str(error))
            _answer(batch, error)
        except Exception as error:
            # A bug: these callers hear of it, and those who wait behind them are served all the same.
            _log.exception("append.crashed", events=len(batch))
            _answer(batch, error)
        except BaseException:
            # Cancelled: the callers must hear of it before it goes its way.
            _answer(batch, DatabaseUnavailableError("the appender was stopped"))
            raise
        else:
            _answer(batch, None)
            self._on_batch(len(batch))


def _answer(batch: Iterable[_Waiting], error: Exception | None) -> None:
    for _, future in batch:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
