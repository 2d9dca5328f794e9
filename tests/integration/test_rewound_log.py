"""A log that was put back to an earlier state, as by a restore of its tables alone, while the projections were not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from projections.projection_status import Health, read_status
from projections.registry import PROJECTIONS
from projections.runner import CheckpointMovedError, Runner
from tests.support.events import append
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active
from tests.support.serving import bare_environment, running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo

REASON = "the log was put back to an earlier state and does not have the event at position {0} that was applied last: tracker rebuild {1}"


def put_back(connection: psycopg.Connection[Any], events: int) -> None:
    """Take the last events away, as somebody may who owns the log and switches its triggers off."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE log_head SET position = position - %s", (events,))
        connection.execute("DELETE FROM events WHERE position > (SELECT position FROM log_head)")


def head(connection: psycopg.Connection[Any]) -> int:
    """The log's last position."""
    row = connection.execute("SELECT position FROM log_head").fetchone()
    assert row is not None
    return row[0]


@contextmanager
def runner(database_url: str) -> Iterator[Runner]:
    """A runner that has applied all there is."""
    as_projector = conninfo(database_url, role=Role.PROJECTOR, application="tests")
    with psycopg.connect(as_projector, autocommit=True) as session:
        runner = Runner(session, PROJECTIONS)
        become_active(runner)
        while runner.run_once():
            pass
        yield runner


def stopped(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, str | None]]:
    """Position and reason of every projection that does not go on."""
    rows = connection.execute(
        "SELECT name, failed_position, failed_reason FROM projections WHERE failed_position IS NOT NULL"
    )
    return {name: (position, reason) for name, position, reason in rows}


def all_stopped_at(position: int) -> dict[str, tuple[int, str | None]]:
    """The same, when all are stopped for this reason."""
    return {each.name: (position, REASON.format(position, each.name)) for each in PROJECTIONS}


@pytest.mark.parametrize("appended", [0, 1, 49, 50, 51, 120])
def test_an_active_runner_notices(database_url: str, connection: psycopg.Connection[Any], appended: int) -> None:
    """Whether the log then ends before its checkpoints, at them, or beyond them with other events: nothing is applied."""
    append(database_url, traffic(1, 60))
    with runner(database_url) as active:
        stood = head(connection)
        before = connection.execute("SELECT * FROM message_state ORDER BY message_sid").fetchall()
        put_back(connection, 50)
        append(database_url, traffic(2, 60, 1001)[:appended])
        assert head(connection) == stood - 50 + appended
        with pytest.raises(CheckpointMovedError):
            active.run_once()
        assert connection.execute("SELECT * FROM message_state ORDER BY message_sid").fetchall() == before
    with runner(database_url):
        assert stopped(connection) == all_stopped_at(stood)


def test_the_lag_is_the_whole_log(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """All of it has to be applied anew; a lag of 0 would say that all is well."""
    append(database_url, traffic(1, 60))
    with runner(database_url):
        pass
    put_back(connection, 20)
    with psycopg.connect(database_url, autocommit=True) as session:
        found = read_status(session, PROJECTIONS)
    assert {each.lag_events for each in found.projections} == {head(connection)}
    assert all(each.lag_seconds > 0 for each in found.projections)
    with runner(database_url), psycopg.connect(database_url, autocommit=True) as session:
        assert {each.health for each in read_status(session, PROJECTIONS).projections} == {Health.STOPPED}


def test_a_rebuild_that_was_begun_before_is_thrown_away(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """It stands at events that the log no longer has."""
    append(database_url, traffic(1, 60))
    call = "SELECT rebuild.begin('message_state', {}, ARRAY['message_state'])"
    assert connection.execute(call.format(1).encode()).fetchone() == (0,)
    connection.execute(
        "UPDATE rebuild.projections SET position = 55, event_id = (SELECT event_id FROM events WHERE position = 55)"
    )
    assert connection.execute(call.format(1).encode()).fetchone() == (55,)
    assert connection.execute(call.format(2).encode()).fetchone() == (0,)
    assert connection.execute(call.format(2).encode()).fetchone() == (0,)
    connection.execute("UPDATE rebuild.projections SET position = 55, event_id = gen_random_uuid()")
    assert connection.execute(call.format(2).encode()).fetchone() == (0,)


def test_a_restored_log_end_to_end(database_url: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """The projector says so and stops, callbacks are accepted as ever, and `tracker rebuild` mends it."""
    with running_tracker(database_url) as tracker:
        for number in range(1, 121):
            tracker.post_ok("sent", number)
        tracker.wait_projected()
        put_back(connection, 100)
        for number in range(1001, 1051):
            tracker.post_ok("delivered", number)
        assert head(connection) == 70
        wait_until(lambda: stopped(connection) == all_stopped_at(120), "the projector to stop")
        assert tracker.metric('tracker_fault{fault="log_rewound"}') == 1
        assert tracker.metric('tracker_projection_lag_events{projection="message_state"}') == 70
        assert "the log was put back to an earlier state than the projections: run tracker rebuild" in tracker.reasons()
        assert tracker.client.get("/healthz").status_code == 200
        tracker.post_ok("sent", 2001)
        environment = bare_environment() | {"DATABASE_URL": database_url}
        rebuilt = subprocess.run(
            [sys.executable, "-m", "tracker", "rebuild", "--json"],
            env=environment, cwd=tmp_path, capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        assert {each["position"] for each in msgspec.json.decode(rebuilt.stdout)["projections"]} == {71}
        tracker.post_ok("sent", 2002)
        tracker.wait_projected()
        assert tracker.reasons() == []
        assert tracker.metric('tracker_fault{fault="log_rewound"}') == 0
    same = "SELECT (SELECT array_agg({0} ORDER BY message_sid) FROM {1})"
    states = connection.execute(same.format("message_sid || status", "message_state").encode()).fetchone()
    assert states == connection.execute(same.format("message_sid || status", "events").encode()).fetchone()
    counted = connection.execute("SELECT sum(value) FROM metric_counters WHERE metric = 'twilio_status_events_total'")
    assert counted.fetchone() == (72,)
