"""Sessions of a rebuild."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg

from projections.projection import Connection
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.sql_files import query


@contextmanager
def rebuild_session(conninfo: str, synchronous_commit: Literal["on", "off"]) -> Iterator[Connection]:
    """A connection whose statements find the tables that are being rebuilt, closed at the end; in autocommit mode.

    synchronous_commit: off where a commit that is lost with the server is no more than work done twice.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        register_packed_arrays(connection)
        connection.execute(query("use_rebuild_tables"), {"synchronous_commit": synchronous_commit})
        yield connection
