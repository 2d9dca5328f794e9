"""Forward-only migrations from ``sql/migrations``, applied by yoyo.

yoyo keeps its own lock as a row that outlives a killed process; a session-level advisory lock takes its place, which
PostgreSQL gives back when the process dies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import psycopg
import structlog
import yoyo
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import Migration, MigrationList

from tracker.database.queries import SQL_DIR, query
from tracker.errors import DatabaseUnavailableError, MigrationError

_log = structlog.get_logger()

MIGRATION_LOCK = 0x7477_0001
"""Key of the advisory lock that one migrating process holds."""


def migrate(database_url: str) -> list[str]:
    """Apply what has not been applied yet; returns the names of the migrations applied now, in order.

    Of several processes that start together one migrates and the others wait for it.

    Raises MigrationError when a statement fails, DatabaseUnavailableError when there is no connection.
    """
    with _locked(database_url):
        backend = yoyo.get_backend(_yoyo_uri(database_url))
        try:
            pending: MigrationList = backend.to_apply(yoyo.read_migrations(str(SQL_DIR / "migrations")))
            for migration in pending:
                _apply(backend, migration)
            return [migration.id for migration in pending]
        finally:
            backend.connection.close()


def pending_migrations(database_url: str) -> list[str]:
    """Names of the migrations that ``migrate`` would apply, in order."""
    with _locked(database_url):
        backend = yoyo.get_backend(_yoyo_uri(database_url))
        try:
            return [migration.id for migration in backend.to_apply(yoyo.read_migrations(str(SQL_DIR / "migrations")))]
        finally:
            backend.connection.close()


def _apply(backend: DatabaseBackend, migration: Migration) -> None:
    try:
        backend.apply_one(migration)
    except psycopg.Error as error:
        raise MigrationError(f"Migration {migration.id} failed, nothing of it was kept: {error}") from error
    _log.info("migration.applied", migration=migration.id)


@contextmanager
def _locked(database_url: str) -> Iterator[None]:
    try:
        connection = psycopg.connect(database_url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"No connection to the database: {error}") from error
    with connection:
        connection.execute(query("lock_migrations"), {"key": MIGRATION_LOCK})
        yield


def _yoyo_uri(database_url: str) -> str:
    """yoyo takes a URL of its own scheme, with everything but the database's name as query parameters."""
    parameters = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value is not None}
    database = parameters.pop("dbname", "")
    return f"postgresql+psycopg:///{quote(database, safe='')}?{urlencode(parameters)}"
