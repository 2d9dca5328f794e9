"""The runner: one active at a time, a poison event stops its projection and no other, and nothing is lost by it."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import structlog

from projections.fold.transitions import Batch
from projections.metric_counters import METRIC_COUNTERS
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.runner import CheckpointMovedError, Runner
from tests.support.events import append
from tests.support.projections.counting import assert_exact
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active
from tests.support.serving import running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo

NUMBER = "+14155238886"


class Renamed:
    """Another projection under the name and with the tables of ``metric_counters``, of any version."""

    name = "metric_counters"
    tables = ("metric_counters",)

    def __init__(self, version: int = METRIC_COUNTERS.version) -> None:
        self.version = version

    def fold(self, batch: Batch) -> Any:
        """As the real one does."""
        return METRIC_COUNTERS.fold(batch)

    def merge(self, changes: Sequence[Any]) -> Any:
        """As the real one does."""
        return METRIC_COUNTERS.merge(changes)

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """As the real one does."""
        METRIC_COUNTERS.write(connection, changes)


class Poisoned(Renamed):
    """Its fold raises at some events."""

    def __init__(self, *positions: int) -> None:
        super().__init__()
        self.positions = positions

    def fold(self, batch: Batch) -> Any:
        """Raises with a message that must not get anywhere as it is."""
        if any(transition.position in self.positions for transition in batch.transitions):
            raise ValueError(f"cannot read {NUMBER}\nand this line is for debuggers")
        return super().fold(batch)


class Unwritable(Renamed):
    """At one event it gives rows that the database refuses."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position

    def fold(self, batch: Batch) -> Any:
        """A counter goes down by a lot."""
        changes = super().fold(batch)
        if any(transition.position == self.position for transition in batch.transitions):
            next(
                change for (metric, _), change in changes.items() if metric != "twilio_messages_open"
            ).amount -= 1_000_000
        return changes


Others = tuple(projection for projection in PROJECTIONS if projection.name != "metric_counters")


@pytest.fixture
def as_projector(database_url: str) -> str:
    """How a projector connects."""
    return conninfo(database_url, role=Role.PROJECTOR, application="tests")


def run(as_projector: str, projections: Sequence[Projection[Any]], batch_events: int = 50) -> None:
    """One life of a projector: until nothing is left to take in."""
    with psycopg.connect(as_projector, autocommit=True) as connection:
        runner = Runner(connection, projections, batch_events)
        become_active(runner)
        while runner.run_once():
            pass


def checkpoints(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int | None, str | None]]:
    """Position, position of the event that stopped it, and why, by projection."""
    rows = connection.execute("SELECT name, position, failed_position, failed_reason FROM projections")
    return {name: (position, failed_position, reason) for name, position, failed_position, reason in rows}


def head(connection: psycopg.Connection[Any]) -> int:
    """The log's last position."""
    row = connection.execute("SELECT position FROM log_head").fetchone()
    assert row is not None
    return row[0]


def dump(connection: psycopg.Connection[Any], projection: Projection[Any]) -> dict[str, list[str]]:
    """All rows of a projection."""
    return {
        table: [
            row
            for (row,) in connection.execute(f"SELECT to_jsonb(kept)::text FROM {table} AS kept ORDER BY 1".encode())
        ]
        for table in projection.tables
    }


@pytest.mark.parametrize("position", [1, 2, 50, 51, 117])
def test_a_poison_event_stops_its_projection_just_before_it(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str, position: int
) -> None:
    """At the first event of a batch, the last, or any; the others go on to the end."""
    append(database_url, traffic(1, 60))
    with structlog.testing.capture_logs() as logs:
        run(as_projector, [*Others, Poisoned(position)])
    found = checkpoints(connection)
    assert found.pop("metric_counters") == (position - 1, position, "ValueError: cannot read +1415…")
    assert set(found.values()) == {(head(connection), None, None)}
    stopped = [entry for entry in logs if entry["event"] == "projection.stopped"]
    assert [(entry["projection"], entry["position"], entry["log_level"]) for entry in stopped] == [
        ("metric_counters", position, "error")
    ]


@pytest.mark.parametrize("poisoned", [Poisoned(61, 117), Unwritable(61)], ids=["fold", "write"])
def test_after_a_fix_it_goes_on_and_equals_one_that_never_stopped(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str, poisoned: Projection[Any]
) -> None:
    """The fix is a new process with a fold that can take the event in."""
    append(database_url, traffic(2, 60))
    run(as_projector, [*Others, poisoned])
    append(database_url, traffic(2, 60, 1001))
    run(as_projector, [*Others, poisoned])
    assert checkpoints(connection)["metric_counters"][1] == 61
    run(as_projector, PROJECTIONS)
    assert set(checkpoints(connection).values()) == {(head(connection), None, None)}
    assert_exact(connection)
    stopped = dump(connection, METRIC_COUNTERS)
    connection.execute("DELETE FROM metric_counters")
    connection.execute("DELETE FROM projections WHERE name = 'metric_counters'")
    run(as_projector, PROJECTIONS)
    assert dump(connection, METRIC_COUNTERS) == stopped


