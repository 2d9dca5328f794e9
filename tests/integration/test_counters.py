"""The counters are exact: equal to a count over the log after whatever happened to the processes, and never going down."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from projections.fold.transitions import Batch
from projections.projection import Projection
from projections.projector import project
from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import append
from tests.support.projections.counting import assert_exact, counters, log_counts
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active, is_active, projecting, wait_projected
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo


def as_projector(database_url: str) -> str:
    """How a projector connects."""
    return conninfo(database_url, role=Role.PROJECTOR, application="tests")


def project_all(
    database_url: str, projections: Sequence[Projection[Any]] = PROJECTIONS, batch_events: int = 97
) -> None:
    """Take everything in, in batches that cut messages in two."""
    with psycopg.connect(as_projector(database_url), autocommit=True) as connection:
        runner = Runner(connection, projections, batch_events)
        become_active(runner)
        while runner.run_once():
            pass


@contextmanager
def never_going_down(database_url: str) -> Iterator[None]:
    """Look at the counters all the time until the block ends."""
    stop = threading.Event()
    falls: list[str] = []

    def watch() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            before = counters(connection)
            while not stop.is_set():
                now = counters(connection)
                falls.extend(
                    f"{series}: {value} → {now.get(series)}"
                    for series, value in before.items()
                    if now.get(series, -1) < value
                )
                before = now
                stop.wait(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    assert falls == []


def test_counters_equal_a_count_over_the_log(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """With disorder, repetitions, corrections, unknown statuses, channels, codes and countries in it."""
    append(database_url, traffic(1, 400))
    project_all(database_url)
    assert log_counts(connection)
    assert_exact(connection)


@pytest.mark.parametrize("batch_events", [1, 7, 5000])
def test_batches_make_no_difference(database_url: str, connection: psycopg.Connection[Any], batch_events: int) -> None:
    """Their size is a matter of speed."""
    append(database_url, traffic(2, 60))
    project_all(database_url, batch_events=batch_events)
    assert_exact(connection)


def test_a_log_that_is_drained_twice_counts_once(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """A batch whose commit was in doubt is appended again; the log has it once."""
    events = traffic(3, 50)
    append(database_url, events)
    project_all(database_url)
    before = counters(connection)
    append(database_url, events)
    project_all(database_url)
    assert counters(connection) == before
    assert_exact(connection)


class DyingProjection:
    """A projection whose session ends at the n-th of the places where a process may be killed."""

    tables = ("metric_counters",)

    def __init__(self, projection: Projection[Any], kill: Callable[[], None]) -> None:
        self.name, self.version = projection.name, projection.version
        self._projection = projection
        self._kill = kill

    def fold(self, batch: Batch) -> Any:
        """Perhaps dies before anything is written."""
        self._kill()
        return self._projection.fold(batch)

    def merge(self, changes: Sequence[Any]) -> Any:
        """As the real one does."""
        return self._projection.merge(changes)

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """Perhaps dies between the writes of one projection and the next, or between the last and the commit."""
        self._kill()
        self._projection.write(connection, changes)
        self._kill()


def test_a_kill_at_any_place_of_a_batch_changes_nothing(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """The session is ended at each place in turn, in the first batches and in later ones; a new runner goes on."""
    append(database_url, traffic(4, 150))
    place = deaths = 0
    done = False
    with never_going_down(database_url):
        while not done:
            with psycopg.connect(as_projector(database_url), autocommit=True) as session:
                passed = 0

                def kill() -> None:
                    nonlocal passed
                    passed += 1
                    if passed > place:
                        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [session.info.backend_pid])

                runner = Runner(session, [DyingProjection(projection, kill) for projection in PROJECTIONS], 30)
                try:
                    become_active(runner)
                    while runner.run_once():
                        pass
                    done = True
                except psycopg.OperationalError:
                    deaths += 1
                    # A batch has nine such places; each life gets at most into the second one.
                    place = (place + 1) % 12
    assert deaths > 40
    assert_exact(connection)


def test_sessions_that_are_ended_again_and_again_change_nothing(
    database_url: str, connection: psycopg.Connection[Any]
) -> None:
    """The projector's own loop reconnects and goes on, while the log grows."""
    stop = threading.Event()
    worker = threading.Thread(target=project, args=(as_projector(database_url), uuid4(), stop))
    worker.start()
    try:
        with never_going_down(database_url):
            for first in range(1, 400, 20):
                append(database_url, traffic(5, 20, first))
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tests' AND pid <> pg_backend_pid()"
                )
            wait_projected(connection)
    finally:
        stop.set()
        worker.join()
    assert_exact(connection)


def test_killed_processes_change_nothing(
    database_url: str, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """SIGKILL to one projector after the other, while the log grows."""
    with never_going_down(database_url):
        for first in range(1, 600, 100):
            append(database_url, traffic(6, 100, first))
            with projecting(database_url, tmp_path) as projector:
                wait_until(lambda: is_active(connection, projector), "the projector to be active")
                append(database_url, traffic(7, 100, 10_000 + first))
                projector.kill()
        with projecting(database_url, tmp_path):
            wait_projected(connection)
    assert_exact(connection)


def test_a_fail_over_changes_nothing(database_url: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """The second projector waits, takes over when the first is killed, and counts on from where that stood."""
    append(database_url, traffic(8, 200))
    with never_going_down(database_url), projecting(database_url, tmp_path) as first:
        wait_until(lambda: is_active(connection, first), "the first to be active")
        with projecting(database_url, tmp_path) as second:
            append(database_url, traffic(8, 200, 1001))
            wait_projected(connection)
            assert is_active(connection, first)
            append(database_url, traffic(8, 200, 2001))
            first.kill()
            wait_until(lambda: is_active(connection, second), "the second to take over")
            append(database_url, traffic(8, 200, 3001))
            wait_projected(connection)
            assert is_active(connection, second)
    assert_exact(connection)
