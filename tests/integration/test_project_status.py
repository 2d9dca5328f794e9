"""``tracker project --status``: where the projections stand, for people and machines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from projections.metric_counters import METRIC_COUNTERS
from projections.projection_status import Health, read_status
from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import append
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active, is_active, projecting, wait_projected
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo

NAMES = ["delivery_stats", "message_state", "metric_counters"]


def run(database_url: str) -> None:
    """Take everything in."""
    info = conninfo(database_url, role=Role.PROJECTOR, application="tests")
    with psycopg.connect(info, autocommit=True) as connection:
        runner = Runner(connection, PROJECTIONS)
        become_active(runner)
        while runner.run_once():
            pass


def status(database_url: str, tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Ask the program."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_"))
    }
    environment |= {"DATABASE_URL": database_url, "TRACKER_DATA_DIR": str(tmp_path), "COLUMNS": "80"}
    command = [sys.executable, "-m", "tracker", "project", "--status", *arguments]
    return subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )


def test_one_that_was_never_kept_is_new(connection: psycopg.Connection[Any], database_url: str) -> None:
    """All of the log is before it."""
    append(database_url, traffic(1, 10))
    found = read_status(connection, PROJECTIONS)
    assert [(each.name, each.health, each.version, each.position) for each in found.projections] == [
        (name, Health.NEW, None, 0) for name in ("message_state", "metric_counters", "delivery_stats")
    ]
    assert {each.lag_events for each in found.projections} == {found.log_position}
    assert found.log_position > 0
    assert (found.active, found.instance_id, found.since) == (False, None, None)


def test_positions_and_lag(connection: psycopg.Connection[Any], database_url: str) -> None:
    """In events and in seconds since the oldest of them came into the log."""
    append(database_url, traffic(1, 10))
    run(database_url)
    found = read_status(connection, PROJECTIONS)
    assert [(each.health, each.position, each.lag_events, each.lag_seconds) for each in found.projections] == [
        (Health.OK, found.log_position, 0, 0)
    ] * 3
    connection.execute("UPDATE projections SET position = position - 3, event_id = NULL WHERE name = 'message_state'")
    behind = read_status(connection, PROJECTIONS).projections[1]
    assert (behind.name, behind.lag_events) == ("message_state", 3)
    assert 0 < behind.lag_seconds < 60
    assert behind.health is Health.OK


def test_long_waits_are_behind(
    connection: psycopg.Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that has waited for longer than it should."""
    append(database_url, traffic(1, 10))
    run(database_url)
    connection.execute("UPDATE projections SET position = position - 1, event_id = NULL WHERE name = 'message_state'")
    monkeypatch.setattr("projections.projection_status.BEHIND_SECONDS", 0.0)
    assert {each.name: each.health for each in read_status(connection, PROJECTIONS).projections} == {
        "delivery_stats": Health.OK,
        "message_state": Health.BEHIND,
        "metric_counters": Health.OK,
    }


def test_the_active_runner_is_named(connection: psycopg.Connection[Any], database_url: str, tmp_path: Path) -> None:
    """While it is active; after it was killed it is the last one that was."""
    append(database_url, traffic(1, 10))
    with projecting(database_url, tmp_path) as projector:
        wait_until(lambda: is_active(connection, projector), "the projector to be active")
        wait_projected(connection)
        running = read_status(connection, PROJECTIONS)
        projector.kill()
    wait_until(lambda: not read_status(connection, PROJECTIONS).active, "the lock to be given back")
    after = read_status(connection, PROJECTIONS)
    assert (running.active, running.instance_id) == (True, projector.instance_id)
    assert (after.instance_id, after.since) == (projector.instance_id, running.since)


STOPPED = {
    "an event": "UPDATE projections SET failed_position = 7, failed_reason = 'ValueError: poison' WHERE name = 'metric_counters'",
    "another version": "UPDATE projections SET version = 0 WHERE name = 'metric_counters'",
}


@pytest.mark.parametrize("statement", STOPPED.values(), ids=STOPPED.keys())
def test_a_stopped_projection_is_exit_code_1(
    connection: psycopg.Connection[Any], database_url: str, tmp_path: Path, statement: Any
) -> None:
    """For people with the reason, in 80 columns; for machines as JSON. When all is well it is 0."""
    append(database_url, traffic(1, 10))
    run(database_url)
    good = status(database_url, tmp_path, "--json")
    assert (good.returncode, good.stderr) == (0, "")
    report: dict[str, Any] = json.loads(good.stdout)
    assert [(each["name"], each["health"]) for each in report["projections"]] == [(name, "ok") for name in NAMES]
    connection.execute(statement)
    table = status(database_url, tmp_path)
    assert (table.returncode, table.stderr) == (1, "")
    line = next(line for line in table.stdout.splitlines() if line.strip().startswith("metric_counters"))
    assert "stopped" in line
    assert (f"(needs {METRIC_COUNTERS.version})" in line) == ("version" in statement)
    assert ("metric_counters stopped at position 7: ValueError: poison" in table.stdout) == ("poison" in statement)
    assert max(len(line) for line in table.stdout.splitlines()) <= 80
    machine = status(database_url, tmp_path, "--json")
    assert machine.returncode == 1
    assert [each["health"] for each in json.loads(machine.stdout)["projections"]] == ["ok", "ok", "stopped"]


def test_without_a_schema_it_says_what_to_do(empty_database_url: str, tmp_path: Path) -> None:
    """One message, no traceback."""
    refused = status(empty_database_url, tmp_path)
    assert refused.returncode == 1
    assert "tracker migrate" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("arguments", [["--once"], ["--status", "--once"]])
def test_options_that_do_not_go_together(database_url: str, tmp_path: Path, arguments: list[str]) -> None:
    """Exit code 2."""
    assert status(database_url, tmp_path, *arguments).returncode == 2
