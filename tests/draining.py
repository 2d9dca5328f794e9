"""A drain with everything around it, on a database that does what the test says."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import Kept
from tracker.log.record import Record, identity
from tracker.log.spool.drain import Drain
from tracker.log.spool.orphans import Leftovers
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool

PATIENCE = 30.0
"""Seconds after which a wait fails."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true. Raises TimeoutError after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class FakeStore:
    """A database in memory, which stores each record once."""

    def __init__(self) -> None:
        self.stored: dict[bytes, Record] = {}
        self.batches = list[int]()
        self.is_away = False
        self.refused: set[bytes] = set()
        self.changed = asyncio.Condition()

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        async with self.changed:
            self.batches.append(len(records))
            self.changed.notify_all()
            if self.is_away:
                raise DatabaseUnavailableError("gone")
            if self.refused & {identity(record) for record in records}:
                raise RecordsRefusedError("a constraint")
            for record in records:
                self.stored.setdefault(identity(record), record)
            return "appended"

    def interrupt(self) -> None:
        """As in Store."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true after a call."""
        async with self.changed:
            async with asyncio.timeout(PATIENCE):
                await self.changed.wait_for(condition)


class Setting:
    """A drain with everything around it."""

    def __init__(self, directory: Path, thread: ThreadPoolExecutor) -> None:
        self.directory = directory
        self.thread = thread
        self.store = FakeStore()
        self.journal = Journal(Spool(directory / "worker-0.sqlite", 2**26), thread)
        self.database = Availability()
        self.leftovers = Leftovers(directory, 1, thread)
        self.drain = Drain(self.store, self.journal, self.leftovers, self.database)

    async def until_empty(self) -> None:
        """Wait until nothing waits in the journal."""
        async with asyncio.timeout(PATIENCE):
            while self.journal.size.events or (await self.journal.read(1, 1)).rows:
                await asyncio.sleep(0.001)

    def spool(self, name: str, records: Sequence[Record]) -> Path:
        """Another spool file in the directory, with these in it."""
        spool = Spool(self.directory / name, 2**26)
        spool.write(records)
        spool.close()
        return spool.path

    async def until_gone(self, *paths: Path) -> None:
        """Wait until files are there no longer."""
        await until(lambda: not any(path.exists() for path in paths))

    async def until_one_is_refused(self) -> None:
        """Wait until of the leftovers one record is refused, and nothing else waits."""
        await until(lambda: self.leftovers.size.refused == 1 and not self.leftovers.size.events)
