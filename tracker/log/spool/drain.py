"""The drain: from the journal into the log, in order of arrival, as soon as the database takes it, beside live traffic.

It also is what looks for the database's return: the first batch that is taken as quickly as a live one has to be ends the failover. A
batch leaves the journal after it has been appended, so a drain that is killed in between appends it again, which changes nothing.

Leftovers of others come when the journal is empty, and between any two batches of theirs the journal has its turn again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import InterruptibleStore
from tracker.log.spool.drainer import Emptying
from tracker.log.spool.orphans import RETRY_SECONDS, SETTLED_SECONDS, Leftovers
from tracker.log.spool.recovery import mark_salvaged, readable_records
from tracker.log.spool.spool import Journal

_log = structlog.get_logger()

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks for a database that is away; they double from the one to the other."""

LOOK_SECONDS: Final = 10.0
"""Interval of looks for leftovers, and for a spool that cannot be written to, when there is nothing else to do."""

SALVAGE_EVENTS: Final = 64
"""Records that are saved from a damaged file at a time, whatever their size."""

LIVE_SECONDS: Final = 0.8
"""How long a live batch may take, unless it is said otherwise."""

STOP_SECONDS: Final = 2.0
"""How long a stop waits for the batch that is on its way."""


class Drain:
    """Empties this worker's journal, and the leftovers of others."""

    def __init__(
        self,
        store: InterruptibleStore,
        journal: Journal,
        leftovers: Leftovers | None,
        database: Availability,
        live_seconds: float = LIVE_SECONDS,
        on_lost: Callable[[int], object] = lambda events: None,
    ) -> None:
        """store: with a connection of its own, so that live batches do not queue behind drained ones. leftovers: None where they are
        another worker's business. live_seconds: how long a live batch may take. on_lost: told how many records a damaged file could
        not give back."""
        self._store = store
        self._journal = journal
        self._leftovers = leftovers
        self._database = database
        self._on_lost = on_lost
        self._emptying = Emptying(store, database, live_seconds)
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
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
                is_unsettled = self._leftovers is not None and self._leftovers.is_unsettled
                await _wait(self._wanted, SETTLED_SECONDS if is_unsettled else LOOK_SECONDS)
            else:
                await _wait(self._stopping, self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _try_all(self) -> bool:
        """Whether everything that can be drained has been, and the database is there for live traffic."""
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
            return not self._database.is_away
        return False

    async def _drain_all(self) -> None:
        if self._leftovers is not None:
            # Before the database is needed: that a spool was damaged is to be seen while it is away, too.
            await self._leftovers.count_kept()
        answered_in = None
        if self._database.is_away or not self._has_tried:
            # A journal that is empty would not tell.
            started = time.monotonic()
            await self._store.append(())
            answered_in = time.monotonic() - started
            self._has_tried = True
        try:
            if self._journal.size.refused and time.monotonic() - self._retried_at >= RETRY_SECONDS:
                self._retried_at = time.monotonic()
                await self._journal.retry_refused()
            if not await self._empty(self._journal):
                # Nothing else would find out that the disk takes nothing any more.
                await self._journal.check()
        except SpoolUnavailableError:
            # The database takes what it is given, and is all there is.
            self._database.back()
            raise
        if answered_in is not None:
            self._database.answered(answered_in)
        if self._leftovers is not None:
            await self._drain_leftovers(self._leftovers)

    async def _drain_leftovers(self, leftovers: Leftovers) -> None:
        for path in await leftovers.damaged():
            await self._salvage(leftovers, path)
        for journal in await leftovers.journals():
            # The journal logs it when the disk fails; the others are not held up.
            with contextlib.suppress(SpoolUnavailableError):
                try:
                    await journal.open(retry=leftovers.may_retry(journal))
                    await self._empty(journal)
                    if not (journal.size.events or journal.size.refused):
                        await journal.delete()
                        _log.info("leftover.drained", file=journal.name)
                finally:
                    await journal.close()
                await leftovers.leave(journal)

    async def _salvage(self, leftovers: Leftovers, path: Path) -> None:
        lost = list[int]()
        records = readable_records(path, lost.append)
        try:
            while chunk := await asyncio.to_thread(lambda: list(islice(records, SALVAGE_EVENTS))):
                try:
                    await self._emptying.append(chunk)
                except RecordsRefusedError:
                    await self._journal.write(chunk)
                await self._take_turn()
            await asyncio.to_thread(mark_salvaged, path)
            self._on_lost(sum(lost))
        except SpoolUnavailableError as error:
            _log.error("salvage.failed", file=path.name, reason=str(error))
            leftovers.postpone(path)
        finally:
            # A thread may still be at it when this is cancelled; then it is closed with the last reference.
            with contextlib.suppress(ValueError):
                records.close()

    async def _take_turn(self) -> None:
        """What waits in this worker's own journal goes before more of others'."""
        if self._journal.size.events:
            with contextlib.suppress(SpoolUnavailableError):
                await self._empty(self._journal)

    async def _empty(self, journal: Journal) -> int:
        """Returns how many records were drained."""
        drained = 0
        while not self._stopping.is_set():
            appended = await self._emptying.append_next(journal)
            if appended is None:
                break
            drained += appended
            self._pause = SHORTEST_PAUSE
            if journal is not self._journal:
                await self._take_turn()
        if drained:
            _log.info("spool.drained", file=journal.name, records=drained)
        return drained


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """For an event, but not longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
