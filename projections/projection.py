"""What a projection is: a name, a version, tables, a pure fold, and a thin shell that writes what the fold gave."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import psycopg

from projections.fold.transitions import Batch

Changes = TypeVar("Changes")

Connection = psycopg.Connection[Any]
"""Rows are whatever the statement's row factory makes of them."""


class Projection(Protocol[Changes]):
    """A table, or several, derived from the log. Implemented by a module-level object; ``projections.registry`` lists them all.

    The runner folds a batch and writes its changes in one transaction with the checkpoint, so each event is taken in exactly
    once, wherever the process is killed. A fold that raises stops this projection, not the others.
    """

    @property
    def name(self) -> str:
        """Names the projection in the checkpoint table, in metrics and on the command line."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same events would give other rows; the tables are then rebuilt."""
        ...

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that only this projection writes."""
        ...

    def fold(self, batch: Batch) -> Changes:
        """What the batch changes. Pure: no I/O, no clock, and the same for one batch as for its parts one after the other."""
        ...

    def merge(self, changes: Sequence[Changes]) -> Changes:
        """What several folds change together, which were of different messages and of the same stretch of the log. Pure, and in
        whatever order they are given; they may be changed by it."""
        ...

    def write(self, connection: Connection, changes: Changes) -> None:
        """Write the changes inside the open transaction. Table names are resolved by the search path."""
        ...
