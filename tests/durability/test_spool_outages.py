"""The database goes away in every way it can, under load: callbacks go on being answered 200, and all of them end up in the log, once."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.database import PostgresForTests
from tests.durability.load import assert_nothing_lost, under_load
from tests.durability.outage import FragileServer, fragile_server
from tests.serving import Tracker, callback, message_sid, running_tracker, wait_until

EVERY_TIMEOUT = 8.0
"""Seconds, longer than any time limit of the server's own."""

BOUND = 1.0
"""Seconds from the database's last answer to the first spooled one."""

GRACE = 2.0
"""Seconds that a machine which runs other tests may add."""


PASSWORD = "of-nobody"


def settle(tracker: Tracker) -> None:
    """Until everything is in the log and projected."""
    tracker.wait_drained()
    tracker.wait_projected()


def seconds_of(call: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_a_frozen_database_costs_one_callback_a_second_and_the_others_nothing() -> None:
    """Only the first one after the last answer waits; then it is remembered. The server says so, and stays in service."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        tracker.post_ok("queued", 1)
        server.freeze()
        first = seconds_of(lambda: tracker.post_ok("sent", 1))
        others = [seconds_of(lambda: tracker.post_ok("delivered", 1)) for _ in range(20)]
        ready = tracker.client.get("/readyz")
        assert first < BOUND + GRACE
        assert sum(others) < len(others) * BOUND / 4
        assert ready.status_code == httpx.codes.OK
        assert ready.json()["status"] == "degraded"
        assert set(ready.json()["reasons"]) == {"the database does not answer", "21 events in the spool"}
        assert ready.elapsed.total_seconds() < GRACE
        server.thaw()
        settle(tracker)
        assert tracker.client.get("/readyz").json()["status"] == "ok"
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') == 21
        with psycopg.connect(server.url) as connection:
            statuses = [row[0] for row in connection.execute("SELECT status FROM events ORDER BY position")]
        assert statuses == ["queued", "sent", *["delivered"] * 20]


@pytest.mark.parametrize("way", ["frozen", "stopped"])
def test_an_outage_that_is_longer_than_every_timeout(way: str) -> None:
    """Every callback of it is answered 200 and stored, also those that were on their way when it began, and drained beside those that
    come afterwards."""
    with fragile_server() as server, running_tracker(server.url) as tracker, under_load(tracker) as load:
        end(server, way)
        away_until = time.monotonic() + EVERY_TIMEOUT
        while time.monotonic() < away_until:
            load.wait_for(20)
        mend(server, way)
        tracker.wait_healthy()
        load.wait_for(100)
        load.stop()
        settle(tracker)
        assert load.refused == 0
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') > 100
        assert tracker.metric('tracker_callbacks_total{result="unavailable"}') == 0
        assert_nothing_lost(load, server.url)


def test_outage_after_outage() -> None:
    """Short ones, one after the other, so that drains and commits are hit in the middle."""
    with fragile_server() as server, running_tracker(server.url) as tracker, under_load(tracker) as load:
        for way in ("frozen", "stopped") * 3:
            end(server, way)
            load.wait_for(30)
            mend(server, way)
            load.wait_for(30)
        load.stop()
        settle(tracker)
        assert load.refused == 0
        assert_nothing_lost(load, server.url)


def end(server: FragileServer, way: str) -> None:
    """Take the database away."""
    if way == "frozen":
        server.freeze()
    else:
        server.stop()


def mend(server: FragileServer, way: str) -> None:
    """Bring it back."""
    if way == "frozen":
        server.thaw()
    else:
        server.start()


REFUSALS: dict[str, tuple[str, str]] = {
    "refuses connections": (
        "ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {database} ALLOW_CONNECTIONS true",
    ),
    "is read only": (
        "ALTER DATABASE {database} SET default_transaction_read_only = on",
        "ALTER DATABASE {database} RESET default_transaction_read_only",
    ),
    "has no connection left": (
        "ALTER DATABASE {database} CONNECTION LIMIT 0",
        "ALTER DATABASE {database} CONNECTION LIMIT -1",
    ),
}


@pytest.mark.parametrize("way", REFUSALS)
def test_a_database_that(way: str, postgres: PostgresForTests) -> None:
    """Every callback is answered 200 meanwhile, and all are in the log afterwards."""
    with postgres.database() as database_url:
        # The limit of connections does not hold for superusers.
        login = f"login_{urlsplit(database_url).path.strip('/')}"
        url = urlsplit(database_url)
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            # Where it is not asked for, it does not matter.
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE tracker_service, tracker_projector").format(
                    sql.Identifier(login), sql.Literal(PASSWORD)
                )
            )
            try:
                as_login = url._replace(netloc=f"{login}:{PASSWORD}@{url.netloc.rpartition('@')[2]}").geturl()
                break_and_mend(admin, database_url, as_login, *REFUSALS[way])
            finally:
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def break_and_mend(admin: psycopg.Connection, database_url: str, login_url: str, broken: str, mended: str) -> None:
    """Load, with a database that is broken by one statement and mended by another."""
    database = urlsplit(database_url).path.strip("/")
    with running_tracker(login_url, "--no-migrate") as tracker, under_load(tracker) as load:
        for statement in (broken, mended):
            admin.execute(sql.SQL(statement).format(database=sql.Identifier(database)))  # pyright: ignore[reportArgumentType]
            # What is set for a database holds for sessions that begin afterwards.
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
            if statement == broken:
                wait_until(
                    lambda: tracker.client.get("/readyz").json()["status"] == "degraded", "the outage to be seen"
                )
            load.wait_for(60)
        load.stop()
        settle(tracker)
        assert load.refused == 0
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') > 0
        assert_nothing_lost(load, database_url)


def test_a_database_without_disk(database_url: str, connection: psycopg.Connection) -> None:
    """A trigger says what PostgreSQL says when it cannot extend a table: a file system of a test's own may not be had."""
    connection.execute(
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    with running_tracker(database_url) as tracker, under_load(tracker) as load:
        connection.execute("CREATE TRIGGER no_space BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION no_space()")
        load.wait_for(60)
        wait_until(lambda: tracker.metric("tracker_spool_events") > 0, "callbacks in the spool")
        connection.execute("DROP TRIGGER no_space ON events")
        load.wait_for(60)
        load.stop()
        settle(tracker)
        assert load.refused == 0
        assert_nothing_lost(load, database_url)


def test_a_log_that_somebody_has_locked(database_url: str) -> None:
    """Appends are given up, on the server too: sessions that wait for the lock do not pile up."""
    with running_tracker(database_url) as tracker, under_load(tracker) as load, psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM log_head FOR UPDATE")
        held_until = time.monotonic() + EVERY_TIMEOUT
        while time.monotonic() < held_until:
            load.wait_for(10)
            waiting = holder.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^tracker-(append|drain)'"
            ).fetchone()
            assert waiting is not None
            assert waiting[0] <= 4
        holder.rollback()
        load.wait_for(60)
        load.stop()
        settle(tracker)
        assert load.refused == 0
        assert_nothing_lost(load, database_url)


def test_a_restart_during_an_outage_goes_on_taking_callbacks() -> None:
    """And projects them when the database is back. A first start needs the database."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        tracker.post_ok("queued", 1)
        data_dir = tracker.data_dir
        server.stop()
        tracker.post_ok("sent", 1)
        assert tracker.stop() == 0
        with running_tracker(server.url, data_dir=data_dir) as again:
            first = seconds_of(lambda: again.post_ok("delivered", 1))
            assert first < BOUND + GRACE
            server.start()
            again.wait_drained()
            wait_until(lambda: status_of(server.url) == ("delivered", 3), "the message to be delivered")


def status_of(database_url: str) -> tuple[str, int] | None:
    """Status and number of events of the first message, as projected."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT status, event_count FROM message_state WHERE message_sid = %s", (message_sid(1),)
        ).fetchone()


