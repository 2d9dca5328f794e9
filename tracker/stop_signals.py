"""SIGTERM and SIGINT as a condition that the main thread of a process can wait for.

A Python signal handler runs between two bytecodes of the main thread, also inside a lock that this thread holds.
``threading.Event.set()`` takes such a lock, so a second signal that arrives inside the first handler would wait for itself for ever. The
handlers here only append to a list, which takes no lock. The interpreter itself writes a byte to a non-blocking pipe when a signal
arrives (``signal.set_wakeup_fd``), so a wait ends at once.
"""

import os
import select
import signal
import time
from types import FrameType
from typing import Final, Self

URGENT_SIGNALS: Final = 3
"""From this number of signals on, a process ends at once. Two are usual: a process group gets SIGTERM while ``make`` passes its own on."""

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """The stop signals that this process has received. A context manager; only the main thread may enter it and wait."""

    def __init__(self, *, exits_when_urgent: bool = False) -> None:
        """exits_when_urgent: whether the process exits in the handler of the last signal, for a main thread that may be waiting for
        something else, such as a database that does not answer. Its exit code is then 128 and the signal's number."""
        self._exits_when_urgent = exits_when_urgent
        self._received: list[int] = []
        self._read_end, self._write_end = -1, -1
        self._poll = select.poll()

    def __enter__(self) -> Self:
        """Installs the handlers."""
        self._read_end, self._write_end = os.pipe()
        for descriptor in (self._read_end, self._write_end):
            os.set_blocking(descriptor, False)
        self._poll.register(self._read_end, select.POLLIN)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in _NUMBERS:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Ignores the signals from now on: the process ends, and a late signal must not change its exit code."""
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self._read_end)
        os.close(self._write_end)

    @property
    def last(self) -> int | None:
        """Number of the latest signal; None before the first."""
        return self._received[-1] if self._received else None

    def is_set(self) -> bool:
        """Whether this process has been asked to stop."""
        return bool(self._received)

    def is_urgent(self) -> bool:
        """Whether this process has been asked so often that it is to end at once."""
        return len(self._received) >= URGENT_SIGNALS

    def wait(self, seconds: float, signals: int = 1) -> bool:
        """Wait until so many signals have been received in all; False: they have not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while len(self._received) < signals:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self._poll.poll(remaining * 1000):
                self._empty_pipe()
        return True

    def _empty_pipe(self) -> None:
        try:
            while os.read(self._read_end, 4096):
                pass
        except BlockingIOError:
            return

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Nothing that takes a lock may be done here: see the module's docstring.
        self._received.append(number)
        if self._exits_when_urgent and self.is_urgent():
            os._exit(128 + number)
