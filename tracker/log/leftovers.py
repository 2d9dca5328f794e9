"""Spool files that nobody writes to: of workers that there are no longer, brought over from another machine, or damaged.

Worker 0 drains them. Whatever is named ``*.sqlite`` in the spool directory counts, so the spool of a server that is gone is put there
under a name of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

from tracker.log.journal import Journal
from tracker.log.salvage import damaged_files
from tracker.log.spool import Spool, SpoolSize

_NO_LIMIT: Final = 2**42


def worker_file(directory: Path, worker: int) -> Path:
    """The spool file of a worker."""
    return directory / f"worker-{worker}.sqlite"


class Leftovers:
    """The files in a spool directory that belong to none of the workers."""

    def __init__(
        self, directory: Path, workers: int, thread: Executor, on_change: Callable[[], object] = lambda: None
    ) -> None:
        """thread: as for Journal. on_change: told after each change of ``size``."""
        self._directory = directory
        self._living = {worker_file(directory, worker) for worker in range(workers)}
        self._thread = thread
        self._on_change = on_change
        self._sizes: dict[Path, SpoolSize] = {}

    @property
    def size(self) -> SpoolSize:
        """Of all of them together, as far as they have been opened."""
        sizes = self._sizes.values()
        return SpoolSize(
            sum(each.events for each in sizes), sum(each.refused for each in sizes), sum(each.bytes for each in sizes)
        )

    def journals(self) -> Iterator[Journal]:
        """One for each file, to be opened, emptied and closed."""
        for path in sorted(set(self._directory.glob("*.sqlite")) - self._living):
            yield Journal(Spool(path, _NO_LIMIT), self._thread, partial(self._note, path))

    def damaged(self) -> list[Path]:
        """Files that were set aside, of living workers too, and not read yet; oldest first."""
        return damaged_files(self._directory)

    def _note(self, path: Path, size: SpoolSize) -> None:
        self._sizes[path] = size
        self._on_change()
