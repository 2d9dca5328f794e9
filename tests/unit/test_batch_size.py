"""How many events are drained at a time."""

from collections.abc import Callable

import pytest

from tracker.log.adaptive_batch_size import FIRST_BATCH_EVENTS, BatchSize
from tracker.log.appender import MAX_BATCH_EVENTS

TARGET = 0.2
"""Seconds that a batch is to take."""

SPEEDS: dict[str, tuple[Callable[[int], float], int, int]] = {
    "quick": (lambda events: 0.001 + events * 0.00002, MAX_BATCH_EVENTS, MAX_BATCH_EVENTS),
    "a millisecond an event": (lambda events: events * 0.001, 64, 256),
    "ten milliseconds an event": (lambda events: events * 0.01, FIRST_BATCH_EVENTS, 2 * FIRST_BATCH_EVENTS),
    "half a second a commit": (lambda events: 0.5 + events * 0.00002, MAX_BATCH_EVENTS, MAX_BATCH_EVENTS),
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_batch_is_as_large_as_it_may_be(speed: str) -> None:
    """It takes no longer than it is to, unless few events take as long: then they go together."""
    seconds, least, most = SPEEDS[speed]
    size = BatchSize(TARGET)
    for _ in range(20):
        size.took(size.events, seconds(size.events))
    assert least <= size.events <= most


def test_a_database_that_becomes_slow_is_given_less() -> None:
    """At once."""
    size = BatchSize(TARGET)
    for _ in range(10):
        size.took(size.events, 0.01)
    sizes = list[int]()
    for _ in range(4):
        size.took(size.events, size.events * 0.002)
        sizes.append(size.events)
    assert sizes == [256, 128, 64, 64]


def test_a_failure_makes_a_batch_small_and_success_large_again() -> None:
    """What failed is not tried again soon, and not never."""
    size = BatchSize(TARGET)
    for _ in range(10):
        size.took(size.events, 0.01)
    size.failed(512)
    assert size.events == 128
    sizes = list[int]()
    for _ in range(20):
        size.took(size.events, 0.01)
        sizes.append(size.events)
    assert sizes == [256] * 9 + [512] * 11
