"""When the database counts as away, and what it takes to be back."""

import pytest

from tracker.log.circuit_breaker import Availability


@pytest.fixture
def database() -> Availability:
    """One that was lost; a live batch may take a second."""
    database = Availability(1.0)
    database.lost("a test")
    return database


def test_what_was_drained_quickly_is_a_return(database: Availability) -> None:
    """A live batch fits in behind such a one."""
    database.drained(0.5)
    assert not database.is_away


def test_what_was_drained_slowly_is_none(database: Availability) -> None:
    """A live batch would wait for such a one, then for itself, and be spooled after its whole time limit."""
    database.drained(0.51)
    assert database.is_away


def test_an_answer_is_a_return(database: Availability) -> None:
    """When nothing is left to drain, and it came in time."""
    database.answered(1.01)
    assert database.is_away
    database.answered(0.9)
    assert not database.is_away


def test_an_answer_to_nothing_does_not_outweigh_a_slow_batch(
    database: Availability, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For some time: else every other batch would wait for nothing. A quick batch does."""
    database.drained(2.0)
    database.answered(0.001)
    assert database.is_away
    database.drained(0.1)
    assert not database.is_away
    database.lost("a test")
    database.drained(2.0)
    monkeypatch.setattr("tracker.log.circuit_breaker.time.monotonic", lambda: float("inf"))
    database.answered(0.001)
    assert not database.is_away
