"""What a rebuild found different between the live tables and the new ones."""

from typing import Any

import msgspec


class Example(msgspec.Struct, frozen=True):
    """A row that differs."""

    key: dict[str, Any]
    old: dict[str, Any] | None
    """The live row's values that differ; None: it is not there."""
    new: dict[str, Any] | None
    """The new row's values that differ; None: it is not there."""


class TableDifferences(msgspec.Struct, frozen=True):
    """One table, rows matched by primary key."""

    table: str
    missing: int
    """Rows that only the live table has."""
    added: int
    """Rows that only the new table has."""
    different: int
    """Rows that both have, with other values."""
    columns: dict[str, int]
    """In how many of these each column differs, columns that do only."""
    kinds: dict[str, int]
    """In how many rows which columns differ: by their names, ``missing`` or ``added``. The ten rarest."""
    examples: list[Example]
    """Up to three of each kind, the rarest kind first; of a kind the first by key."""

    @property
    def rows(self) -> int:
        """How many rows are not the same."""
        return self.missing + self.added + self.different


class Rebuilt(msgspec.Struct, frozen=True):
    """What became of one projection."""

    projection: str
    version: int
    """Of the program, and of the new rows."""
    live_version: int | None
    """Of the old rows; None: there was no live projection."""
    position: int
    """Up to which the new tables were filled when they were compared."""
    live_position: int | None
    """Up to which the live tables were filled then. Another one than ``position``: the live projection had stopped."""
    tables: list[TableDifferences]
    switched: bool
    """Whether the new tables are the live ones now."""

    @property
    def rows(self) -> int:
        """How many rows were not the same."""
        return sum(table.rows for table in self.tables)
