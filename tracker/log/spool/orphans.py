"""Spool files that nobody writes to: of workers that there are no longer, brought over from another machine, or damaged.

Worker 0 drains them. Whatever is named ``*.sqlite`` in the spool directory counts, so the spool of a server that is gone is put there
under a name of its own: its WAL first, the file itself last, by renaming it. A file that is copied in under its final name is opened
without its WAL when that comes later, so what has just changed is left alone until it has been quiet.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from tracker.log.spool.recovery import damaged_files, kept_files
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool
from tracker.log.spool.spooled_record import SpoolSize

_log = structlog.get_logger()

SETTLED_SECONDS: Final = 5.0
"""How long a file must not have changed before it is opened."""

RETRY_SECONDS: Final = 600.0
"""How often refused records are tried again: what refused them may have been mended."""

SALVAGE_RETRY_SECONDS: Final = 60.0
"""The same for a damaged file that could not be read."""

_NO_LIMIT: Final = 2**42

_Marks = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of change in nanoseconds, of a file and of its WAL."""


def worker_file(directory: Path, worker: int) -> Path:
    """The spool file of a worker."""
    return directory / f"worker-{worker}.sqlite"


class Leftovers:
    """The files in a spool directory that belong to none of the workers. Looking at them blocks, so it is done on a thread."""

    def __init__(
        self,
        directory: Path,
        workers: int,
        thread: Executor,
        on_change: Callable[[], object] = lambda: None,
        on_damage: Callable[[], object] = lambda: None,
    ) -> None:
        """thread, on_damage: as for Journal. on_change: told after each change of ``size`` and ``kept``."""
        self._directory = directory
        self._living = {worker_file(directory, worker) for worker in range(workers)}
        self._thread = thread
        self._on_change = on_change
        self._on_damage = on_damage
        self.kept = 0
        """Damaged files that were set aside and are still in the directory, as of the last look."""
        self._sizes: dict[Path, SpoolSize] = {}
        self._left: dict[Path, _Marks] = {}
        """Files as this process has left them."""
        self._not_before: dict[str, float] = {}
        """By name: when what could not be taken is to be tried again, by the monotonic clock."""
        self._told = (0, 0)
        self.is_unsettled = False
        """Whether the last look found a file that has just changed."""

    @property
    def size(self) -> SpoolSize:
        """Of all of them together, as far as they have been opened."""
        sizes = self._sizes.values()
        return SpoolSize(
            sum(each.events for each in sizes), sum(each.refused for each in sizes), sum(each.bytes for each in sizes)
        )

    async def journals(self) -> list[Journal]:
        """One for each file in which there is something to do, to be opened, emptied, and deleted or closed and left."""
        return [
            Journal(Spool(path, _NO_LIMIT), self._thread, partial(self._note, path), on_damage=self._on_damage)
            for path in await asyncio.to_thread(self._find)
        ]

    async def damaged(self) -> list[Path]:
        """Files that were set aside, of living workers too, and not read yet; oldest first."""
        found = await asyncio.to_thread(damaged_files, self._directory)
        return [path for path in found if not self._rests(path.name)]

    async def count_kept(self) -> None:
        """Look how many damaged files are there."""
        kept = len(await asyncio.to_thread(kept_files, self._directory))
        if kept != self.kept:
            self.kept = kept
            self._on_change()

    def may_retry(self, journal: Journal) -> bool:
        """Whether what was refused in it is to be tried again; if so, not again before RETRY_SECONDS are over."""
        if self._rests(journal.name):
            return False
        self._not_before[journal.name] = time.monotonic() + RETRY_SECONDS
        return True

    def postpone(self, damaged: Path) -> None:
        """It could not be read: try it again in SALVAGE_RETRY_SECONDS."""
        self._not_before[damaged.name] = time.monotonic() + SALVAGE_RETRY_SECONDS

    async def leave(self, journal: Journal) -> None:
        """The journal was closed. As long as nobody changes its file, it is known."""
        path = self._directory / journal.name
        self._left[path] = marks = await asyncio.to_thread(_marks, path)
        if not marks:
            del self._left[path]
            self._not_before.pop(journal.name, None)

    def _rests(self, name: str) -> bool:
        return time.monotonic() < self._not_before.get(name, 0)

    def _find(self) -> list[Path]:
        return [path for path in self._survey() if self._is_ready(path)]

    def _survey(self) -> list[Path]:
        """All leftovers. What they and the damaged files take, which no limit bounds, is logged when it has changed."""
        self.is_unsettled = False
        own = {path.name for path in self._living}
        others = [
            each
            for each in self._directory.glob("*")
            if each.name.removesuffix("-wal").removesuffix("-shm").removesuffix("-mark") not in own
        ]
        told = (len(others), sum(size for path in others for _, _, size, _ in _marks(path, beside=())))
        if told != self._told:
            _log.info("spool.other_files", directory=str(self._directory), files=told[0], bytes=told[1])
            self._told = told
        return sorted(path for path in others if path.suffix == ".sqlite")

    def _is_ready(self, path: Path) -> bool:
        marks = _marks(path)
        if marks == self._left.get(path):
            size = self._sizes.get(path, SpoolSize())
            return bool(size.events) or not self._rests(path.name)
        newest = max((changed for *_, changed in marks), default=0) / 1e9
        if 0 <= time.time() - newest < SETTLED_SECONDS:
            self.is_unsettled = True
            return False
        # An empty file is no spool; SQLite would make one of it, and delete a WAL beside it.
        return any(name == path.name and size for name, _, size, _ in marks)

    def _note(self, path: Path, size: SpoolSize) -> None:
        self._sizes[path] = size
        self._on_change()


def _marks(path: Path, beside: tuple[str, ...] = ("-wal",)) -> _Marks:
    found: list[tuple[str, int, int, int]] = []
    for suffix in ("", *beside):
        each = path.with_name(path.name + suffix)
        try:
            stat = each.stat()
        except OSError:
            continue
        found.append((each.name, stat.st_ino, stat.st_size, stat.st_ctime_ns))
    return tuple(found)
