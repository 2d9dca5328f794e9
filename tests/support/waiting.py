"""Waits for conditions, instead of sleeping."""

import asyncio
import threading
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds until a condition that should come true soon is taken for one that never will."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition is true. AssertionError after so many seconds; what: names the condition there."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        pause.wait(0.02)


async def until(condition: Callable[[], object]) -> None:
    """Wait inside a running loop until a condition is true. TimeoutError after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)
