"""Takes a stretch of the log in at full speed: while one batch is folded, the next one is read and the one before is written."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from projections.fold.message import Said
from projections.projection import Connection, Projection
from projections.runner import read_events
from projections.stream_fold import MAX_MESSAGES, Folder
from projections.writing import OnBatch, write_batch

BATCH_EVENTS: Final = 20_000
"""Events in one transaction at most. Three batches are in memory at a time."""


class Pipeline:
    """The projections on three connections, which it owns while it runs: one reads the log, one writes, one looks earlier events up."""

    def __init__(
        self,
        reader: Connection,
        writer: Connection,
        history: Connection,
        *,
        batch_events: int = BATCH_EVENTS,
        max_messages: int = MAX_MESSAGES,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._history = history
        self._batch_events = batch_events
        self._max_messages = max_messages
        self._folder: Folder | None = None

    def take_in(self, group: Sequence[Projection[Any]], position: int, until: int, on_batch: OnBatch) -> None:
        """As in ``rebuild.Taker``. Raises RebuildError when an event cannot be taken in; the batches before it are committed."""
        folder = self._folder_at(position)
        with ThreadPoolExecutor(1, "read") as reading, ThreadPoolExecutor(1, "write") as writing:
            ahead = reading.submit(self._read, position, until)
            written: Future[None] | None = None
            while events := ahead.result():
                before, after = folder.position, events[-1].position
                ahead = reading.submit(self._read, after, until)
                changes = folder.fold(group, events, after)
                if written is not None:
                    written.result()
                written = writing.submit(self._write, group, changes, before, after, on_batch)
            if written is not None:
                written.result()
        self._folder = folder

    def _folder_at(self, position: int) -> Folder:
        """That of the last call when it stands there, so that going on costs nothing."""
        kept, self._folder = self._folder, None
        if kept is not None and kept.position == position:
            return kept
        return Folder(self._history, position, self._max_messages)

    def _read(self, position: int, until: int) -> list[Said]:
        limit = min(self._batch_events, until - position)
        return read_events(self._reader, position, limit) if limit > 0 else []

    def _write(
        self, group: Sequence[Projection[Any]], changes: Sequence[Any], before: int, after: int, on_batch: OnBatch
    ) -> None:
        write_batch(self._writer, group, changes, before, after)
        on_batch(after - before, after)
