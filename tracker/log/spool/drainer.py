"""From a journal into the log, batch by batch: what cannot be appended is found, and holds up nothing."""

import time
from collections.abc import Sequence
from typing import Final

import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.adaptive_batch_size import BatchSize
from tracker.log.appender import MAX_BATCH_BYTES
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import Store
from tracker.log.record import Record, identity
from tracker.log.spool.spool import Batch, Journal
from tracker.log.spool.spooled_record import Refusal, Spooled

_log = structlog.get_logger()

PART_OF_LIVE: Final = 0.25
"""Of the time that a live batch may take, what a drained one is to take at most: they follow one another at the log's head."""

PROOFS: Final = 3
"""How often a record has to fail alone, each time with another one taken after it, before it is set aside."""

_DISTANCES: Final = 16


class Emptying:
    """Appends what is in journals, and tells what it learns of the database."""

    def __init__(self, store: Store, database: Availability, live_seconds: float) -> None:
        """live_seconds: how long a live batch may take."""
        self._store = store
        self._database = database
        self._size = BatchSize(live_seconds * PART_OF_LIVE)
        self._suspect: bytes | None = None
        self._tries = 0
        self._proofs = 0

    async def append_next(self, journal: Journal) -> int | None:
        """Append the journal's oldest batch and remove it. Returns how many records were appended; None: there was nothing.

        Raises DatabaseUnavailableError, and SpoolUnavailableError when the journal cannot be read or does not answer.
        """
        batch = await journal.read(self._size.events, MAX_BATCH_BYTES)
        if not batch.rows:
            return None
        try:
            refused = await self._append(batch.rows)
        except DatabaseUnavailableError as error:
            self._size.failed(len(batch.rows))
            if len(batch.rows) > 1:
                raise
            refused = await self._refuse_suspect(journal, batch, error)
        await journal.remove(batch, refused)
        return len(batch.rows) - len(refused)

    async def append(self, records: Sequence[Record]) -> None:
        """As Store.append, with an eye on the time."""
        started = time.monotonic()
        await self._store.append(records)
        seconds = time.monotonic() - started
        self._size.took(len(records), seconds)
        self._database.drained(seconds)

    async def _append(self, rows: Sequence[Spooled]) -> list[Refusal]:
        """Append all but what is refused."""
        unreadable = [Refusal(row.sequence, "unreadable") for row in rows if row.record is None]
        for refusal in unreadable:
            _log.error("record.refused", sequence=refusal.sequence, reason=refusal.reason)
        return unreadable + await self._append_apart([row for row in rows if row.record is not None])

    async def _append_apart(self, rows: Sequence[Spooled]) -> list[Refusal]:
        """Append all but what is refused, by halves, so that one bad record holds up none of the others."""
        if not rows:
            return []
        try:
            await self.append([row.record for row in rows if row.record is not None])
        except RecordsRefusedError as error:
            if len(rows) == 1:
                return [_refusal(rows[0], str(error))]
            middle = len(rows) // 2
            return [*await self._append_apart(rows[:middle]), *await self._append_apart(rows[middle:])]
        return []

    async def _refuse_suspect(self, journal: Journal, batch: Batch, error: DatabaseUnavailableError) -> list[Refusal]:
        """Refuse the record that failed alone once it is certain that it is not the database; until then, raise the error.

        It may break the session, or take longer than a statement may, and then it looks like an outage each time. That the database
        takes nothing at all is no proof, because a full disk takes that too: another record has to be taken. Which one changes from
        try to try, farther and farther behind it, because its neighbours may be of its kind.
        """
        row = batch.rows[0]
        if row.record is None:
            raise error
        if self._suspect != identity(row.record):
            self._suspect, self._tries, self._proofs = identity(row.record), 0, 0
        other = await journal.read_other(batch, 2 ** (self._tries % _DISTANCES)) or await journal.read_other(batch, 1)
        self._tries += 1
        if other is None or other.record is None:
            raise error
        try:
            await self.append([other.record])
        except RecordsRefusedError:
            raise error from None
        self._proofs += 1
        if self._proofs < PROOFS:
            raise error
        self._suspect = None
        return [_refusal(row, f"fails alone: {error}")]


def _refusal(row: Spooled, reason: str) -> Refusal:
    if row.record is not None:
        _log.error("record.refused", id=identity(row.record).hex(), reason=reason)
    return Refusal(row.sequence, reason)
