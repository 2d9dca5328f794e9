"""A digest of latencies: how many fell into each of a fixed set of logarithmic buckets.

Digests merge by addition, in any order, and any percentile read from one is within RELATIVE_ERROR of a true one (within FLOOR_SECONDS
at the short end). The idea is that of DDSketch (Masson, Rim, Lee, 2019, https://arxiv.org/abs/1908.10693).
"""

from bisect import bisect_left
from itertools import count, takewhile
from typing import Final

RELATIVE_ERROR: Final = 0.05
"""A percentile is off by no more than this share of itself."""

FLOOR_SECONDS: Final = 0.01
"""Bucket 0 holds everything up to here, and stands for 0 seconds."""

_GROWTH: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
"""Each bucket's upper bound is the one below it times this."""

_CENTURY: Final = 100 * 366 * 86_400 * 1_000_000

_BOUNDS: Final = tuple(
    takewhile(lambda bound: bound < _CENTURY, (int(FLOOR_SECONDS * 1_000_000 * _GROWTH**bucket) for bucket in count()))
)
"""Upper bounds of the buckets in microseconds; one more bucket has none."""


def bucket_of(microseconds: int) -> int:
    """The bucket of a latency: 0 up to FLOOR_SECONDS, else the n with FLOOR · growth**(n - 1) < latency ≤ FLOOR · growth**n."""
    return bisect_left(_BOUNDS, microseconds)


def seconds_of(bucket: int) -> float:
    """The latency that a bucket stands for: the one that is off by the same share from both of its bounds."""
    return 0.0 if bucket == 0 else FLOOR_SECONDS * _GROWTH**bucket * (1 - RELATIVE_ERROR)
