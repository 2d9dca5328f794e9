"""Whether the database takes what it is given, as far as this process knows."""

import math
import time
from typing import Final

import structlog

_log = structlog.get_logger()

DOUBT_SECONDS: Final = 10.0
"""How long after a drained batch that took too long it is not enough that the database answers: an answer to nothing waits for no
disk, and live batches would find out one by one, each at the price of its whole time limit."""


class Availability:
    """One worker's knowledge, so that only the first batch that fails waits for the database.

    It is away from the first failure on, whatever the reason, and back when it has taken something in a time in which it also takes
    live batches.
    """

    def __init__(self, live_seconds: float = math.inf) -> None:
        """live_seconds: how long it may take for a live batch."""
        self._live_seconds = live_seconds
        self._away_since: float | None = None
        self._doubted_until = -math.inf

    @property
    def is_away(self) -> bool:
        """Whether the last that was heard of it was a failure."""
        return self._away_since is not None

    def lost(self, reason: str) -> None:
        """It did not take something."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            _log.error("database.lost", reason=reason)

    def back(self) -> None:
        """It took something, and in time."""
        self._doubted_until = -math.inf
        if self._away_since is not None:
            _log.info("database.back", away_seconds=round(time.monotonic() - self._away_since, 3))
            self._away_since = None

    def drained(self, seconds: float) -> None:
        """It took a drained batch, and so many seconds for it. A live batch may have to wait for one, and then takes as long itself."""
        if seconds <= self._live_seconds / 2:
            self.back()
        else:
            self._doubted_until = time.monotonic() + DOUBT_SECONDS

    def answered(self, seconds: float) -> None:
        """It answered within so many seconds, while there is nothing left to drain."""
        if seconds <= self._live_seconds and time.monotonic() >= self._doubted_until:
            self.back()
