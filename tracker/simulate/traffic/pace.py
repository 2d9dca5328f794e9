"""Spreads callbacks over time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_MOST_CATCHING_UP_SECONDS = 0.5


class Pace:
    """Gives turns at a rate. rate: per second; 0: as soon as they are asked for.

    After a stall, at most half a second's worth of turns is caught up on. clock: seconds, from any moment on.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval = 1 / rate if rate > 0 else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next: float | None = None

    async def turn(self) -> None:
        """Wait for the next turn."""
        if not self._interval:
            return
        now = self._clock()
        due = now if self._next is None else max(self._next, now - _MOST_CATCHING_UP_SECONDS)
        self._next = due + self._interval
        if due > now:
            await self._sleep(due - now)
