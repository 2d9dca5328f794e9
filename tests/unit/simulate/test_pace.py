"""The rate of callbacks, on a clock of the test's own."""

import asyncio

import pytest

from tracker.simulate.traffic.pace import Pace


class Clock:
    """Time that passes only where someone waits for it."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.now += seconds

    def turns(self, pace: Pace, number: int) -> list[float]:
        """The times of that many turns, in seconds since the start."""

        async def take() -> list[float]:
            times: list[float] = []
            for _ in range(number):
                await pace.turn()
                times.append(self.now - 100)
            return times

        return asyncio.run(take())


def test_turns_come_at_the_rate() -> None:
    """Ten a second: each a tenth after the one before."""
    clock = Clock()
    assert clock.turns(Pace(10, clock.read, clock.wait), 5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_rate_nought_is_no_rate() -> None:
    """Every turn comes at once."""
    clock = Clock()
    assert clock.turns(Pace(0, clock.read, clock.wait), 5) == [0, 0, 0, 0, 0]


def test_after_a_stall_half_a_second_is_caught_up_on() -> None:
    """After a minute without turns six come at once, not six hundred, and then the rate holds again."""
    clock = Clock()
    pace = Pace(10, clock.read, clock.wait)
    clock.turns(pace, 1)
    clock.now += 60
    times = clock.turns(pace, 8)
    assert times[:6] == pytest.approx([60] * 6)
    assert times[6:] == pytest.approx([60.1, 60.2])
