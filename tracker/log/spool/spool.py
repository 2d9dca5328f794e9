"""The spool as the event loop sees it: every call is a coroutine, because the disk may take long, and a damaged file is replaced.

A disk that is full to its last block does not even let records be removed. What has been appended then stays in the file, is
remembered as appended, and is not read again; when all of the file has been appended, the file is deleted and a new one takes its
place. A process that is killed in between has forgotten it and appends again, which changes nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

import msgspec
import structlog

from tracker.errors import SpoolDamagedError, SpoolFullError, SpoolUnavailableError
from tracker.log.record import Record
from tracker.log.spool.recovery import finish_setting_aside, set_aside
from tracker.log.spool.spool_file import PROBE_BYTES, Spool
from tracker.log.spool.spooled_record import Refusal, Spooled, SpoolSize

_log = structlog.get_logger()

_Answer = TypeVar("_Answer")

DISK_SECONDS: Final = 4.0
"""How long a call waits for the disk. Twilio waits fifteen seconds for its answer, and the database has its turns before and after."""


class Batch(msgspec.Struct, frozen=True):
    """Records from the front of a journal."""

    file: Spool
    """Where they are; should it be found damaged meanwhile, another one takes its place, with sequences of its own."""
    rows: list[Spooled]


class Journal:
    """One spool file and the thread that alone touches it. Every method raises SpoolUnavailableError, also when the disk does not
    answer within DISK_SECONDS; what was asked of it may still happen then, and until it has, every call fails at once."""

    def __init__(
        self,
        spool: Spool,
        thread: Executor,
        on_change: Callable[[SpoolSize], object] = lambda size: None,
        seconds: float = DISK_SECONDS,
        on_damage: Callable[[], object] = lambda: None,
    ) -> None:
        """thread: an executor of one thread. on_change: told the size after each call. seconds: for the disk. on_damage: told, on the
        thread, of each file that was set aside."""
        self._spool = spool
        self._thread = thread
        self._on_change = on_change
        self._seconds = seconds
        self._on_damage = on_damage
        self._failure: SpoolUnavailableError | None = None
        """Of the last call; None when it went well."""
        self._late: asyncio.Future[Any] | None = None
        # Of the thread alone, from here on.
        self._is_first_call = True
        self._appended = 0
        """Up to this sequence everything is in the log, although it could not be removed; 0: nothing to remember."""
        self._refused: list[Refusal] = []
        """Of that, what the database does not take."""
        self._is_stuck = False
        """Whether the last removal failed."""

    @property
    def name(self) -> str:
        """The file's, for people."""
        return self._spool.path.name

    @property
    def size(self) -> SpoolSize:
        """As of the last call."""
        return self._spool.size

    async def open(self, *, retry: bool = True) -> None:
        """Open the file. retry: have what was refused tried again, as at a start, which may be another version's."""

        def open_and_retry(spool: Spool) -> None:
            spool.open()
            if retry:
                spool.retry_refused()

        await self._run(open_and_retry)

    async def write(self, records: Sequence[Record]) -> None:
        """As Spool.write, also when the file is found to be damaged. When it fails the records may be in the journal nevertheless."""
        await self._run(lambda spool: spool.write(records))

    @property
    def is_nearly_full(self) -> bool:
        """Whether less room than one callback may need is left below the limit, as of the last call."""
        return self._spool.size.bytes + PROBE_BYTES > self._spool.max_bytes

    async def probe(self) -> None:
        """As Spool.probe."""
        await self._run(lambda spool: spool.probe())

    async def read(self, number: int, max_bytes: int) -> Batch:
        """As Spool.read, from the front, without what has been appended and could not be removed."""

        def read(spool: Spool) -> Batch:
            rows = spool.read(number, max_bytes, self._appended and self._appended + 1)
            if not rows and self._appended:
                self._clear(spool)
            return Batch(spool, rows)

        return await self._run(read)

    async def read_other(self, batch: Batch, distance: int) -> Spooled | None:
        """The record so far behind a batch's first one, or the next one that there is; None: there is none."""

        def read(spool: Spool) -> Spooled | None:
            rows = spool.read(1, 1, batch.rows[0].sequence + distance) if spool is batch.file else []
            return rows[0] if rows else None

        return await self._run(read)

    async def remove(self, batch: Batch, refused: Sequence[Refusal]) -> None:
        """As Spool.remove, for a batch that is not empty; an empty journal also gives its space back. What the disk does not let
        go stays in the file and is not read again; that is logged once."""

        def remove(spool: Spool) -> None:
            if spool is batch.file:
                self._appended = batch.rows[-1].sequence
                self._refused += refused
                try:
                    self._remove_appended(spool)
                except SpoolUnavailableError as error:
                    if not self._is_stuck:
                        _log.error("spool.stuck", reason=str(error))
                    self._is_stuck = True

        await self._run(remove)

    async def retry_refused(self) -> None:
        """As Spool.retry_refused."""
        await self._run(lambda spool: spool.retry_refused())

    async def close(self) -> None:
        """Let go of the file; what is in it stays."""
        await self._run(lambda spool: spool.close())

    async def delete(self) -> None:
        """Delete the file, which must be empty. It cannot be used afterwards."""
        await self._run(lambda spool: spool.delete())

    @property
    def is_full(self) -> bool:
        """Whether the last call found the spool at its limit."""
        return isinstance(self._failure, SpoolFullError)

    @property
    def is_unusable(self) -> bool:
        """Whether the last call failed for another reason than the limit: the disk, the directory, the permissions."""
        return self._failure is not None and not self.is_full

    async def check(self) -> None:
        """As Spool.check."""
        await self._run(lambda spool: spool.check())

    async def _run(self, call: Callable[[Spool], _Answer]) -> _Answer:
        before, failure = self._failure, None
        try:
            return await self._wait(call)
        except SpoolUnavailableError as error:
            failure = error
            raise
        finally:
            self._failure = failure
            self._on_change(self.size)
            self._say(before, failure)

    def _say(self, before: SpoolUnavailableError | None, failure: SpoolUnavailableError | None) -> None:
        """Log a change, once."""
        if type(before) is type(failure):
            return
        if failure is None:
            _log.info("spool.available", file=self.name)
        else:
            event = "spool.full" if isinstance(failure, SpoolFullError) else "spool.unavailable"
            _log.error(event, reason=str(failure), file=self.name)

    async def _wait(self, call: Callable[[Spool], _Answer]) -> _Answer:
        """Run it on the thread, and wait for it, but not for ever."""
        if self._late is not None and not self._late.done():
            # Nobody else is to wait just as long behind it.
            raise SpoolUnavailableError(f"{self._spool.path}: the disk has not answered yet")
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._call, call)
        done, _ = await asyncio.wait([running], timeout=self._seconds)
        if not done:
            # What is under way at the disk cannot be stopped; its outcome is seen to, so that nothing complains of it.
            self._late = running
            running.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise SpoolUnavailableError(f"{self._spool.path}: the disk does not answer within {self._seconds:.3g} s")
        return running.result()

    def _call(self, call: Callable[[Spool], _Answer]) -> _Answer:
        """On the thread."""
        if self._is_first_call:
            finish_setting_aside(self._spool.path)
            self._is_first_call = False
        try:
            return call(self._spool)
        except SpoolDamagedError as error:
            spool = self._spool
            try:
                # Before it is closed: SQLite would put what it believes into the file, and delete the WAL.
                set_aside(spool.path, str(error))
            finally:
                spool.close()
            self._on_damage()
            self._replace()
            try:
                return call(self._spool)
            except SpoolDamagedError as again:
                raise SpoolUnavailableError(str(again)) from again

    def _remove_appended(self, spool: Spool) -> None:
        spool.remove(self._appended, self._refused)
        self._appended, self._refused, self._is_stuck = 0, [], False
        if not spool.size.events:
            spool.shrink()

    def _clear(self, spool: Spool) -> None:
        """Everything in the file is in the log: remove it, or the file with it."""
        try:
            self._remove_appended(spool)
        except SpoolUnavailableError:
            if self._refused or spool.size.refused:
                # They are nowhere else.
                raise
            spool.delete()
            _log.warning("spool.replaced", file=spool.path.name)
            self._replace()

    def _replace(self) -> None:
        """A new file takes the old one's place, with sequences of its own."""
        self._spool = Spool(self._spool.path, self._spool.max_bytes)
        self._appended, self._refused, self._is_stuck = 0, [], False
