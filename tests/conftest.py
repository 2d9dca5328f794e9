"""Fixtures for all tests. A test that names ``database_url`` gets a migrated database of its own."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from tests.durability import chance
from tests.durability import figures as durability_figures
from tests.support.database import PostgresForTests, describe_server, running_server
from tests.support.interruption import RunningTests, accept_interrupts
from tests.support.programs import missing_programs

# How fast an example runs says nothing on a shared machine.
settings.register_profile("default", deadline=None)
# For a long search by hand; what it finds is kept in .hypothesis and tried first afterwards.
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# Here and not beside the tests that they are for: where tests run side by side, the process that prints reads no other conftest.


def pytest_configure(config: pytest.Config) -> None:
    accept_interrupts()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunningTests())
    chance.choose_seed()


def pytest_report_header() -> list[str]:
    """Which PostgreSQL the tests get, and what this machine lacks, before anything runs."""
    return [describe_server(), *missing_programs()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    durability_figures.show(terminalreporter)
    for line in missing_programs():
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked ``anyio`` are coroutines; they run on asyncio only, as the program does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresForTests]:
    """The PostgreSQL server of this test process."""
    with running_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresForTests) -> Iterator[str]:
    """URL of a fresh, migrated database, as a superuser."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def shared_database_url(postgres: PostgresForTests) -> Iterator[str]:
    """The same for all tests of a module that leave nothing behind: what they write, they roll back."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: PostgresForTests) -> Iterator[str]:
    """URL of a fresh database that has not been migrated, as a superuser."""
    with postgres.database(migrated=False) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the fresh, migrated database, autocommit, as a superuser."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def undone(shared_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the module's shared database, inside a transaction that is rolled back, as a superuser."""
    with psycopg.connect(shared_database_url) as connection, connection.transaction(force_rollback=True):
        yield connection
