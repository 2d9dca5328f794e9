"""Forward-only migrations from ``sql/migrations``, applied by yoyo.

yoyo keeps its own lock as a row that outlives a killed process; a session-level advisory lock takes its place, which
PostgreSQL gives back when the process dies.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
import structlog
import yoyo
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import Migration

from tracker.errors import DatabaseUnavailableError, MigrationError
from tracker.postgres.roles import conninfo
from tracker.postgres.sql_files import SQL_DIR, query

_log = structlog.get_logger()

MIGRATION_LOCK: Final = 0x7477_0001
"""Key of the advisory lock that one migrating process holds."""

APPLICATION: Final = "tracker-migrate"
"""What PostgreSQL shows for its sessions."""


LOCK_SECONDS: Final = 60.0
"""How long another process that migrates is waited for."""

POLL_SECONDS: Final = 0.1
"""How often the lock is asked for."""


def migrate(database_url: str, *, lock_seconds: float = LOCK_SECONDS) -> list[str]:
    """Apply what has not been applied yet; returns the names of the migrations applied now, in order.

    Of several processes that start together one migrates and the others wait for it.

    Raises MigrationError when a statement fails, DatabaseUnavailableError when there is no connection, or another process migrates for
    longer than ``lock_seconds``.
    """
    with _pending(database_url, lock_seconds) as (backend, pending):
        for migration in pending:
            _apply(backend, migration)
        return [migration.id for migration in pending]


def pending_migrations(database_url: str) -> list[str]:
    """Names of the migrations that ``migrate`` would apply, in order. Raises as that does."""
    with _pending(database_url, LOCK_SECONDS) as (_, pending):
        return [migration.id for migration in pending]


@contextmanager
def _pending(database_url: str, lock_seconds: float) -> Iterator[tuple[DatabaseBackend, list[Migration]]]:
    """yoyo's connection and what it has not applied yet, while nobody else migrates."""
    info = conninfo(database_url, role=None, application=APPLICATION)
    try:
        with _locked(info, lock_seconds):
            backend = yoyo.get_backend(_yoyo_uri(info))
            try:
                yield backend, list(backend.to_apply(yoyo.read_migrations(str(SQL_DIR / "migrations"))))
            finally:
                backend.connection.close()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"No connection to the database: {error}") from error
    except psycopg.Error as error:
        raise MigrationError(f"The database does not say which migrations it has: {error}") from error


def _apply(backend: DatabaseBackend, migration: Migration) -> None:
    """In one transaction with yoyo's own record of it. yoyo's ``apply_one`` takes two: whoever was killed in between, or lost the
    database, found tables that were there and not on record, and could not go on."""
    try:
        backend.ensure_internal_schema_updated()
        with backend.transaction():
            migration.process_steps(backend, "apply")
            backend.log_migration(migration, "apply")
            backend.mark_one(migration, log=False)
    except psycopg.Error as error:
        raise MigrationError(f"Migration {migration.id} failed, nothing of it was kept: {error}") from error
    _log.info("migration.applied", migration=migration.id)


@contextmanager
def _locked(info: str, seconds: float) -> Iterator[None]:
    """Raises psycopg.Error, or DatabaseUnavailableError when another process holds the lock for longer."""
    deadline = time.monotonic() + seconds
    has_waited = False
    with closing(psycopg.connect(info, autocommit=True)) as connection:
        while connection.execute(query("lock_migrations"), {"key": MIGRATION_LOCK}).fetchone() != (True,):
            if not has_waited:
                _log.info("migration.waiting", reason="another process migrates")
                has_waited = True
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"Another process has held the lock for migrations for more than {seconds:g} s. See pg_locks, objid"
                    f" {MIGRATION_LOCK}, for its session."
                )
            time.sleep(POLL_SECONDS)
        yield


def _yoyo_uri(info: str) -> str:
    """yoyo takes a URL of its own scheme, with everything but the database's name as query parameters."""
    parameters = {name: str(value) for name, value in conninfo_to_dict(info).items() if value is not None}
    database = parameters.pop("dbname", "")
    return f"postgresql+psycopg:///{quote(database, safe='')}?{urlencode(parameters)}"
