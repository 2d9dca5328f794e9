"""The latency digest: percentiles within the stated error, whatever it is given."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.latency_digest import FLOOR_SECONDS, RELATIVE_ERROR, bucket_of, seconds_of

LATENCIES = st.integers(0, 30 * 86_400 * 1_000_000)
"""Up to a month, in microseconds."""


def percentile(latencies: list[int], share: float) -> float:
    """The true one by nearest rank, in seconds."""
    return sorted(latencies)[ceil(share * len(latencies)) - 1] / 1_000_000


def digest_percentile(latencies: list[int], share: float) -> float:
    """The same from the digest: the first bucket at which so many have been seen."""
    buckets = sorted(bucket_of(latency) for latency in latencies)
    return seconds_of(buckets[ceil(share * len(buckets)) - 1])


@given(st.lists(LATENCIES, min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_within_the_stated_error(latencies: list[int], share: float) -> None:
    """Of itself, and at the short end of the floor. A bound is a whole microsecond, which is where the last digit comes from."""
    true = percentile(latencies, share)
    allowed = FLOOR_SECONDS if true <= FLOOR_SECONDS else RELATIVE_ERROR * true + 0.000_001
    assert abs(digest_percentile(latencies, share) - true) <= allowed


@given(LATENCIES, LATENCIES)
def test_longer_latencies_are_in_later_buckets(one: int, other: int) -> None:
    """So a percentile of buckets is the bucket of a percentile."""
    assert (bucket_of(one) - bucket_of(other)) * (one - other) >= 0


@pytest.mark.parametrize("microseconds", [-1, 0, 1, 10_000])
def test_what_is_too_short_to_matter_is_none(microseconds: int) -> None:
    """Negative latencies too: never a wrong sign."""
    assert bucket_of(microseconds) == 0
    assert seconds_of(bucket_of(microseconds)) == 0


def test_buckets_are_few() -> None:
    """A century has a bucket, and it is one of a few hundred, so a digest stays small whatever clocks say."""
    assert bucket_of(10**18) < 400
    assert bucket_of(10**30) == bucket_of(10**18)


def test_every_bucket_stands_for_a_latency_of_its_own() -> None:
    """Going there and back loses nothing."""
    buckets = list(range(1, bucket_of(10**14)))
    assert [bucket_of(round(seconds_of(bucket) * 1_000_000)) for bucket in buckets] == buckets
