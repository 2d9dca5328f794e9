"""How many events are drained at a time."""

from typing import Final

from tracker.log.appender import MAX_BATCH_EVENTS

FIRST_BATCH_EVENTS: Final = 32
"""At the start: the database may be slow still. A batch that only takes long is not made smaller than this."""

_SUCCESSES: Final = 8
"""Batches of the largest size that are to succeed before a larger one is tried again."""


class BatchSize:
    """Batches grow to an appender's while they are quick, are halved when they take long, because live ones wait for them at the
    log's head, and become a quarter when the database fails, down to one event."""

    def __init__(self, seconds: float) -> None:
        """seconds: what a batch may take, unless even few events take as long."""
        self._seconds = seconds
        self._largest = MAX_BATCH_EVENTS
        self._successes = 0
        self._fixed = 0.0
        """What the last small batch took: less than that is not to be had."""
        self.events = FIRST_BATCH_EVENTS
        """The next batch's, at most."""

    def took(self, events: int, seconds: float) -> None:
        """A batch succeeded."""
        if events <= FIRST_BATCH_EVENTS:
            self._fixed = seconds
        if seconds > max(self._seconds, 2 * self._fixed):
            self.events = min(self.events, max(events // 2, FIRST_BATCH_EVENTS))
        elif self.events < self._largest:
            if seconds <= max(self._seconds / 2, 1.5 * self._fixed):
                self.events = min(self.events * 2, self._largest)
        elif self._largest < MAX_BATCH_EVENTS:
            # What was too much once need not be so for ever.
            self._successes += 1
            if self._successes >= _SUCCESSES:
                self._largest, self._successes = min(self._largest * 2, MAX_BATCH_EVENTS), 0

    def failed(self, events: int) -> None:
        """It may have been too much for a database that is slow."""
        self._largest, self._successes = max(events // 2, 1), 0
        self.events = max(events // 4, 1)
