"""How often each verified callback has been stored, so that a replay does not fill the disk.

Twilio repeats a callback a few times at most, and a replayed one adds nothing that the log does not have. The count is of one worker
and of the life of its process; the log and the projections do not depend on it.
"""

from typing import Final

MAX_REPETITIONS: Final = 20
"""Repetitions of one callback that are stored after the first; further ones are only counted."""

MAX_CALLBACKS: Final = 65_536
"""Callbacks that are remembered; about 5 MB."""


def callback_digest(url: str, body: bytes) -> int:
    """64 bits that stand for a callback in this process. url: in the form that was signed.

    Python's own hash, which is SipHash under a random key of the process, at a tenth of the cost of a cryptographic one (0.1 instead
    of 1.1 microseconds). Two of 65,536 callbacks have one digest with a probability of 1 in 10 thousand million.
    """
    return hash((url, body))


class Repetitions:
    """Counts stored callbacks. When the table is full, the one that was used longest ago makes room (LRU)."""

    def __init__(self, capacity: int = MAX_CALLBACKS) -> None:
        self._capacity = capacity
        self._stored: dict[int, int] = {}

    def is_exhausted(self, digest: int) -> bool:
        """Whether the callback and 20 repetitions of it are stored. digest: ``callback_digest``."""
        stored = self._stored.get(digest, 0)
        if stored <= MAX_REPETITIONS:
            return False
        self._renew(digest, stored)
        return True

    def count(self, digest: int) -> None:
        """Count one record of this callback. Call it when the record is durable."""
        self._renew(digest, self._stored.get(digest, 0) + 1)

    def __len__(self) -> int:
        return len(self._stored)

    def _renew(self, digest: int, stored: int) -> None:
        self._stored.pop(digest, None)
        self._stored[digest] = stored
        if len(self._stored) > self._capacity:
            del self._stored[next(iter(self._stored))]
