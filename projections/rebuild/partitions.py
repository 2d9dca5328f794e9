"""Takes a long stretch of the log in on several processors: each process reads and folds the messages that fall to it.

What they find in one range of positions is merged and written in one transaction, here, so that a rebuild stands at one position
whatever dies.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from projections.projection import Connection, Projection
from projections.rebuild.session import rebuild_session
from projections.runner import read_share
from projections.stream_fold import COLLECT_AFTER, Folder
from projections.writing import OnBatch, write_batch
from tracker.garbage import rare_collections

MAX_SHARES: Final = 4
"""Beyond so many the one session that writes is what everything waits for."""

MANY_EVENTS: Final = 100_000
"""A shorter stretch is over before the processes have started."""

RANGES_AHEAD: Final = 2
"""Ranges that may be folded while one is written."""


def usual_shares() -> int:
    """As many as there are processors for this process, within reason."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MAX_SHARES)


class Folded(NamedTuple):
    """What one process found in a range."""

    events: int
    changes: list[Any]
    """Of each projection."""


class _Range(NamedTuple):
    after: int
    until: int
    folded: "list[Future[Folded]]"
    """By each process."""


class Shares:
    """The processes. ``sharing`` makes and ends them."""

    def __init__(self, executors: Sequence[ProcessPoolExecutor], writer: Connection, batch_events: int) -> None:
        """executors: of one process each. batch_events: that one of them folds at a time, on average."""
        self._executors = executors
        self._writer = writer
        self._range_events = batch_events * len(executors)

    def take_in(self, group: Sequence[Projection[Any]], position: int, until: int, on_batch: OnBatch) -> None:
        """As in ``rebuild.Taker``. Raises BrokenProcessPool, too, when one of the processes has died."""
        ahead: deque[_Range] = deque()
        for after in range(position, until, self._range_events):
            ahead.append(self._fold(group, after, min(after + self._range_events, until)))
            if len(ahead) > RANGES_AHEAD and not self._write(group, ahead.popleft(), on_batch):
                return
        while ahead and self._write(group, ahead.popleft(), on_batch):
            pass

    def _fold(self, group: Sequence[Projection[Any]], after: int, until: int) -> _Range:
        return _Range(after, until, [each.submit(_fold, tuple(group), after, until) for each in self._executors])

    def _write(self, group: Sequence[Projection[Any]], found: _Range, on_batch: OnBatch) -> bool:
        """Write a range. False, and nothing is written: there is a gap in it."""
        folded = [future.result() for future in found.folded]
        if sum(each.events for each in folded) < found.until - found.after:
            return False
        changes = [projection.merge([each.changes[place] for each in folded]) for place, projection in enumerate(group)]
        write_batch(self._writer, group, changes, found.after, found.until)
        on_batch(found.until - found.after, found.until)
        return True


@contextmanager
def sharing(
    conninfo: str, shares: int, writer: Connection, *, batch_events: int, max_messages: int
) -> Iterator[Shares]:
    """So many processes, which have started when the block begins, and end with it.

    conninfo: as the owner of the tables. max_messages: that they keep in memory together. Raises BrokenProcessPool when one does not start.
    """
    # Not forked: a copy of this process would have its connections.
    context = multiprocessing.get_context("spawn")
    executors = [
        ProcessPoolExecutor(1, context, _begin, (conninfo, share, shares, max_messages // shares))
        for share in range(shares)
    ]
    try:
        # All at once; by themselves they would start with the first range.
        for started in [executor.submit(os.getpid) for executor in executors]:
            started.result()
        yield Shares(executors, writer, batch_events)
    finally:
        for executor in executors:
            executor.shutdown(cancel_futures=True)


class _Share:
    """What one of the processes has: a connection, and the messages that fall to it."""

    def __init__(self, conninfo: str, share: int, shares: int, max_messages: int) -> None:
        self._conninfo = conninfo
        self._share = share
        self._shares = shares
        self._max_messages = max_messages
        self._open = ExitStack()
        self._connection: Connection | None = None
        self._folder: Folder | None = None

    def fold(self, group: Sequence[Projection[Any]], after: int, until: int) -> Folded:
        """The events of a range that concern these messages."""
        if self._connection is None:
            # Not before it is wanted: what is wrong with it is then told to whoever wants it.
            self._connection = self._open.enter_context(rebuild_session(self._conninfo, "off"))
            self._open.enter_context(rare_collections(COLLECT_AFTER))
        folder, self._folder = self._folder, None
        if folder is None or folder.position != after:
            folder = Folder(self._connection, after, self._max_messages)
        events = read_share(self._connection, after, until, self._share, self._shares)
        changes = folder.fold(group, events, until)
        self._folder = folder
        return Folded(len(events), changes)


_own: list[_Share] = []
"""Of this process, where it is one of them."""


def _begin(conninfo: str, share: int, shares: int, max_messages: int) -> None:
    """At the start of each of the processes."""
    # Ctrl-C goes to all of them; the one that was started ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    _own.append(_Share(conninfo, share, shares, max_messages))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _fold(group: Sequence[Projection[Any]], after: int, until: int) -> Folded:
    return _own[0].fold(group, after, until)
