"""Keep a batch: in the log, or, while the database does not take it, in the journal on the local disk.

When the disk does not take it either, the database is asked once more, whatever was heard of it last: the failure may have been that of
a connection from before a restart, and the return may not have been noticed yet. So a batch takes two time limits of the database and
one of the disk at most.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import Kept, Store
from tracker.log.record import Record
from tracker.log.spool.spool import Journal

_log = structlog.get_logger()

PROBE_SECONDS: Final = 1.0
"""A test of writing to the spool is repeated after this time at the earliest, however often readiness is asked for."""

PROBE_ANSWER_SECONDS: Final = 0.5
"""Time that a test of writing may take; a slower disk counts as one that accepts nothing."""


class Failover:
    """A Store that tries the database, and from its first failure until its return only the journal.

    A batch whose commit is in doubt goes into the journal too: appended again, it is stored once.
    """

    def __init__(
        self, store: Store, journal: Journal, database: Availability, on_spooled: Callable[[], object] = lambda: None
    ) -> None:
        """on_spooled: told that there is something to drain."""
        self._store = store
        self._journal = journal
        self._database = database
        self._on_spooled = on_spooled
        self.is_refusing = False
        """Whether the last batch was accepted neither by the database nor by the disk."""
        self._probe: asyncio.Task[bool] | None = None
        """The last test of writing to the spool."""
        self._probed_at = 0.0
        """When it began, by the monotonic clock."""

    async def append(self, records: Sequence[Record]) -> Kept:
        """Keep the records, each once, in this order.

        Raises when neither the disk nor the database takes them: RecordsRefusedError, when the database takes others but not all of
        these, else SpoolUnavailableError.
        """
        refusal = None
        if not self._database.is_away:
            try:
                kept = await self._store.append(records)
            except DatabaseUnavailableError as error:
                self._database.lost(str(error))
            except RecordsRefusedError as error:
                # The drain finds out which it is; the others must not wait for that.
                _log.error("append.refused", records=len(records), reason=str(error))
                refusal = error
            else:
                self.is_refusing = False
                return kept
        try:
            return await self.spool(records)
        except SpoolUnavailableError as error:
            if refusal is not None:
                raise refusal from error
            return await self._append_after_all(records, error)

    async def _append_after_all(self, records: Sequence[Record], unkept: SpoolUnavailableError) -> Kept:
        try:
            kept = await self._store.append(records)
        except DatabaseUnavailableError as error:
            self._database.lost(str(error))
            self.is_refusing = True
            raise unkept from error
        self._database.back()
        self.is_refusing = False
        return kept

    async def spool(self, records: Sequence[Record]) -> Kept:
        """The same without the database. Raises SpoolUnavailableError."""
        try:
            await self._journal.write(records)
        finally:
            # Also when the disk did not take them: then the database's return is all the more worth looking for.
            self._on_spooled()
        self.is_refusing = False
        return "spooled"

    async def accepts_callbacks(self) -> bool:
        """Whether a batch can be made durable: the database is there, or the spool has room.

        A spool that refused the last batch, or is nearly full, is tested by writing to it: otherwise only a callback could find out
        that there is room again, and be lost if there is none.
        """
        if not self._database.is_away or not (self.is_refusing or self._journal.is_nearly_full):
            return True
        probe = self._probe
        if probe is None or (probe.done() and time.monotonic() - self._probed_at >= PROBE_SECONDS):
            self._probed_at = time.monotonic()
            probe = self._probe = asyncio.get_running_loop().create_task(self._probe_spool())
        done, _ = await asyncio.wait([probe], timeout=PROBE_ANSWER_SECONDS)
        return probe.result() if done else False

    async def _probe_spool(self) -> bool:
        try:
            await self._journal.probe()
        except SpoolUnavailableError:
            return False
        self.is_refusing = False
        return True
