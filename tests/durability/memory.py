"""Memory of a process while a test runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

MEGABYTE = 2**20

SAMPLE_SECONDS = 0.02


class PeakMemory:
    """The greatest growth of a process's resident set since the beginning. Bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._start = process.memory_info().rss
        self._peak = self._start

    def sample(self) -> None:
        """Look once."""
        with suppress(psutil.NoSuchProcess):
            self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def growth(self) -> int:
        """Until now."""
        self.sample()
        return self._peak - self._start


@contextmanager
def peak_memory(process: psutil.Process) -> Iterator[PeakMemory]:
    """Sample a process's memory as long as the block lasts."""
    peak = PeakMemory(process)
    is_done = threading.Event()

    def watch() -> None:
        while not is_done.wait(SAMPLE_SECONDS):
            peak.sample()

    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield peak
    finally:
        is_done.set()
        thread.join()
