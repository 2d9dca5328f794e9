"""What the modules of the spool share about its SQLite file."""

import sqlite3
from functools import cache
from typing import Final

from tracker.postgres.sql_files import SQL_DIR

PAGE_BYTES: Final = 4096

MARKED: Final = 1
"""``user_version`` of a file that has a mark."""

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


@cache
def statement(name: str) -> str:
    """A statement of the spool: ``sql/spool/{name}.sql``."""
    return (SQL_DIR / "spool" / f"{name}.sql").read_text(encoding="utf-8")


def read_user_version(connection: sqlite3.Connection) -> int:
    """The number that an application may put into the file; 0 in one of an earlier version."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


def is_damage(error: sqlite3.Error | OSError) -> bool:
    """Whether a file is not what was written; every other failure may pass."""
    # The low byte is the kind of failure, what is above it the detail (https://www.sqlite.org/rescode.html).
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
