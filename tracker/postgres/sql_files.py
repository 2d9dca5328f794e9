"""The SQL files: ``sql/queries/NAME.sql``, one statement each, and the migrations beside them."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
"""Where the SQL files are, in a checkout and in an installed wheel alike."""

_PARAMETER = re.compile(rb"%\((\w+)\)[bs]")


class Statement(NamedTuple):
    """A statement as PostgreSQL itself takes it."""

    name: str
    text: bytes
    """With $1, $2 … for its parameters."""
    parameters: tuple[str, ...]
    """Their names, in that order."""


@cache
def query(name: str) -> bytes:
    """The statement in ``sql/queries/{name}.sql``, as psycopg takes it. FileNotFoundError: there is no such file."""
    return (SQL_DIR / "queries" / f"{name}.sql").read_bytes()


@cache
def statement(name: str) -> Statement:
    """The same for ``DirectConnection``."""
    text = query(name)
    parameters = tuple(dict.fromkeys(found.decode() for found in _PARAMETER.findall(text)))
    return Statement(
        name, _PARAMETER.sub(lambda found: b"$%d" % (parameters.index(found[1].decode()) + 1), text), parameters
    )
