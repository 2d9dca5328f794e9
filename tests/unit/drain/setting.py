"""A drain with everything around it, on a database that does what the test says."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.stores import FakeStore
from tests.support.waiting import PATIENCE, until
from tracker.log.circuit_breaker import Availability
from tracker.log.record import Record
from tracker.log.spool.drain import Drain
from tracker.log.spool.orphans import Leftovers
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool


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
