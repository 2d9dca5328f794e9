"""The switch waits for readers and for other rebuilds, and not for ever."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from projections.message_state import MESSAGE_STATE
from projections.rebuild.rebuild import REBUILD_LOCK, rebuilding
from tests.support.events import append
from tests.support.projections.rebuilding import Poisoned, dump, rebuild
from tests.support.projections.traffic import traffic
from tests.support.projector import run
from tests.support.waiting import PATIENCE, wait_until
from tracker.errors import RebuildError


def test_two_rebuilds_at_once_are_refused(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """They would fill the same tables. When the other has ended, or died, the next one may."""
    connection.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
    with pytest.raises(RebuildError, match="Another rebuild is under way"):
        rebuild(as_owner)
    connection.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
    rebuild(as_owner)


def test_a_reader_delays_the_switch(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """It sees the old table as long as it reads, whole, and the switch comes when it has finished."""
    reading, delayed = threading.Event(), threading.Event()
    seen: list[Any] = []

    def read() -> None:
        with psycopg.connect(projected) as reader:
            seen.append(reader.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone())
            reading.set()
            wait_until(
                lambda: connection.execute(
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                ).fetchone(),
                "the switch to wait",
            )
            delayed.set()
            seen.append(reader.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait(PATIENCE)
    rebuild(as_owner, [MESSAGE_STATE])
    reader.join()
    assert delayed.is_set()
    assert seen[0] == seen[1]
    assert connection.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone() == seen[0]


def test_a_reader_that_never_ends_stops_the_switch(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message that says what to look for; what was filled is kept, and others are not kept waiting for ever."""
    monkeypatch.setattr("projections.rebuild.rebuild.SWITCH_ATTEMPTS", 2)
    with psycopg.connect(projected) as reader:
        reader.execute("SELECT count(*) FROM message_state")
        with pytest.raises(RebuildError, match="pg_stat_activity"):
            rebuild(as_owner, [MESSAGE_STATE])
    with rebuilding(as_owner, [MESSAGE_STATE], lambda *_: None) as work:
        assert work.begin() > 0


@pytest.fixture
def vacuumed(projected: str, connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A live table that the server tidies all the time, and does not finish with."""
    connection.execute(
        "ALTER TABLE message_state SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100)"
    )
    connection.execute("UPDATE message_state SET country = country")
    working = "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 'message_state'::regclass"
    connection.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
    try:
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: connection.execute(working).fetchone(), "the server to tidy the table")
        yield connection
    finally:
        # Of the server, which other tests have too.
        connection.execute("ALTER SYSTEM RESET autovacuum_naptime")
        connection.execute("SELECT pg_reload_conf()")


def test_a_switch_does_not_wait_for_autovacuum(
    vacuumed: psycopg.Connection[Any], as_owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends it for whoever waits long enough; on a large table it would go on for minutes."""
    monkeypatch.setattr("projections.rebuild.rebuild.SWITCH_ATTEMPTS", 1)
    rebuild(as_owner, [MESSAGE_STATE])
    rebuilds = "SELECT rebuilds FROM projections WHERE name = 'message_state'"
    assert vacuumed.execute(rebuilds).fetchone() == (1,)


def test_a_lock_on_what_is_rebuilt_is_said(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Whoever holds it is to be looked for; it is no lost connection."""
    with rebuilding(as_owner, [MESSAGE_STATE], lambda *_: None) as work:
        work.begin()
        work.fill()
    with psycopg.connect(projected) as reader:
        reader.execute("SELECT count(*) FROM rebuild.message_state")
        with (
            pytest.raises(RebuildError, match="lock timeout.*pg_stat_activity"),
            rebuilding(as_owner, [MESSAGE_STATE], lambda *_: None) as work,
        ):
            work.discard()


def test_a_poison_event_stops_the_switch(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """One that came when the new tables had been compared: with its position and the reason, and the live tables stay."""
    [last] = connection.execute("SELECT position FROM log_head").fetchone() or [0]
    poisoned = Poisoned(last + 1)
    with rebuilding(as_owner, [poisoned], lambda *_: None) as work:
        work.begin()
        work.fill()
        assert work.compare(poisoned).rows == 0
        append(projected, traffic(2, 10, 1001))
        run(as_projector)
        before = dump(connection)
        with pytest.raises(RebuildError, match=f"metric_counters cannot take in the event at position {last + 1}: Val"):
            work.switch(poisoned)
    assert dump(connection) == before
