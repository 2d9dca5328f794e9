"""The live projections go on while a rebuild fills, compares and switches."""

import threading
from itertools import count
from typing import Any

import psycopg

from projections.rebuild.rebuild import rebuilding
from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import append
from tests.support.projections.counting import assert_exact
from tests.support.projections.rebuilding import dump, live_projector, rebuild
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active, lag, run, wait_projected
from tests.support.waiting import wait_until


def test_live_traffic_goes_on(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Events are appended and projected while it fills, compares and switches, three times; no runner has to start again."""
    stop = threading.Event()

    def send() -> None:
        first = 10_000
        while not stop.is_set():
            append(projected, traffic(2, 10, first))
            first += 10

    since = "SELECT acquired_at FROM projection_runner"
    before = connection.execute(since).fetchone()
    with live_projector(as_projector):
        wait_until(lambda: connection.execute(since).fetchone() != before, "a runner")
        runner = connection.execute(since).fetchone()
        sender = threading.Thread(target=send)
        sender.start()
        try:
            results = [result for _ in range(3) for result in rebuild(as_owner, batch_events=40)]
        finally:
            stop.set()
            sender.join()
        wait_projected(connection)
        assert connection.execute(since).fetchone() == runner
    assert [result.rows for result in results] == [0] * 9
    assert all(result.position == result.live_position for result in results)
    assert connection.execute("SELECT DISTINCT rebuilds FROM projections").fetchall() == [(3,)]
    assert_exact(connection)


def test_the_live_runner_goes_on_with_the_new_tables(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Its prepared statements find them, and its checkpoint is theirs."""
    with psycopg.connect(as_projector, autocommit=True) as session:
        runner = Runner(session, PROJECTIONS)
        become_active(runner)
        for first in range(1001, 1100, 10):
            append(projected, traffic(3, 10, first))
            assert runner.run_once() > 0
            rebuild(as_owner)
        append(projected, traffic(3, 10, 2001))
        assert runner.run_once() > 0
    assert lag(connection) == 0
    assert_exact(connection)


def test_a_log_that_never_rests_does_not_keep_it_from_ending(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """Each batch that is taken in is followed by new events; what is left at the end is little enough for the switch."""
    append(database_url, traffic(3, 50))
    numbers = count(1001, 3)

    def on_progress(_: int, __: int, ___: int) -> None:
        if not switching.is_set():
            append(database_url, traffic(3, 3, next(numbers)))

    switching = threading.Event()
    with rebuilding(as_owner, PROJECTIONS, on_progress, batch_events=20) as work:
        work.begin()
        work.fill()
        switching.set()
        for projection in PROJECTIONS:
            work.switch(projection)
    assert lag(connection) == 0
    assert_exact(connection)


def test_a_switch_takes_in_what_came_since(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """What the live projection took in after the comparison is in the new tables too, so nothing goes back."""
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, batch_events=10) as work:
        work.begin()
        work.fill()
        for projection in PROJECTIONS:
            work.compare(projection)
        append(projected, traffic(3, 30, 1001))
        run(as_projector)
        before = dump(connection)
        for projection in PROJECTIONS:
            work.switch(projection)
    assert dump(connection) == before
    assert lag(connection) == 0
