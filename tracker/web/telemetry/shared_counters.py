"""What the web workers count, in memory that they share.

Each worker writes a slice of its own in one small file that all of them map, so any of them can answer a scrape for all, and a
worker that was restarted goes on counting where it stopped. A count costs one addition.

The file is in memory, made by the supervisor and inherited: a write to a page of a map that a full disk has no room for would kill
the worker (SIGBUS), and a full disk is one of the times when callbacks must be taken.
"""

import mmap
import os
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tracker.twilio.callback import QUARANTINE_REASONS, QuarantineReason

Result = Literal[
    "appended", "spooled", "quarantined", "repeated", "bad_signature", "no_signature", "unknown_host", "too_large",
    "too_many_parameters", "bad_media_type", "unavailable",
]  # fmt: skip
"""What became of a request to the webhook."""

RESULTS: Final[tuple[Result, ...]] = (
    "appended", "spooled", "quarantined", "repeated", "bad_signature", "no_signature", "unknown_host", "too_large",
    "too_many_parameters", "bad_media_type", "unavailable",
)  # fmt: skip

RefusedAccount = Literal["configured", "other"]
"""Whether a refused request names an account of the settings. One that does is more likely a wrong setting than a forgery."""

REFUSED_ACCOUNTS: Final[tuple[RefusedAccount, ...]] = ("configured", "other")

SECONDS_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram's buckets, in seconds; one more bucket has none."""

BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the batch size histogram's buckets, in events; one more bucket has none."""


