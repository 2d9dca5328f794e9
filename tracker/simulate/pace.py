"""Spreads callbacks over time."""

import asyncio

_MOST_CATCHING_UP_SECONDS = 0.5


class Pace:
    """Gives turns at a rate. rate: per second; 0: as soon as they are asked for.

    After a stall, at most half a second's worth of turns is caught up on.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate if rate > 0 else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        if not self._interval:
            return
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - _MOST_CATCHING_UP_SECONDS) if self._next else now
        due = self._next
        self._next += self._interval
        if due > now:
            await asyncio.sleep(due - now)
