"""Keep a batch: in the log, or, while the database does not take it, in the journal on the local disk.

When the disk does not take it either, the database is asked once more, whatever was heard of it last: the failure may have been that of
a connection from before a restart, and the return may not have been noticed yet. So a batch takes two time limits of the database and
one of the disk at most.
"""

from collections.abc import Callable, Sequence

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.availability import Availability
from tracker.log.journal import Journal
from tracker.log.record import Record
from tracker.log.store import Kept, Store

_log = structlog.get_logger()


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

    async def append(self, records: Sequence[Record]) -> Kept:
        """Keep the records, each once, in this order.

        Raises when neither the disk nor the database takes them: RecordsRefusedError, when the database takes others but not all of
        these, else SpoolUnavailableError.
        """
        refusal = None
        if not self._database.is_away:
            try:
                return await self._store.append(records)
            except DatabaseUnavailableError as error:
                self._database.lost(str(error))
            except RecordsRefusedError as error:
                # The drain finds out which it is; the others must not wait for that.
                _log.error("append.refused", records=len(records), reason=str(error))
                refusal = error
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
            raise unkept from error
        self._database.back()
        return kept

    async def spool(self, records: Sequence[Record]) -> Kept:
        """The same without the database. Raises SpoolUnavailableError."""
        try:
            await self._journal.write(records)
        finally:
            # Also when the disk did not take them: then the database's return is all the more worth looking for.
            self._on_spooled()
        return "spooled"
