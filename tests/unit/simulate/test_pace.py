"""The rate of callbacks, on a clock of the test's own."""

import asyncio

import pytest

from tracker.simulate.pace import Pace


class Clock:
    """Time that passes only where someone sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("tracker.simulate.pace.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, pace: Pace, turns: int) -> list[float]:
        """The times of that many turns, in seconds since the start."""

        async def take_turns() -> list[float]:
            asyncio.get_running_loop().time = lambda: self.now
            times: list[float] = []
            for _ in range(turns):
                await pace.turn()
                times.append(self.now - 100)
            return times

        return asyncio.run(take_turns())


def test_turns_come_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a second: each a tenth after the one before."""
    assert Clock(monkeypatch).run(Pace(10), 5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_rate_nought_is_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn comes at once."""
    assert Clock(monkeypatch).run(Pace(0), 5) == [0, 0, 0, 0, 0]


def test_after_a_stall_half_a_second_is_caught_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute without turns six come at once, not six hundred, and then the rate holds again."""
    clock, pace = Clock(monkeypatch), Pace(10)
    clock.run(pace, 1)
    clock.now += 60
    times = clock.run(pace, 8)
    assert times[:6] == pytest.approx([60] * 6)
    assert times[6:] == pytest.approx([60.1, 60.2])
