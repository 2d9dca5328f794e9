"""Keep a batch: in the log, or, while the database does not take it, in the journal on the local disk."""

from collections.abc import Callable, Sequence

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
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
        """Keep the records, each once, in this order. Raises SpoolUnavailableError when neither the database nor the disk takes
        them."""
        if not self._database.is_away:
            try:
                return await self._store.append(records)
            except DatabaseUnavailableError as error:
                self._database.lost(str(error))
            except RecordsRefusedError as error:
                # The drain finds out which it is; the others must not wait for that.
                _log.error("append.refused", records=len(records), reason=str(error))
        return await self.spool(records)

    async def spool(self, records: Sequence[Record]) -> Kept:
        """The same without the database."""
        try:
            await self._journal.write(records)
        finally:
            # Also when the disk did not take them: then the database's return is all the more worth looking for.
            self._on_spooled()
        return "spooled"
