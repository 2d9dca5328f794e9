"""A database whose projections are to be rebuilt."""

import pytest

from tests.support.events import append
from tests.support.projections.traffic import traffic
from tests.support.projector import run
from tracker.postgres.roles import Role, conninfo


@pytest.fixture
def as_owner(database_url: str) -> str:
    """How a rebuild connects."""
    return conninfo(database_url, role=None, application="tests-rebuild")


@pytest.fixture
def as_projector(database_url: str) -> str:
    """How a projector connects."""
    return conninfo(database_url, role=Role.PROJECTOR, application="tests")


@pytest.fixture
def projected(database_url: str, as_projector: str) -> str:
    """A database with a log, and projections that have taken it in."""
    append(database_url, traffic(1, 150))
    run(as_projector)
    return database_url
