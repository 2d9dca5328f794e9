"""Appending to a store that waits until the test lets it go."""

import asyncio
from collections.abc import Sequence

import msgspec

from tests.new_events import EVIDENCE
from tracker.log.event import Evidence
from tracker.log.event_store import Kept
from tracker.log.record import Record


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
