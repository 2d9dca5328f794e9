"""The database goes away in every way it can, under load: callbacks go on being answered 200, and all of them end up in the log, once."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.durability.accounting import BOUND, GRACE, assert_bounded
from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.durability.outage import FragileServer, fragile_server
from tests.durability.proxy import cutting_proxy
from tests.durability.spool_files import voice_callback
from tests.support.database import PostgresForTests
from tests.support.events import message_sid
from tests.support.serving import running_tracker
from tests.support.waiting import wait_until

EVERY_TIMEOUT = 7.0
"""Seconds, longer than any time limit of the server's own."""

PASSWORD = "of-nobody"

OUTAGE_PAUSE = 0.1
"""Seconds that each connection rests after an answer in a long outage: many callbacks at once, and not too many to drain."""


def seconds_of(call: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.monotonic()
    call()
    return time.monotonic() - started


def test_a_frozen_database_costs_one_callback_a_second_and_the_others_nothing() -> None:
    """Only the first one after the last answer waits; then it is remembered. The server says so, and stays in service."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        tracker.post_ok("queued", 1)
        tracker.wait_drained()
        before = int(tracker.metric('tracker_callbacks_total{result="spooled"}'))
        server.freeze()
        first = seconds_of(lambda: tracker.post_ok("sent", 1))
        others = [seconds_of(lambda: tracker.post_ok("delivered", 1)) for _ in range(20)]
        ready = tracker.client.get("/readyz")
        assert first < BOUND + GRACE
        # None waits for the database again: that would take TRACKER_APPEND_TIMEOUT each.
        assert sum(others) < len(others) * BOUND / 2
        assert ready.status_code == httpx.codes.OK
        assert ready.json()["status"] == "degraded"
        assert set(ready.json()["reasons"]) == {"the database does not answer", "21 events in the spool"}
        assert ready.elapsed.total_seconds() < GRACE
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') == before + 21
        server.thaw()
        tracker.wait_drained()
        tracker.wait_projected()
        wait_until(lambda: tracker.reasons() == [], "the server to be well")
        with psycopg.connect(server.url) as connection:
            statuses = [row[0] for row in connection.execute("SELECT status FROM events ORDER BY position")]
        assert statuses == ["queued", "sent", *["delivered"] * 20]


@contextmanager
def reached(server: FragileServer, over: str) -> Iterator[str]:
    """The URL by which it is reached: its own, or one through a proxy, because it listens on no TCP port itself."""
    if over == "socket":
        yield server.url
        return
    with cutting_proxy(server.url) as proxy:
        yield proxy.url


@pytest.mark.parametrize("over", ["socket", "TCP"])
@pytest.mark.parametrize("way", ["frozen", "stopped"])
def test_an_outage_that_is_longer_than_every_timeout(way: str, over: str, figures: Figures) -> None:
    """Every callback of it is answered 200 and stored, also those that were on their way when it began, and drained beside those that
    come afterwards; none of them waits long."""
    with (
        fragile_server() as server,
        reached(server, over) as url,
        running_tracker(url) as tracker,
        under_load(tracker, pause=OUTAGE_PAUSE) as load,
    ):
        load.wait_for(200)
        end(server, way)
        away_until = time.monotonic() + EVERY_TIMEOUT
        while time.monotonic() < away_until:
            load.wait_for(20)
        mend(server, way)
        tracker.wait_healthy()
        load.wait_for(100)
        settle(tracker, load, server.url)
        figures(f"outage of {EVERY_TIMEOUT:.0f} s, {way}, over {over}", load.summary())
        assert load.refused == 0
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') > 100
        assert tracker.metric('tracker_callbacks_total{result="unavailable"}') == 0
        assert_bounded(load)


def test_outage_after_outage(rng: random.Random, figures: Figures) -> None:
    """Short ones, one after the other, so that drains and commits are hit in the middle."""
    with fragile_server() as server, running_tracker(server.url) as tracker, under_load(tracker) as load:
        for way in ("frozen", "stopped") * 3:
            end(server, way)
            load.wait_for(rng.randrange(1, 1000))
            mend(server, way)
            load.wait_for(rng.randrange(1, 1000))
        settle(tracker, load, server.url)
        figures("outage after outage, 6 times", load.summary())
        assert load.refused == 0
        assert_bounded(load)


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
                wait_until(lambda: tracker.reasons() != [], "the outage to be seen")
            load.wait_for(200)
        settle(tracker, load, database_url)
        assert load.refused == 0
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') > 0
        assert_bounded(load)


def test_a_log_that_somebody_has_locked(database_url: str, figures: Figures) -> None:
    """Appends are given up, on the server too: sessions that wait for the lock do not pile up."""
    with (
        running_tracker(database_url) as tracker,
        under_load(tracker, pause=OUTAGE_PAUSE) as load,
        psycopg.connect(database_url) as holder,
    ):
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
        settle(tracker, load, database_url)
        figures("a log that is locked", load.summary())
        assert load.refused == 0
        assert_bounded(load)


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
        assert tracker.reasons() == ["2 records in the spool that the database refuses"]
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
        assert tracker.post(voice_callback()).status_code == httpx.codes.OK
        server.start()
        tracker.wait_drained()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT reason FROM quarantined_callbacks").fetchall() == [("no_message_sid",)]
