"""The drain: from the journal into the log, in order of arrival, as soon as the database takes it, beside live traffic.

It also is what looks for the database's return: the first batch that is taken ends the failover. A batch leaves the journal after it
has been appended, so a drain that is killed in between appends it again, which changes nothing.
"""

import asyncio
import contextlib
import time
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.appender import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from tracker.log.availability import Availability
from tracker.log.journal import Batch, Journal
from tracker.log.leftovers import Leftovers
from tracker.log.record import identity
from tracker.log.salvage import mark_salvaged, readable_records
from tracker.log.spool import Refusal, Spooled
from tracker.log.store import InterruptibleStore

_log = structlog.get_logger()

FIRST_BATCH_EVENTS: Final = 32
"""At the start and after a failure: the database may be slow still. Batches grow from there to an appender's."""

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks for a database that is away; they double from the one to the other."""

LOOK_SECONDS: Final = 60.0
"""How often is looked for leftovers when there is nothing else to do."""

RETRY_SECONDS: Final = 600.0
"""How often refused records are tried again: what refused them may have been mended."""

SALVAGE_EVENTS: Final = 64
"""Records that are saved from a damaged file at a time, whatever their size."""

STOP_SECONDS: Final = 2.0
"""How long a stop waits for the batch that is on its way."""


class Drain:
    """Empties this worker's journal, and the leftovers of others."""

    def __init__(
        self, store: InterruptibleStore, journal: Journal, leftovers: Leftovers | None, database: Availability
    ) -> None:
        """store: with a connection of its own, so that live batches do not queue behind drained ones. leftovers: None where they are
        another worker's business."""
        self._store = store
        self._journal = journal
        self._leftovers = leftovers
        self._database = database
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._batch_events = FIRST_BATCH_EVENTS
        self._largest_batch = MAX_BATCH_EVENTS
        self._pause = SHORTEST_PAUSE
        self._has_tried = False
        self._retried_at = time.monotonic()

    def start(self) -> None:
        """Drain what is there, and from then on whenever it is woken."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """There is something in the journal, or the database was lost."""
        self._wanted.set()

    async def stop(self) -> None:
        """Stop soon; what is not drained stays where it is."""
        self._stopping.set()
        self._wanted.set()
        if self._task is None:
            return
        _, late = await asyncio.wait([self._task], timeout=STOP_SECONDS)
        if late:
            self._store.interrupt()
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            if await self._try_all():
                self._pause = SHORTEST_PAUSE
                await _wait(self._wanted, LOOK_SECONDS)
            else:
                await _wait(self._stopping, self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _try_all(self) -> bool:
        """Whether everything that can be drained has been."""
        try:
            await self._drain_all()
        except DatabaseUnavailableError as error:
            if not self._has_tried:
                # From the start on nobody waits for it. Later it is for live traffic to say so, over a connection of its own.
                self._database.lost(str(error))
                self._has_tried = True
        except SpoolUnavailableError:
            # The journal has logged it.
            pass
        except Exception:  # noqa: BLE001  # a bug: logged with its traceback, and the drain goes on
            # A fault of ours must not be the end of draining.
            _log.exception("drain.failed")
        else:
            return True
        return False

    async def _drain_all(self) -> None:
        if self._database.is_away or not self._has_tried:
            # A journal that is empty would not tell.
            await self._store.append(())
            self._has_tried = True
        try:
            if self._journal.size.refused and time.monotonic() - self._retried_at >= RETRY_SECONDS:
                self._retried_at = time.monotonic()
                await self._journal.retry_refused()
            await self._empty(self._journal)
        except SpoolUnavailableError:
            # The database takes what it is given, and is all there is.
            self._database.back()
            raise
        self._database.back()
        if self._leftovers is not None:
            await self._drain_leftovers(self._leftovers)

    async def _drain_leftovers(self, leftovers: Leftovers) -> None:
        for path in leftovers.damaged():
            await self._salvage(path)
        for journal in leftovers.journals():
            try:
                await journal.open()
                await self._empty(journal)
                if journal.size.events or journal.size.refused:
                    await journal.close()
                else:
                    await journal.delete()
                    _log.info("leftover.drained", file=journal.name)
            except SpoolUnavailableError:
                # The journal has logged it; the others are not held up.
                continue

    async def _salvage(self, path: Path) -> None:
        records = readable_records(path)
        try:
            while chunk := await asyncio.to_thread(lambda: list(islice(records, SALVAGE_EVENTS))):
                try:
                    await self._store.append(chunk)
                except RecordsRefusedError:
                    await self._journal.write(chunk)
                    self.wake()
            await asyncio.to_thread(mark_salvaged, path)
        except SpoolUnavailableError as error:
            _log.error("salvage.failed", file=path.name, reason=str(error))

    async def _empty(self, journal: Journal) -> None:
        drained = 0
        while not self._stopping.is_set():
            batch = await journal.read(self._batch_events, MAX_BATCH_BYTES)
            if not batch.rows:
                self._largest_batch = MAX_BATCH_EVENTS
                break
            try:
                refused = await self._append(batch)
            except DatabaseUnavailableError:
                # It may have been too much for a database that is slow.
                self._largest_batch = max(len(batch.rows) // 2, 1)
                self._batch_events = max(len(batch.rows) // 4, 1)
                raise
            self._database.back()
            await journal.remove(batch, refused)
            drained += len(batch.rows) - len(refused)
            self._batch_events = min(self._batch_events * 2, self._largest_batch)
            self._pause = SHORTEST_PAUSE
        if drained:
            _log.info("spool.drained", file=journal.name, records=drained)

    async def _append(self, batch: Batch) -> list[Refusal]:
        """Append all but what is refused."""
        unreadable = [Refusal(row.sequence, "unreadable") for row in batch.rows if row.record is None]
        for refusal in unreadable:
            _log.error("record.refused", sequence=refusal.sequence, reason=refusal.reason)
        return unreadable + await self._append_apart([row for row in batch.rows if row.record is not None])

    async def _append_apart(self, rows: list[Spooled]) -> list[Refusal]:
        """Append all but what is refused, by halves, so that one bad record holds up none of the others."""
        if not rows:
            return []
        try:
            await self._store.append([row.record for row in rows if row.record is not None])
        except RecordsRefusedError as error:
            if len(rows) == 1 and rows[0].record is not None:
                _log.error("record.refused", id=identity(rows[0].record).hex(), reason=str(error))
                return [Refusal(rows[0].sequence, str(error))]
            middle = len(rows) // 2
            return [*await self._append_apart(rows[:middle]), *await self._append_apart(rows[middle:])]
        return []


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """For an event, but not longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
