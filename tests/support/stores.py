"""Stores in memory instead of a database: one whose batches the test lets go, and one that fails as the test says."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from tests.support.events import EVIDENCE
from tests.support.waiting import PATIENCE
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.event import Evidence
from tracker.log.event_store import Kept
from tracker.log.record import Record, identity


class StoppedStore:
    """A store whose every batch waits until the test lets it go, so that the test decides what happens meanwhile."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self._started: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def append(self, records: Sequence[Record]) -> Kept:
        """Note the batch and wait."""
        self.batches.append(list(records))
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started.put_nowait(outcome)
        await outcome
        return "appended"

    async def finish(self, error: BaseException | None = None) -> None:
        """Wait until a batch is at the store, and let it succeed or fail."""
        outcome = await self._started.get()
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)

    async def reached(self) -> None:
        """Wait until a batch is at the store."""
        outcome = await self._started.get()
        self._started.put_nowait(outcome)


async def outcomes(futures: Sequence["asyncio.Future[Kept]"]) -> list[BaseException | Kept]:
    """What the callers were told."""
    return await asyncio.gather(*futures, return_exceptions=True)


def with_body(size: int) -> Evidence:
    """Evidence with a body of so many bytes."""
    return msgspec.structs.replace(EVIDENCE, body=bytes(size))


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
