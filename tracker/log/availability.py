"""Whether the database takes what it is given, as far as this process knows."""

import time

import structlog

_log = structlog.get_logger()


class Availability:
    """One worker's knowledge, so that only the first batch that fails waits for the database.

    It is away from the first failure on, whatever the reason, and back when it has taken something.
    """

    def __init__(self) -> None:
        self._away_since: float | None = None

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
        """It took something."""
        if self._away_since is not None:
            _log.info("database.back", away_seconds=round(time.monotonic() - self._away_since, 3))
            self._away_since = None
