"""How long the projector lets events gather: as short as can be when it is quiet, longer when that saves work."""

import pytest

from projections.process import GATHER_SECONDS, MAX_GATHER_SECONDS, gather_seconds
from projections.runner import BATCH_EVENTS


def settled_batch(events_a_second: float) -> float:
    """The size of batches at a steady rate, when taking one in takes no time."""
    batch = 0.0
    for _ in range(1000):
        batch = events_a_second * gather_seconds(int(batch))
    return batch


@pytest.mark.parametrize(
    ("events_a_second", "least", "most"), [(1, 0, 1), (100, 1, 5), (1000, 20, 60), (6000, 1000, 2000)]
)
def test_busy_times_make_large_batches(events_a_second: float, least: float, most: float) -> None:
    """And quiet ones make small ones, at once."""
    assert least <= settled_batch(events_a_second) <= most


def test_the_wait_is_bounded() -> None:
    """And there is none when more events are waiting than one batch takes."""
    assert gather_seconds(0) == GATHER_SECONDS
    assert max(gather_seconds(events) for events in range(BATCH_EVENTS)) == MAX_GATHER_SECONDS
    assert gather_seconds(BATCH_EVENTS) == 0