def test_rows_that_the_database_refuses_stop_the_projection(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str
) -> None:
    """And not the process, which would try for ever. The reason quotes no row."""
    append(database_url, traffic(3, 60))
    run(as_projector, [*Others, Unwritable(61)])
    position, failed_position, reason = checkpoints(connection)["metric_counters"]
    assert (position, failed_position) == (60, 61)
    assert reason is not None
    assert reason.startswith("CheckViolation: ")
    assert "metric_counters_only_count_up" in reason
    assert "Failing row" not in reason


def test_what_a_stopped_projection_wrote_stays(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str
) -> None:
    """It is right up to its checkpoint."""
    append(database_url, traffic(4, 60))
    run(as_projector, [Poisoned(61)], batch_events=1)
    one_by_one = dump(connection, METRIC_COUNTERS)
    connection.execute("DELETE FROM metric_counters")
    connection.execute("DELETE FROM projections")
    run(as_projector, [*Others, Poisoned(61)], batch_events=50)
    assert dump(connection, METRIC_COUNTERS) == one_by_one


def test_a_poison_event_shows(database_url: str, connection: psycopg.Connection[Any], as_projector: str) -> None:
    """In /readyz and in a metric; callbacks are taken as ever."""
    append(database_url, traffic(5, 20))
    run(as_projector, [*Others, Poisoned(7)])
    with running_tracker(database_url, "--no-projector") as tracker:
        health: dict[str, Any] = tracker.client.get("/readyz").json()
        assert health["status"] == "degraded"
        assert tracker.reasons() == ["projection metric_counters stopped at position 7: ValueError: cannot read +1415…"]
        stopped = {
            name: tracker.metric(f'tracker_projection_stopped{{projection="{name}"}}')
            for name in checkpoints(connection)
        }
        assert stopped == {"metric_counters": 1.0, "message_state": 0.0, "delivery_stats": 0.0}
        tracker.post_ok("sent", 1)


def test_rows_of_another_version_are_not_touched(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str
) -> None:
    """The projection stops and says what to do; the others go on."""
    append(database_url, traffic(6, 20))
    run(as_projector, PROJECTIONS)
    before = dump(connection, METRIC_COUNTERS)
    append(database_url, traffic(6, 20, 1001))
    run(as_projector, [*Others, Renamed(version=METRIC_COUNTERS.version + 1)])
    position, _, reason = checkpoints(connection)["metric_counters"]
    assert dump(connection, METRIC_COUNTERS) == before
    assert position < head(connection)
    assert reason == (
        f"its rows are of version {METRIC_COUNTERS.version}, the program's is {METRIC_COUNTERS.version + 1}:"
        " tracker rebuild metric_counters"
    )
    assert checkpoints(connection)["message_state"] == (head(connection), None, None)


def test_one_runner_is_active(database_url: str, connection: psycopg.Connection[Any], as_projector: str) -> None:
    """A second one is refused until the first has gone."""
    first_id, second_id = uuid4(), uuid4()
    with psycopg.connect(as_projector, autocommit=True) as first:
        assert Runner(first, PROJECTIONS).try_to_start(first_id)
        with psycopg.connect(as_projector, autocommit=True) as second:
            runner = Runner(second, PROJECTIONS)
            assert not runner.try_to_start(second_id)
            first.close()
            wait_until(lambda: runner.try_to_start(second_id), "the server to give the lock back")
            assert connection.execute("SELECT instance_id FROM projection_runner").fetchall() == [(second_id,)]


MOVES: dict[str, str] = {
    "by another runner": "UPDATE projections SET position = position + 1, event_id = NULL WHERE name = 'message_state'",
    "by a rebuild to another version": "UPDATE projections SET version = version + 1 WHERE name = 'message_state'",
}


@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES.keys())
def test_a_checkpoint_that_was_moved_is_found_out(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str, statement: Any
) -> None:
    """The runner has lost its lock, or its version, and writes nothing on what is not its own any more."""
    append(database_url, traffic(7, 10))
    with psycopg.connect(as_projector, autocommit=True) as session:
        runner = Runner(session, PROJECTIONS)
        become_active(runner)
        while runner.run_once():
            pass
        connection.execute(statement)
        append(database_url, traffic(7, 10, 1001))
        before = {projection.name: dump(connection, projection) for projection in PROJECTIONS}
        with pytest.raises(CheckpointMovedError, match="message_state"):
            runner.run_once()
    assert {projection.name: dump(connection, projection) for projection in PROJECTIONS} == before


def test_one_that_fell_behind_catches_up_by_itself(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str
) -> None:
    """A projection that is new to the catalogue begins with the first event, beside the others."""
    append(database_url, traffic(8, 60))
    run(as_projector, Others)
    append(database_url, traffic(8, 60, 1001))
    run(as_projector, PROJECTIONS)
    assert set(checkpoints(connection).values()) == {(head(connection), None, None)}
    assert_exact(connection)
