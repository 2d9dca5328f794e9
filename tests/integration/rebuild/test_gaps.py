"""A gap in the log's positions: readers stop in front of it, and go on when it has closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from projections.rebuild.rebuild import rebuilding
from projections.registry import PROJECTIONS
from tests.support.events import append
from tests.support.projections.counting import assert_exact
from tests.support.projections.rebuilding import compare_and_switch, dump, rebuild
from tests.support.projections.traffic import traffic
from tests.support.projector import project, run
from tracker.errors import RebuildError

GAP = 61
"""Position of the event that is not there."""


@contextmanager
def gap_at(database_url: str, position: int = GAP) -> Iterator[None]:
    """The log without this event until the block ends. Only a superuser who switches the triggers off can make such a log."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("CREATE TEMPORARY TABLE missing AS SELECT * FROM events WHERE position = %s", [position])
        connection.execute("DELETE FROM events WHERE position = %s", [position])
        yield
        connection.execute("INSERT INTO events SELECT * FROM missing")


def positions(connection: psycopg.Connection[Any]) -> set[int]:
    """Where the live projections stand."""
    return {position for (position,) in connection.execute("SELECT position FROM projections").fetchall()}


def test_the_projector_waits_at_a_gap(
    database_url: str, connection: psycopg.Connection[Any], as_projector: str
) -> None:
    """Its projections stand at the last event before the gap, and miss nothing once it has closed."""
    append(database_url, traffic(1, 150))
    with gap_at(database_url):
        run(as_projector)
        assert positions(connection) == {GAP - 1}
        run(as_projector)
        assert positions(connection) == {GAP - 1}
    run(as_projector)
    assert connection.execute("SELECT position FROM log_head").fetchall() == [
        (position,) for position in positions(connection)
    ]
    assert_exact(connection)


@pytest.mark.parametrize(
    ("processes", "batch_events", "reached"),
    [
        pytest.param(1, 25, GAP - 1, id="the pipeline, within a batch"),
        pytest.param(1, GAP - 1, GAP - 1, id="the pipeline, at the start of a batch"),
        pytest.param(2, 10, 60, id="several processes, at the start of a range"),
        pytest.param(2, 20, 40, id="several processes, within a range"),
        pytest.param(3, 7, 42, id="three processes"),
    ],
)
def test_a_rebuild_stops_at_a_gap(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, processes: int, batch_events: int, reached: int
) -> None:
    """It raises with the position that it has reached; no live row changes; when the gap has closed, it goes on from there."""
    before = dump(connection)
    with gap_at(projected), pytest.raises(RebuildError, match=rf"gap after position {reached} that does not close"):
        rebuild(as_owner, processes=processes, batch_events=batch_events)
    assert dump(connection) == before
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, processes=1) as work:
        assert work.begin() == reached
        work.fill()
        assert [compare_and_switch(work, projection).rows for projection in PROJECTIONS] == [0, 0, 0]
    assert dump(connection) == before


def test_a_comparison_stops_at_a_gap(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """What is taken in after the filling, inside one transaction, is held to the same: comparison and switch raise, and no row changes."""
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None) as work:
        work.begin()
        work.fill()
        [(head,)] = connection.execute("SELECT position FROM log_head").fetchall()
        append(projected, traffic(2, 20))
        project(projected)
        before = dump(connection)
        with gap_at(projected, head + 3):
            for step in (work.compare, work.switch):
                with pytest.raises(RebuildError, match=f"gap after position {head + 2} that does not close"):
                    step(PROJECTIONS[0])
        assert dump(connection) == before
        assert [compare_and_switch(work, projection).rows for projection in PROJECTIONS] == [0, 0, 0]
    assert dump(connection) == before
