"""Faults of the database that a server shows: in /readyz, in /healthz, and as a metric; callbacks are accepted meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from projections.runner import RUNNER_LOCK
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo
from tracker.web.telemetry.faults import find_database_faults, find_login_fault

pytestmark = pytest.mark.anyio


def with_option(database_url: str, option: str) -> str:
    """The URL with one more option for the server's sessions."""
    return f"{database_url}{'&' if '?' in database_url else '?'}options={quote(option)}"


async def faults(database_url: str, **parameters: str) -> set[str]:
    """What a web worker's session finds, but for the settings of the test server."""
    info = conninfo(make_conninfo(database_url, **parameters), role=Role.SERVICE, application="test")
    async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
        return {fault.name for fault in await find_database_faults(connection)} - {"fsync_off"}


@pytest.fixture
def login(connection: psycopg.Connection[Any], database_url: str) -> Iterator[str]:
    """A login that is a member of nothing but the reader."""
    name = f"stranger_{uuid4().hex[:8]}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger' IN ROLE tracker_reader").format(role))
    parts = urlsplit(database_url)
    yield parts._replace(netloc=f"{name}:stranger@{parts.netloc.rpartition('@')[2]}").geturl()
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_nothing_is_wrong_with_a_new_database(database_url: str) -> None:
    """The login of an embedded server is its superuser, which nobody can change: it is not shown there."""
    assert await faults(database_url, options="-c tracker.embedded=on") == set()


@pytest.mark.parametrize(
    ("membership", "expected"),
    [
        ("tracker_service", set[str]()),
        ("tracker_service, tracker_writer", {"login_is_superuser"}),
        ("tracker_service, postgres", {"login_is_superuser"}),
    ],
)
async def test_a_login_that_could_change_the_log(
    database_url: str, connection: psycopg.Connection[Any], membership: str, expected: set[str]
) -> None:
    """A superuser, whoever owns the log, and whoever may become the owner of its functions; not the login that only appends."""
    name = f"web_{uuid4().hex[:8]}"
    owner = connection.info.user
    roles = sql.SQL(membership.replace("postgres", f'"{owner}"'))  # pyright: ignore[reportArgumentType]  # from this file
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'web' IN ROLE {}").format(sql.Identifier(name), roles))
    try:
        off = "-c tracker.embedded=off"
        assert await faults(database_url, user=name, password="web", options=off) == expected
        assert await faults(database_url, options=off) == {"login_is_superuser"}
        found = find_login_fault(make_conninfo(database_url, user=name, password="web", options=off))
        assert ({found.name} if found else set()) == expected
    finally:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_start_warns_once_of_a_login_that_could_change_the_log(database_url: str, tmp_path: Path) -> None:
    """One line at level warning, beside the fault, which says what to do; checking the login again logs nothing more."""
    path = tmp_path / "log"

    def found() -> list[dict[str, Any]]:
        logged = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.startswith("{")]
        return [each for each in logged if each["event"] == "login.overprivileged"]

    url = with_option(database_url, "-c tracker.embedded=off")
    with (
        path.open("wb") as file,
        running_tracker(url, "--workers", "2", stderr=file, TRACKER_LOG_FORMAT="json") as tracker,
    ):
        wait_until(found, "the warning")
        tracker.wait_healthy()
        assert fault(tracker, "login_is_superuser") == 1
        tracker.stop()
    [line] = found()
    assert (line["level"], line["fault"]) == ("warning", "login_is_superuser")
    assert "tracker_service" in line["reason"]


async def test_the_runners_lock_in_other_hands(database_url: str, login: str) -> None:
    """Anyone who may log in can take an advisory lock; then no projection goes on, and nothing else says why. Whatever it calls itself."""
    on = "-c tracker.embedded=on"
    for application in ("psql", "tracker-projector"):
        with psycopg.connect(make_conninfo(login, application_name=application), autocommit=True) as stranger:
            stranger.execute("SELECT pg_advisory_lock(%s)", (RUNNER_LOCK,))
            assert await faults(database_url, options=on) == {"runner_lock_held"}
    with psycopg.connect(conninfo(database_url, role=Role.PROJECTOR, application="tracker-projector")) as projector:
        projector.execute("SELECT pg_advisory_lock(%s)", (RUNNER_LOCK,))
        assert await faults(database_url, options=on) == set()


def fault(tracker: Tracker, name: str) -> float:
    """The metric."""
    return tracker.metric(f'tracker_fault{{fault="{name}"}}')


async def test_a_missing_log_head(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """Nothing can be appended: callbacks go to the spool, /healthz is 503 and names no position, and all is well when it is restored."""
    with running_tracker(database_url) as tracker:
        tracker.post_ok("sent", 1)
        assert fault(tracker, "log_head_missing") == 0
        connection.execute("DELETE FROM log_head")
        tracker.post_ok("sent", 2)
        answer = tracker.client.get("/healthz")
        assert answer.status_code == 503
        assert "position" not in answer.json()
        assert any("log_head is missing" in each for each in answer.json()["reasons"])
        assert tracker.client.get("/readyz").status_code == 200
        assert fault(tracker, "log_head_missing") == 1
        connection.execute("INSERT INTO log_head (position) SELECT coalesce(max(position), 0) FROM events")
        tracker.wait_drained()
        tracker.wait_projected()
        assert fault(tracker, "log_head_missing") == 0
        wait_until(lambda: tracker.reasons() == [], "the server to be well")
    assert connection.execute("SELECT count(*), max(position) FROM events").fetchone() == (2, 2)


async def test_fsync_off(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """The test server runs with both off where it is this suite's own; the fault follows what the server says."""
    row = connection.execute(
        "SELECT 'off' IN (current_setting('fsync'), current_setting('full_page_writes'))"
    ).fetchone()
    info = conninfo(database_url, role=Role.SERVICE, application="test")
    async with await psycopg.AsyncConnection.connect(info, autocommit=True) as session:
        found = [each for each in await find_database_faults(session) if each.name == "fsync_off"]
    assert (bool(found),) == row
    assert all("fsync" in each.reason for each in found)
