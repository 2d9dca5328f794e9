"""The SQL files: ``sql/queries/NAME.sql``, one statement each, and the migrations beside them."""

from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
"""Where the SQL files are, in a checkout and in an installed wheel alike."""


@cache
def query(name: str) -> bytes:
    """The statement in ``sql/queries/{name}.sql``, as psycopg takes it. FileNotFoundError: there is no such file."""
    return (SQL_DIR / "queries" / f"{name}.sql").read_bytes()
