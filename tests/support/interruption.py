"""What a test run does when it is told to stop, and which signals the programs under test inherit from it."""

import os
import signal
from types import FrameType

import pytest


class RunningTests:
    """Ends the run at SIGTERM, and names the tests that run at that moment. For the process that prints, not for xdist's workers."""

    def __init__(self) -> None:
        self._running = dict[str, None]()
        self._pid = os.getpid()
        signal.signal(signal.SIGTERM, self._stop)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a fork, which is to end as it would without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        pytest.exit(f"SIGTERM; tests that did not end: {', '.join(self._running) or 'none'}", returncode=128 + number)


def accept_interrupts() -> None:
    """Undo that SIGINT is ignored, as it is for what a script starts in the background: programs under test would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
