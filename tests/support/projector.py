"""Projectors for tests: a real ``tracker project``, and one life of a runner in this process."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.serving import bare_environment
from tests.support.waiting import PATIENCE, wait_until
from tracker.postgres.roles import Role, conninfo


class Projector:
    """A process that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", instance_id: UUID) -> None:
        self.process = process
        self.instance_id = instance_id

    def kill(self) -> None:
        """As a machine would: at once, with whatever it was doing."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


@contextmanager
def projecting(database_url: str, data_dir: Path) -> Iterator[Projector]:
    """A projector until the block ends."""
    instance_id = uuid4()
    environment = bare_environment() | {
        "DATABASE_URL": database_url,
        "TRACKER_DATA_DIR": str(data_dir),
        "TRACKER_INSTANCE_ID": str(instance_id),
    }
    process = subprocess.Popen([sys.executable, "-m", "tracker", "project"], env=environment, cwd=data_dir)
    try:
        yield Projector(process, instance_id)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)


def become_active(runner: Runner, instance_id: UUID | None = None) -> None:
    """Start a runner in this process. A session that ended just now may hold the lock for a moment yet."""
    wait_until(lambda: runner.try_to_start(instance_id or uuid4()), "the runner's lock")


def is_active(connection: psycopg.Connection[Any], projector: Projector) -> bool:
    """Whether this one's runner is the active one."""
    row = connection.execute("SELECT instance_id FROM projection_runner").fetchone()
    return row is not None and row[0] == projector.instance_id


def lag(connection: psycopg.Connection[Any]) -> int:
    """Events that the projection that is furthest behind has not taken in; all of them while there is none."""
    row = connection.execute(
        "SELECT position - coalesce((SELECT min(position) FROM projections), 0) FROM log_head"
    ).fetchone()
    assert row is not None
    return row[0]


def wait_projected(connection: psycopg.Connection[Any]) -> None:
    """Until the projections have taken in what is in the log."""
    wait_until(lambda: lag(connection) == 0, "the projections to catch up", seconds=60)


def project(database_url: str) -> None:
    """Bring every projection up to date. database_url: of any user who may become the projector's role."""
    run(conninfo(database_url, role=Role.PROJECTOR, application="tests"))


def run(as_projector: str, projections: Sequence[Projection[Any]] = PROJECTIONS, max_events: int = 97) -> None:
    """Apply all that is in the log. as_projector: connection string with the projector's role. max_events: of a batch."""
    with psycopg.connect(as_projector, autocommit=True) as connection:
        runner = Runner(connection, projections, max_events)
        become_active(runner)
        while runner.run_once():
            pass
