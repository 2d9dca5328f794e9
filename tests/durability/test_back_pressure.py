"""A database that is slow, not away: the queue before it is bounded, and what waits in a full one is spooled rather than refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from tests.durability.clients import answer, connections, request, unread_bytes
from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until

MEGABYTE = 2**20

SECONDS = 1.0
"""That every append takes longer than usual: so long that a slow machine, too, posts more meanwhile than may wait."""

LONGEST = 12.0
"""Seconds that any callback may wait where each append takes SECONDS longer: Twilio waits fifteen."""


@contextmanager
def slow_appends(database_url: str) -> Iterator[None]:
    """Every batch takes SECONDS longer, with the head of the log locked, as long as the block lasts."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep({}); RETURN NULL; END $$"
            ).format(SECONDS)
        )
        connection.execute(
            "CREATE TRIGGER be_slow AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION be_slow()"
        )
        yield
        connection.execute("DROP TRIGGER be_slow ON events")


class Memory:
    """Of the only web worker."""

    def __init__(self, tracker: Tracker) -> None:
        (self._worker,) = tracker.children("tracker.web.worker")
        self._before = self.now()
        self._peak = self._before

    def now(self) -> int:
        """Resident bytes."""
        return self._worker.memory_info().rss

    def grown(self) -> int:
        """Bytes between the beginning and the most that was seen when this was asked."""
        self._peak = max(self._peak, self.now())
        return self._peak - self._before


@pytest.mark.parametrize(
    ("number", "padding"),
    [
        pytest.param(3000, 0, id="more callbacks than may wait"),
        pytest.param(500, 60_000, id="more bytes than may wait"),
    ],
)
def test_a_full_queue_is_spooled(database_url: str, number: int, padding: int, figures: Figures) -> None:
    """The database goes on taking what it can; nothing is refused, nobody waits long, memory is bounded, everything is stored once."""
    # Else the database would be given up as away.
    with running_tracker(database_url, TRACKER_APPEND_TIMEOUT="10") as tracker:
        memory = Memory(tracker)
        with slow_appends(database_url), under_load(tracker, number, padding="x" * padding) as load:
            # What is at the database when the queue is full is spooled as well, before those behind it, and said to be so: how many
            # are said to be appended is a matter of moments.
            before = tracker.metric(of("spooled"))
            wait_until(
                lambda: memory.grown() and tracker.metric(of("spooled")) >= before + number,
                "callbacks to be spooled",
            )
            load.stop()
            grown = memory.grown()
            appended, spooled = (int(tracker.metric(of(result))) for result in ("appended", "spooled"))
        settle(tracker, load, database_url)
        figures(
            f"{number} connections, database slow, bodies of {padding} bytes",
            f"{appended} appended, {spooled} spooled, {load.refused} refused, {load.latency()}, {grown / MEGABYTE:.0f} MB more",
        )
        assert load.refused == 0
        assert padding or large_batches(tracker) > 0
        assert load.latency().longest < LONGEST
        assert grown < 250 * MEGABYTE


def large_batches(tracker: Tracker) -> int:
    """How many of the batches that were appended had more than 256 events, and so came near what one may have."""
    up_to_256, all_of_them = (
        tracker.metric(f'tracker_append_batch_events_bucket{{le="{bound}"}}') for bound in ("256.0", "+Inf")
    )
    return int(all_of_them - up_to_256)


def of(result: str) -> str:
    """The name of the counter."""
    return f'tracker_callbacks_total{{result="{result}"}}'


def drain_has_looked(connection: psycopg.Connection) -> bool:
    """Whether it has found the database, as it does at the start: were the log locked then, it would be taken for away."""
    with connection.transaction():
        return bool(
            connection.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tracker-drain'"
                " AND state = 'idle' AND query LIKE '%append_events%'"
            ).fetchall()
        )


def test_where_all_connections_work_a_newcomer_waits(database_url: str) -> None:
    """Nothing is done with what it sends, even where that was read, before one of the others ends; then it is answered."""
    limit, newcomers = 16, 20
    with (
        running_tracker(database_url, TRACKER_MAX_CONNECTIONS=str(limit), TRACKER_APPEND_TIMEOUT="10") as tracker,
        psycopg.connect(database_url) as holder,
    ):
        wait_until(lambda: drain_has_looked(holder), "the start's look for the database")
        holder.execute("SELECT FROM log_head FOR UPDATE")
        with connections(tracker, limit, request(tracker, "queued", 1)) as working:
            wait_until(lambda: not any(unread_bytes(tracker, each) for each in working), "them to be read")
            with connections(tracker, newcomers, request(tracker, "sent", 1)) as waiting:
                wait_until(lambda: not any(unread_bytes(tracker, each) for each in waiting), "them to be held")
                released = datetime.now(UTC)
                holder.rollback()
                assert [answer(each)[:12] for each in working] == [b"HTTP/1.1 200"] * limit
                assert [answer(each)[:12] for each in waiting] == [b"HTTP/1.1 200"] * newcomers
        rows = holder.execute("SELECT status, received_at > %s FROM events ORDER BY position", (released,)).fetchall()
        assert rows == [("queued", False)] * limit + [("sent", True)] * newcomers
