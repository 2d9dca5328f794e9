"""Migrations: each once, whoever starts, whoever is killed."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.support.database import PostgresForTests, database_of
from tracker.errors import DatabaseUnavailableError, MigrationError
from tracker.postgres import migrations
from tracker.postgres.migrations import APPLICATION, MIGRATION_LOCK, migrate, pending_migrations
from tracker.postgres.sql_files import SQL_DIR

FILES = sorted((SQL_DIR / "migrations").glob("*.sql"))
NAMES = [path.stem for path in FILES]

PROGRAM = "import json, sys; from tracker.postgres.migrations import migrate; print(json.dumps(migrate(sys.argv[1])), file=sys.stderr)"


@contextmanager
def migrating(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that migrates, and says last what it applied."""
    command = [sys.executable, "-c", PROGRAM, database_url]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=SQL_DIR.parent
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def applied_by(process: subprocess.Popen[str]) -> list[str]:
    """Names of the migrations that the process applied."""
    assert process.stderr is not None
    text = process.stderr.read()
    assert process.wait() == 0, text
    return json.loads(text.splitlines()[-1])


def until(connection: psycopg.Connection[Any], expected: int, condition: str) -> list[int]:
    """Wait until so many sessions of this database meet a condition on pg_stat_activity; their process ids."""
    statement = sql.SQL(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND {}"
    ).format(sql.SQL(condition))  # pyright: ignore[reportArgumentType]  # written in this module
    while True:
        pids = [pid for (pid,) in connection.execute(statement)]
        if len(pids) == expected:
            return pids


@pytest.fixture
def connection_to_empty(empty_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """As a superuser, autocommit."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def obstacle(empty_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who is about to make a table of the first migration, which therefore stops in its middle and waits."""
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE events ()")
        yield connection
        connection.rollback()


def test_a_second_run_applies_nothing(empty_database_url: str) -> None:
    """All at first, in order of their names; then none."""
    assert pending_migrations(empty_database_url) == NAMES
    assert migrate(empty_database_url) == NAMES
    assert pending_migrations(empty_database_url) == []
    assert migrate(empty_database_url) == []


def test_two_processes_at_once(empty_database_url: str) -> None:
    """One migrates, the other waits for it and finds nothing left to do."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s::bigint)", (MIGRATION_LOCK,))
        with migrating(empty_database_url) as one, migrating(empty_database_url) as other:
            until(connection, 2, f"application_name = '{APPLICATION}'")
            connection.execute("SELECT pg_advisory_unlock_all()")
            assert sorted([applied_by(one), applied_by(other)]) == [[], NAMES]


def test_a_lock_that_is_held_is_not_waited_for_for_ever(empty_database_url: str) -> None:
    """Whoever holds it, the wait ends, says what it was for, and leaves the database as it was."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s::bigint)", (MIGRATION_LOCK,))
        with pytest.raises(
            DatabaseUnavailableError, match=r"Another process has held the lock for migrations for more than 0\.2 s"
        ):
            migrate(empty_database_url, lock_seconds=0.2)
        connection.execute("SELECT pg_advisory_unlock_all()")
    assert migrate(empty_database_url) == NAMES


def test_a_login_that_may_not_even_look_is_an_error_of_ours(
    empty_database_url: str, connection_to_empty: psycopg.Connection[Any]
) -> None:
    """One message, no traceback of the driver's: before the first migration too."""
    login = f"login_{urlsplit(empty_database_url).path.strip('/')}"
    role = sql.Identifier(login)
    connection_to_empty.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'nobody-knows'").format(role))
    try:
        url = urlsplit(empty_database_url)
        netloc = f"{login}:nobody-knows@{url.netloc.rpartition('@')[2]}"
        with pytest.raises(MigrationError, match="The database does not say which migrations it has: "):
            migrate(url._replace(netloc=netloc).geturl())
    finally:
        connection_to_empty.execute(sql.SQL("DROP ROLE {}").format(role))


