"""The spool as the event loop sees it: every call is a coroutine, because the disk may take long, and a damaged file is replaced."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import msgspec
import structlog

from tracker.errors import SpoolDamagedError, SpoolUnavailableError
from tracker.log.record import Record
from tracker.log.salvage import set_aside
from tracker.log.spool import Refusal, Spool, Spooled, SpoolSize

_log = structlog.get_logger()

_Answer = TypeVar("_Answer")


class Batch(msgspec.Struct, frozen=True):
    """Records from the front of a journal."""

    file: Spool
    """Where they are; should it be found damaged meanwhile, another one takes its place, with sequences of its own."""
    rows: list[Spooled]


class Journal:
    """One spool file and the thread that alone touches it. Every method raises SpoolUnavailableError."""

    def __init__(
        self, spool: Spool, thread: Executor, on_change: Callable[[SpoolSize], object] = lambda size: None
    ) -> None:
        """thread: an executor of one thread. on_change: told the size after each call."""
        self._spool = spool
        self._thread = thread
        self._on_change = on_change
        self._is_available = True

    @property
    def name(self) -> str:
        """The file's, for people."""
        return self._spool.path.name

    @property
    def size(self) -> SpoolSize:
        """As of the last call."""
        return self._spool.size

    async def open(self) -> None:
        """Open the file, and have what was refused tried again: this start may be another version's."""

        def open_and_retry(spool: Spool) -> None:
            spool.open()
            spool.retry_refused()

        await self._run(open_and_retry)

    async def write(self, records: Sequence[Record]) -> None:
        """As Spool.write, also when the file is found to be damaged."""
        await self._run(lambda spool: spool.write(records))

    async def read(self, number: int, max_bytes: int) -> Batch:
        """As Spool.read, from the front."""
        return await self._run(lambda spool: Batch(spool, spool.read(number, max_bytes)))

    async def remove(self, batch: Batch, refused: Sequence[Refusal]) -> None:
        """As Spool.remove, for a batch that is not empty; an empty journal also gives its space back."""

        def remove(spool: Spool) -> None:
            if spool is batch.file:
                spool.remove(batch.rows[-1].sequence, refused)
                if not spool.size.events:
                    spool.shrink()

        await self._run(remove)

    async def retry_refused(self) -> None:
        """As Spool.retry_refused."""
        await self._run(lambda spool: spool.retry_refused())

    async def close(self) -> None:
        """Let go of the file; what is in it stays."""
        await self._run(lambda spool: spool.close())

    async def delete(self) -> None:
        """Delete the file, which must be empty. It cannot be used afterwards."""

        def delete(spool: Spool) -> None:
            spool.close()
            spool.path.unlink(missing_ok=True)
            spool.size = SpoolSize()

        await self._run(delete)

    async def _run(self, call: Callable[[Spool], _Answer]) -> _Answer:
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._thread, self._call, call)
        except SpoolUnavailableError as error:
            if self._is_available:
                _log.error("spool.unavailable", reason=str(error))
            self._is_available = False
            raise
        finally:
            self._on_change(self.size)
        if not self._is_available:
            _log.info("spool.available", file=self.name)
        self._is_available = True
        return answer

    def _call(self, call: Callable[[Spool], _Answer]) -> _Answer:
        """On the thread."""
        try:
            return call(self._spool)
        except SpoolDamagedError as error:
            spool = self._spool
            spool.close()
            set_aside(spool.path, str(error))
            self._spool = Spool(spool.path, spool.max_bytes)
            try:
                return call(self._spool)
            except SpoolDamagedError as again:
                raise SpoolUnavailableError(str(again)) from again
