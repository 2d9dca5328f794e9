"""Takes long stretches of the log in at full speed: while one batch is folded, the next one is read and the one before is written."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from projections.message import Said
from projections.projection import Projection
from projections.runner import explain, is_poison, read_earlier_events, read_events
from projections.transitions import Messages
from tracker.database.queries import query
from tracker.errors import RebuildError

Connection = psycopg.Connection[TupleRow]

BATCH_EVENTS: Final = 20_000
"""Events in one transaction at most. Three batches are in memory at a time."""

MAX_MESSAGES: Final = 100_000
"""Messages kept in memory at most, about a kilobyte each."""

_FILTER_BYTES: Final = 1 << 24
_FILTER_MASK: Final = _FILTER_BYTES * 8 - 1

OnBatch = Callable[[int, int], object]
"""Told how many events a batch had and the position after it, when the batch is committed."""


class Pipeline:
    """The projections on three connections, which it owns while it runs: one reads the log, one writes, one looks earlier events up."""

    def __init__(
        self,
        reader: Connection,
        writer: Connection,
        history: Connection,
        *,
        batch_events: int = BATCH_EVENTS,
        max_messages: int = MAX_MESSAGES,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._history = history
        self._batch_events = batch_events
        self._max_messages = max_messages
        self._messages: tuple[Messages, EarlierEvents] | None = None

    def take_in(self, group: Sequence[Projection[Any]], position: int, until: int, on_batch: OnBatch) -> None:
        """Take in the events from the one after ``position`` to ``until``, for projections that all stand at ``position``.

        Raises RebuildError when an event cannot be taken in; the batches before it are committed.
        """
        messages, earlier = self._messages_at(position)
        with ThreadPoolExecutor(1, "read") as reading, ThreadPoolExecutor(1, "write") as writing:
            ahead = reading.submit(self._read, position, until)
            written: Future[None] | None = None
            while events := ahead.result():
                before = messages.position
                ahead = reading.submit(self._read, events[-1].position, until)
                if before == 0:
                    earlier.remember(events)
                changes = self._fold(group, messages, events)
                if written is not None:
                    written.result()
                written = writing.submit(self._write, changes, before, events, on_batch)
            if written is not None:
                written.result()
        self._messages = (messages, earlier)

    def _messages_at(self, position: int) -> "tuple[Messages, EarlierEvents]":
        """Those of the last call when they stand there, so that going on costs nothing."""
        kept, self._messages = self._messages, None
        if kept is not None and kept[0].position == position:
            return kept
        earlier = EarlierEvents(self._history, from_start=position == 0)
        return Messages(position, earlier, self._max_messages), earlier

    def _read(self, position: int, until: int) -> list[Said]:
        limit = min(self._batch_events, until - position)
        return read_events(self._reader, position, limit) if limit > 0 else []

    def _fold(
        self, group: Sequence[Projection[Any]], messages: Messages, events: Sequence[Said]
    ) -> "list[tuple[Projection[Any], Any]]":
        before = messages.position
        try:
            batch = messages.advance(events)
            return [(projection, projection.fold(batch)) for projection in group]
        except Exception as error:
            if not is_poison(error):
                raise
            raise self._find_poison(group, before, events) or error from error

    def _find_poison(
        self, group: Sequence[Projection[Any]], before: int, events: Sequence[Said]
    ) -> RebuildError | None:
        """The event that raises, folded again one by one; None when none does so alone."""
        messages = Messages(before, EarlierEvents(self._history, from_start=False), self._max_messages)
        for said in events:
            name = "the fold of messages"
            try:
                batch = messages.advance([said])
                for projection in group:
                    name = projection.name
                    projection.fold(batch)
            except Exception as error:  # noqa: BLE001  # stops the projection, with the reason
                return RebuildError(f"{name} cannot take in the event at position {said.position}: {explain(error)}")
        return None

    def _write(
        self, changes: "Sequence[tuple[Projection[Any], Any]]", before: int, events: Sequence[Said], on_batch: OnBatch
    ) -> None:
        after = events[-1].position
        with self._writer.transaction():
            for projection, change in changes:
                write(self._writer, projection, change, before, after)
        on_batch(len(events), after)


class EarlierEvents:
    """Looks up the earlier events of messages that are not in memory, but not of those that cannot have any.

    Whoever began with the first event has seen every message there is. Which ones is remembered in a filter of fixed size, a bit a
    message: where two messages share a bit, one look-up finds nothing.
    """

    def __init__(self, connection: Connection, *, from_start: bool) -> None:
        self._connection = connection
        self._bits = bytearray(_FILTER_BYTES) if from_start else None

    def __call__(self, message_sids: Sequence[str], until: int) -> Iterable[Said]:
        """The events of these messages up to and including a position."""
        if self._bits is not None:
            message_sids = [message_sid for message_sid in message_sids if self._was_seen(self._bits, message_sid)]
        return read_earlier_events(self._connection, message_sids, until) if message_sids else ()

    def remember(self, events: Iterable[Said]) -> None:
        """These events were seen without being asked for: the very first ones."""
        if self._bits is not None:
            for said in events:
                self._was_seen(self._bits, said.message_sid)

    @staticmethod
    def _was_seen(bits: bytearray, message_sid: str) -> bool:
        place = hash(message_sid) & _FILTER_MASK
        bit = 1 << (place & 7)
        seen = bits[place >> 3] & bit
        bits[place >> 3] |= bit
        return seen != 0


def write(connection: Connection, projection: Projection[Any], changes: object, before: int, after: int) -> None:
    """Write what a batch changes, and move the checkpoint, in the open transaction. Raises RebuildError."""
    try:
        projection.write(connection, changes)
    except Exception as error:
        if is_poison(error):
            raise RebuildError(
                f"{projection.name} cannot take in the events up to position {after}: {explain(error)}"
            ) from error
        raise
    checkpoint = {"name": projection.name, "version": projection.version, "from": before, "to": after}
    if connection.execute(query("move_checkpoint"), checkpoint).fetchone() is None:
        raise RebuildError(f"The rebuild of {projection.name} was changed by somebody else; run it again.")
