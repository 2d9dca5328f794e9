"""A digest of latencies: how many fell into each of a fixed set of logarithmic buckets.

Digests merge by addition, in any order, and any percentile read from one is within RELATIVE_ERROR of a true one (of FLOOR_SECONDS at
the short end). The idea is that of DDSketch (Masson, Rim, Lee, 2019, https://arxiv.org/abs/1908.10693).
"""

from math import ceil, log
from typing import Final

RELATIVE_ERROR: Final = 0.05
"""A percentile is off by no more than this share of itself."""

FLOOR_SECONDS: Final = 0.01
"""Bucket 0 holds everything up to here, the negative latencies of lying clocks included, and stands for 0 seconds."""

_GROWTH: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
"""Each bucket's upper bound is the one below it times this."""

_LOG_GROWTH: Final = log(_GROWTH)
_FLOOR_MICROSECONDS: Final = FLOOR_SECONDS * 1_000_000


def bucket_of(microseconds: int) -> int:
    """The bucket of a latency: 0, or the n from 1 on with FLOOR · growth**(n - 1) < latency ≤ FLOOR · growth**n."""
    if microseconds <= _FLOOR_MICROSECONDS:
        return 0
    # Rounding may put a latency that lies on a bound into the bucket beside it, which is as near.
    return max(ceil(log(microseconds / _FLOOR_MICROSECONDS) / _LOG_GROWTH), 1)


def seconds_of(bucket: int) -> float:
    """The latency that a bucket stands for: the one that is off by the same share from both of its bounds."""
    return 0.0 if bucket == 0 else FLOOR_SECONDS * _GROWTH**bucket * (1 - RELATIVE_ERROR)
