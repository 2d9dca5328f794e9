"""A first start and a database that is not there yet."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from tests.support.database import PostgresForTests, database_of
from tests.support.serving import Tracker, starting_tracker
from tests.support.waiting import wait_until
from tracker.errors import DatabaseUnavailableError, MigrationError
from tracker.settings import load_settings
from tracker.supervisor import database_supervisor as keeper
from tracker.supervisor.database_supervisor import DatabaseKeeper


def keeper_of(database_url: str) -> DatabaseKeeper:
    """A keeper that has tried once, in vain."""
    found = DatabaseKeeper(load_settings({"database_url": SecretStr(database_url)}), migrates=True)
    found.start()
    wait_until(lambda: found.failure is not None, "the first attempt")
    return found


def test_a_database_that_cannot_be_reached_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a bound; then the first start ends with what was wrong last."""
    waiting = keeper_of("postgresql://127.0.0.1:1/none")
    assert isinstance(waiting.failure, DatabaseUnavailableError)
    assert waiting.fatal_failure is None
    monkeypatch.setattr(keeper, "FIRST_WAIT_SECONDS", 0.0)
    assert isinstance(waiting.fatal_failure, DatabaseUnavailableError)
    waiting.stop()


def test_a_database_that_cannot_be_migrated_is_not(empty_database_url: str) -> None:
    """Waiting does not help."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events ()")
    failing = keeper_of(empty_database_url)
    assert isinstance(failing.fatal_failure, MigrationError)
    failing.stop()


def test_a_database_that_comes_later_is_used(
    postgres: PostgresForTests, empty_database_url: str, tmp_path: Path
) -> None:
    """As in a set-up where all services start together. What is waited for is logged, once."""
    name = urlsplit(empty_database_url).path.strip("/") + "_later"
    log = tmp_path / "log"
    with (
        psycopg.connect(postgres.url, autocommit=True) as superuser,
        log.open("wb") as stderr,
        starting_tracker(database_of(postgres.url, name), stderr=stderr) as (process, directory),
    ):
        wait_until(lambda: b"No connection to the database" in log.read_bytes(), "the first attempt")
        superuser.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            tracker = Tracker(process, directory)
            tracker.wait_healthy()
            tracker.post_ok("sent", 1)
            assert tracker.stop() == 0
            tracker.client.close()
            assert log.read_bytes().count(b"No connection to the database") == 1
        finally:
            superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
