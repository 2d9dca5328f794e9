"""Folds a long stretch of the log, batch by batch, for several projections at once."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from projections.fold.message import Key, Said
from projections.fold.transitions import Messages
from projections.projection import Connection, Projection
from projections.runner import explain, is_poison, read_earlier_events
from tracker.errors import RebuildError

MAX_MESSAGES: Final = 100_000
"""Messages kept in memory at most, under a kilobyte each."""

COLLECT_AFTER: Final = 500_000
"""New objects before garbage is looked for in a process that does nothing but fold: it leaves hardly any cycles."""

_FILTER_BYTES: Final = 1 << 24
_FILTER_MASK: Final = _FILTER_BYTES * 8 - 1


class Folder:
    """The messages of one stretch, from a position on."""

    def __init__(self, history: Connection, position: int, max_messages: int = MAX_MESSAGES) -> None:
        """history: where earlier events are looked up, and nothing else is asked meanwhile. position: of the last event before."""
        self._history = history
        self._earlier = EarlierEvents(history, from_start=position == 0)
        self._messages = Messages(position, self._earlier, max_messages)
        self._max_messages = max_messages

    @property
    def position(self) -> int:
        """Up to which everything has been folded."""
        return self._messages.position

    def fold(self, group: Sequence[Projection[Any]], events: Sequence[Said], until: int) -> list[Any]:
        """What these events change in each projection. They are all that concern this folder's messages, up to a position.

        Raises RebuildError when one of them cannot be taken in; this object is of no further use then.
        """
        before = self._messages.position
        if before == 0:
            self._earlier.remember(events)
        try:
            batch = self._messages.advance(events)
            self._messages.position = until
            return [projection.fold(batch) for projection in group]
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


class EarlierEvents:
    """Looks up the earlier events of messages that are not in memory, but not of those that cannot have any.

    Whoever began with the first event has seen every message there is. Which ones is remembered in a filter of fixed size, a bit a
    message: where two messages share a bit, one look-up finds nothing.
    """

    def __init__(self, connection: Connection, *, from_start: bool) -> None:
        self._connection = connection
        self._bits = bytearray(_FILTER_BYTES) if from_start else None

    def __call__(self, keys: Sequence[Key], until: int) -> Iterable[Said]:
        """Reads the events of these messages up to and including a position."""
        if self._bits is not None:
            keys = [key for key in keys if self._was_seen(self._bits, key)]
        return read_earlier_events(self._connection, keys, until) if keys else ()

    def remember(self, events: Iterable[Said]) -> None:
        """These events were seen without being asked for: the very first ones."""
        if self._bits is not None:
            for said in events:
                self._was_seen(self._bits, (said.account_sid or "", said.message_sid))

    @staticmethod
    def _was_seen(bits: bytearray, key: Key) -> bool:
        place = hash(key) & _FILTER_MASK
        bit = 1 << (place & 7)
        seen = bits[place >> 3] & bit
        bits[place >> 3] |= bit
        return seen != 0
