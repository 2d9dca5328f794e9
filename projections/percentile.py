"""Percentiles of a latency digest."""

from collections.abc import Mapping

from projections.latency_digest import seconds_of


def percentile(digest: Mapping[int, int], share: float) -> float | None:
    """The latency, in seconds, that ``share`` of the messages stayed within; None when the digest has none.

    digest: how many fell into each bucket. share: from 0 to 1. Off by no more than the digest's RELATIVE_ERROR.
    """
    rank = share * sum(digest.values())
    reached = 0
    for bucket in sorted(digest):
        reached += digest[bucket]
        if reached >= rank and reached:
            return seconds_of(bucket)
    return None