def test_a_record_that_the_database_refuses_costs_nobody_else_anything(
    database_url: str, connection: psycopg.Connection
) -> None:
    """It is answered 200, kept, said and counted; it is stored when the fault has been mended and the server was started again."""
    with running_tracker(database_url) as tracker:
        tracker.post_ok("queued", 1)
        connection.execute("ALTER TABLE events ADD CONSTRAINT refused CHECK (status <> 'poison')")
        for number in range(2, 12):
            tracker.post_ok("poison" if number % 5 == 0 else "sent", number)
        wait_until(lambda: tracker.metric("tracker_spool_refused_events") == 2, "the bad ones to be found")
        tracker.wait_drained()
        tracker.post_ok("delivered", 1)
        assert tracker.client.get("/readyz").json()["reasons"] == ["2 records in the spool that the database refuses"]
        rows = connection.execute("SELECT status, count(*)::int FROM events GROUP BY 1 ORDER BY 1").fetchall()
        assert rows == [("delivered", 1), ("queued", 1), ("sent", 8)]
        assert tracker.stop() == 0
        connection.execute("ALTER TABLE events DROP CONSTRAINT refused")
        with running_tracker(database_url, data_dir=tracker.data_dir) as again:
            again.wait_drained()
            wait_until(lambda: again.metric("tracker_spool_refused_events") == 0, "them to be stored")
            assert connection.execute("SELECT count(*)::int FROM events WHERE status = 'poison'").fetchone() == (2,)


def test_what_is_no_message_status_is_spooled_too() -> None:
    """In the same file, and set aside in the database afterwards, once."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        tracker.post_ok("queued", 1)
        server.stop()
        voice = {
            name: value for name, value in callback("completed").items() if "Message" not in name and "Sms" not in name
        }
        assert tracker.post(voice | {"CallSid": "CA" + "0" * 32}).status_code == httpx.codes.OK
        server.start()
        tracker.wait_drained()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT reason FROM quarantined_callbacks").fetchall() == [("no_message_sid",)]
