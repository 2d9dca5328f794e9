"""The ground that the other tests stand on: a server is always found, and nothing of it is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from docker.errors import DockerException, ImageNotFound

import tests.support.database
from tests.support.database import URL_VARIABLE, PostgresForTests, docker_url, own_directory, running_server
from tracker.postgres.sql_files import SQL_DIR


def databases(url: str) -> set[str]:
    """Names of all databases of the server."""
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


class FakeContainer:
    """A container that runs another server."""

    def __init__(self, url: str, error: Exception | None) -> None:
        self.url = url
        self.error = error
        self.is_running = False

    @contextmanager
    def running(self, *arguments: object, **settings: object) -> Iterator["FakeContainer"]:
        """Stands in for PostgresContainer."""
        if self.error is not None:
            raise self.error
        self.is_running = True
        yield self
        self.is_running = False

    def get_connection_url(self) -> str:
        """As testcontainers names it."""
        return self.url


class FakeEngine:
    """An engine that answers."""

    @property
    def client(self) -> "FakeEngine":
        """As testcontainers names it."""
        return self

    def ping(self) -> bool:
        """It is there."""
        return True


def test_a_given_server_is_used_and_left_as_it_was(postgres: PostgresForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    """New databases beside those that are there, all of them gone at the end, however a test ended."""
    monkeypatch.setenv(URL_VARIABLE, postgres.url)
    before = databases(postgres.url)
    with running_server() as given:
        assert given.url == postgres.url
        with pytest.raises(ZeroDivisionError), given.database() as migrated, given.database(migrated=False) as empty:
            assert len(databases(postgres.url) - before) == 3
            with psycopg.connect(migrated) as one, psycopg.connect(empty) as other:
                assert one.execute("SELECT to_regclass('events')::text").fetchone() == ("events",)
                assert other.execute("SELECT to_regclass('events')::text").fetchone() == (None,)
                raise ZeroDivisionError
    assert databases(postgres.url) == before


def test_each_test_has_a_database_of_its_own(postgres: PostgresForTests) -> None:
    """What one writes another does not see, and somebody who is still connected keeps no database alive."""
    with postgres.database() as first, postgres.database() as second:
        lingering = psycopg.connect(first, autocommit=True)
        lingering.execute("UPDATE log_head SET position = 7")
        with psycopg.connect(second) as connection:
            assert connection.execute("SELECT position FROM log_head").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError):
        lingering.execute("SELECT 1")
    lingering.close()


def test_docker_is_used_where_an_engine_answers(postgres: PostgresForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container runs as long as the tests do."""
    container = FakeContainer(postgres.url, None)
    monkeypatch.setattr(tests.support.database, "DockerClient", FakeEngine)
    monkeypatch.setattr(tests.support.database, "PostgresContainer", container.running)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with running_server() as server:
        assert server.url == postgres.url
        assert container.is_running
    assert not container.is_running


@pytest.mark.parametrize("error", [ImageNotFound("no such image"), DockerException("no network")])
def test_an_engine_that_cannot_run_the_image_is_passed_over(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a network; the embedded server is as good."""
    monkeypatch.setattr(tests.support.database, "DockerClient", FakeEngine)
    monkeypatch.setattr(tests.support.database, "PostgresContainer", FakeContainer("", error).running)
    with ExitStack() as stack:
        assert docker_url(stack) is None


def test_no_engine_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual case on a machine without Docker."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with ExitStack() as stack:
        assert docker_url(stack) is None


PROGRAM = """
import sys
from contextlib import ExitStack
from tests.support.database import embedded_url
with ExitStack() as stack:
    print(embedded_url(stack), flush=True)
    sys.stdin.read()
"""


def directory_of(process: "subprocess.Popen[str]") -> Path:
    """Where the server is that the program has started."""
    assert process.stdout is not None
    return Path(process.stdout.readline().strip().partition("host=")[2]).parent


def servers_in(directory: Path) -> list[Any]:
    """Processes that work there."""
    return [process for process in psutil.process_iter(["cwd"]) if str(process.info["cwd"]).startswith(f"{directory}/")]


def test_a_killed_test_run_is_cleared_up_by_the_next() -> None:
    """Its server would otherwise run until the machine stops. That of a run which is still alive is left alone."""
    command = [sys.executable, "-c", PROGRAM]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, cwd=SQL_DIR.parent, stdin=pipe, stdout=pipe, text=True) as killed,
        subprocess.Popen(command, cwd=SQL_DIR.parent, stdin=pipe, stdout=pipe, text=True) as alive,
    ):
        directories = [directory_of(killed), directory_of(alive)]
        assert all(map(servers_in, directories))
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        with own_directory():
            assert not directories[0].exists()
            assert servers_in(directories[0]) == []
            assert servers_in(directories[1])
        alive.communicate()
    assert not directories[1].exists()
    assert servers_in(directories[1]) == []
