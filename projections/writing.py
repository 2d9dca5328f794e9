"""Writes what a batch changes into the tables of a rebuild, and moves their checkpoints, in one transaction."""

from collections.abc import Callable, Sequence
from typing import Any

from projections.projection import Connection, Projection
from projections.runner import explain, is_poison
from tracker.errors import RebuildError
from tracker.postgres.sql_files import query

OnBatch = Callable[[int, int], object]
"""Told how many events a batch had and the position after it, when the batch is committed."""


def write_batch(
    connection: Connection, group: Sequence[Projection[Any]], changes: Sequence[Any], before: int, after: int
) -> None:
    """All of them, or none. changes: of each projection. before, after: positions. Raises RebuildError."""
    with connection.transaction():
        for projection, change in zip(group, changes, strict=True):
            write(connection, projection, change, before, after)


def write(connection: Connection, projection: Projection[Any], changes: object, before: int, after: int) -> None:
    """One of them, in the open transaction. Raises RebuildError."""
    try:
        projection.write(connection, changes)
    except Exception as error:
        if is_poison(error):
            raise RebuildError(
                f"{projection.name} cannot take in the events up to position {after}: {explain(error)}"
            ) from error
        raise
    checkpoint = {"name": projection.name, "version": projection.version, "from": before, "to": after}
    if connection.execute(query("move_checkpoint"), checkpoint).fetchone() is None:
        raise RebuildError(f"The rebuild of {projection.name} was changed by somebody else; run it again.")