class Histogram:
    """Counts a bucket and the sum of what was observed."""

    def __init__(self, bounds: tuple[float, ...], counts: list[float], total: float) -> None:
        self.bounds = bounds
        self.counts = counts
        """One a bucket, not accumulated; the last bucket has no bound."""
        self.total = total

    def cumulative(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus wants them: bound and count of all up to it, ending in +Inf."""
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        running = 0.0
        buckets: list[tuple[str, float]] = []
        for name, count in zip(names, self.counts, strict=True):
            running += count
            buckets.append((name, running))
        return buckets


class SpoolTotals(NamedTuple):
    """What a worker's spool holds, or the spools of all workers together."""

    events: int
    """They wait for the database."""
    refused: int
    """Records that the database refuses."""
    bytes: int
    limit: int
    """Bytes that there may be."""
    unusable: int = 0
    """Workers whose spool cannot be used: the disk, its directory or its permissions do not allow it."""
    full: int = 0
    """Workers whose spool is at its limit."""
    kept_damaged: int = 0
    """Damaged files that were set aside and are still there."""


class SpoolDamage(NamedTuple):
    """What became of spool files since the server started."""

    files: int
    """Damaged files that were set aside."""
    lost_events: int
    """Acknowledged records that they could not give back."""


_SECONDS_AT: Final = len(RESULTS)
_SECONDS_SUM: Final = _SECONDS_AT + len(SECONDS_BOUNDS) + 1
_BATCHES_AT: Final = _SECONDS_SUM + 1
_BATCHES_SUM: Final = _BATCHES_AT + len(BATCH_BOUNDS) + 1
_SPOOL_AT: Final = _BATCHES_SUM + 1
_DAMAGE_AT: Final = _SPOOL_AT + len(SpoolTotals._fields)
_QUARANTINED_AT: Final = _DAMAGE_AT + len(SpoolDamage._fields)
_REFUSED_AT: Final = _QUARANTINED_AT + len(QUARANTINE_REASONS)
_SLOTS: Final = _REFUSED_AT + len(REFUSED_ACCOUNTS)
_SLOT_BYTES: Final = 8


def shared_memory() -> int:
    """A descriptor of a new file in memory, for WebStats; all counts in it are zero. It is gone with the last process that has it."""
    if sys.platform == "linux":
        return os.memfd_create("tracker-web-stats")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class WebStats:
    """The counts of all workers of one server, one of which may be this process."""

    def __init__(self, file: int | Path, workers: int, worker: int) -> None:
        """file: what the workers share: a descriptor of shared_memory(), or a path, made where it is missing. worker: which slice is
        ours, from 0.

        Raises OSError when there is no room for it.
        """
        size = workers * _SLOTS * _SLOT_BYTES
        descriptor = os.dup(file) if isinstance(file, int) else os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "linux":
                # A page of the map that the disk has no room for would be the process's end.
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._all = memoryview(self._map).cast("d")
        self._own = self._all[worker * _SLOTS : (worker + 1) * _SLOTS]
        self._workers = workers
        self._slot_of = {result: slot for slot, result in enumerate(RESULTS)}

    def count(self, result: Result, seconds: float) -> None:
        """One request was answered, so many seconds after its first byte."""
        own = self._own
        own[self._slot_of[result]] += 1
        own[_SECONDS_AT + bisect_left(SECONDS_BOUNDS, seconds)] += 1
        own[_SECONDS_SUM] += seconds

    def count_batch(self, events: int) -> None:
        """One batch of so many events was appended."""
        self._own[_BATCHES_AT + bisect_left(BATCH_BOUNDS, events)] += 1
        self._own[_BATCHES_SUM] += events

    def set_spool(self, totals: SpoolTotals) -> None:
        """What this worker's spool, and those that it looks after, hold now."""
        for slot, value in enumerate(totals, _SPOOL_AT):
            self._own[slot] = value

    def spool(self) -> SpoolTotals:
        """Over all workers."""
        return SpoolTotals(*(int(self._sum(slot)) for slot in range(_SPOOL_AT, _DAMAGE_AT)))

    def count_spool_damage(self, files: int = 0, lost_events: int = 0) -> None:
        """So many more files were found damaged; so many more records are lost."""
        self._own[_DAMAGE_AT] += files
        self._own[_DAMAGE_AT + 1] += lost_events

    def spool_damage(self) -> SpoolDamage:
        """Over all workers."""
        return SpoolDamage(*(int(self._sum(slot)) for slot in range(_DAMAGE_AT, _QUARANTINED_AT)))

    def count_quarantined(self, reason: QuarantineReason) -> None:
        """Count one callback that was set aside and is durable."""
        self._own[_QUARANTINED_AT + QUARANTINE_REASONS.index(reason)] += 1

    def count_refused(self, account: RefusedAccount) -> None:
        """Count one request that was refused because it is not verified."""
        self._own[_REFUSED_AT + REFUSED_ACCOUNTS.index(account)] += 1

    def quarantined(self) -> dict[QuarantineReason, float]:
        """Callbacks in the quarantine by reason, over all workers."""
        return {reason: self._sum(slot) for slot, reason in enumerate(QUARANTINE_REASONS, _QUARANTINED_AT)}

    def refused(self) -> dict[RefusedAccount, float]:
        """Refused requests by account, over all workers."""
        return {account: self._sum(slot) for slot, account in enumerate(REFUSED_ACCOUNTS, _REFUSED_AT)}

    def results(self) -> dict[Result, float]:
        """Requests by result, over all workers."""
        return {result: self._sum(slot) for slot, result in enumerate(RESULTS)}

    def seconds(self) -> Histogram:
        """From first byte to answer, over all workers."""
        counts = [self._sum(slot) for slot in range(_SECONDS_AT, _SECONDS_SUM)]
        return Histogram(SECONDS_BOUNDS, counts, self._sum(_SECONDS_SUM))

    def batches(self) -> Histogram:
        """Events in a batch, over all workers."""
        counts = [self._sum(slot) for slot in range(_BATCHES_AT, _BATCHES_SUM)]
        return Histogram(BATCH_BOUNDS, counts, self._sum(_BATCHES_SUM))

    def _sum(self, slot: int) -> float:
        return sum(self._all[worker * _SLOTS + slot] for worker in range(self._workers))