def kill_process(process: subprocess.Popen[str], connection: psycopg.Connection[Any], backend: int) -> None:
    """The process dies; its session at the server finds out later."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def kill_backend(process: subprocess.Popen[str], connection: psycopg.Connection[Any], backend: int) -> None:
    """The session dies; its process says so and fails."""
    connection.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
    assert process.stderr is not None
    assert "MigrationError: Migration 0001_create_log failed, nothing of it was kept: " in process.stderr.read()
    assert process.wait() == 1


@pytest.mark.parametrize("kill", [kill_process, kill_backend])
def test_a_killed_migration_leaves_nothing_behind(
    empty_database_url: str, obstacle: psycopg.Connection[Any], kill: Callable[..., None]
) -> None:
    """No half of a migration, and no lock that the next run would wait for."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        with migrating(empty_database_url) as process:
            (backend,) = until(connection, 1, "wait_event_type = 'Lock'")
            kill(process, connection, backend)
        obstacle.rollback()
        assert migrate(empty_database_url) == NAMES
        until(connection, 0, "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')")


def test_a_migration_that_fails_is_not_kept(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not its first statement either; the ones before it are, and the next attempt goes on from there."""
    shutil.copytree(SQL_DIR / "migrations", tmp_path / "migrations")
    bad = tmp_path / "migrations" / "9999_divide_by_zero.sql"
    bad.write_text("CREATE TABLE half ();\n\nSELECT 1 / 0;\n")
    monkeypatch.setattr(migrations, "SQL_DIR", tmp_path)
    with pytest.raises(
        MigrationError, match="Migration 9999_divide_by_zero failed, nothing of it was kept: division by zero"
    ):
        migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('half'), to_regclass('events')::text").fetchone() == (
            None,
            "events",
        )
    bad.write_text("CREATE TABLE whole ();\n")
    assert migrate(empty_database_url) == ["9999_divide_by_zero"]


def test_no_database_says_so(empty_database_url: str) -> None:
    """In one sentence, without the password."""
    with pytest.raises(DatabaseUnavailableError, match="No connection to the database: ") as caught:
        migrate("postgresql://tracker:nobody-may-see@127.0.0.1:1/none")
    assert "nobody-may-see" not in str(caught.value)
    with pytest.raises(DatabaseUnavailableError, match="does not exist"):
        migrate(database_of(empty_database_url, "no such database"))


def test_names_follow_the_rule() -> None:
    """NNNN_verb_object, numbered without gaps, so that two that are written side by side are noticed."""
    assert all(re.fullmatch(r"\d{4}_[a-z]+(_[a-z]+)+", name) for name in NAMES)
    assert [int(name[:4]) for name in NAMES] == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_statement_has_its_reason(path: Path) -> None:
    """Right above it, as a comment; statements that belong together share one."""
    lines = ["", *path.read_text("utf-8").splitlines()]
    bare = [line for before, line in pairwise(lines) if re.match(r"[A-Z]{2,} ", line) and before == ""]
    assert bare == []


def test_roles_that_another_database_made_are_found(postgres: PostgresForTests, empty_database_url: str) -> None:
    """They belong to the cluster; two databases of it may be migrated at the same moment."""
    with (
        postgres.database(migrated=False) as other_url,
        migrating(empty_database_url) as one,
        migrating(other_url) as other,
    ):
        assert applied_by(one) == applied_by(other) == NAMES


def test_a_migration_is_on_record_or_not_there(empty_database_url: str) -> None:
    """Statements and record are one transaction: whoever loses the database in between can go on, instead of finding tables that are
    there already."""
    assert pending_migrations(empty_database_url) == NAMES
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE _yoyo_migration ADD CONSTRAINT refused CHECK (migration_id NOT LIKE '0002%')")
        with pytest.raises(MigrationError, match=f"{NAMES[1]} failed, nothing of it was kept"):
            migrate(empty_database_url)
        assert connection.execute("SELECT to_regclass('log_head'), to_regclass('projections')").fetchone() == (
            "log_head",
            None,
        )
        connection.execute("ALTER TABLE _yoyo_migration DROP CONSTRAINT refused")
    assert migrate(empty_database_url) == NAMES[1:]
