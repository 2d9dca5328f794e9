"""A rebuild that was interrupted goes on where it stood."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from projections.delivery_stats import DELIVERY_STATS
from projections.rebuild.rebuild import OnProgress, rebuilding
from projections.registry import PROJECTIONS
from tests.support.events import append
from tests.support.projections.counting import assert_exact
from tests.support.projections.rebuilding import compare_and_switch, rebuild
from tests.support.projections.traffic import traffic
from tests.support.waiting import PATIENCE


class StoppedError(Exception):
    """The test stops the rebuild."""


def stop_at(position: int) -> OnProgress:
    """Progress that is stopped as soon as it comes that far."""

    def on_progress(_: int, reached: int, __: int) -> None:
        if reached >= position:
            raise StoppedError

    return on_progress


def test_an_interrupted_rebuild_goes_on(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Again and again, from where it stood each time; the log grows in between."""
    starts: list[int] = []
    for position in (60, 200, 210):
        with (
            pytest.raises(StoppedError),
            rebuilding(as_owner, PROJECTIONS, stop_at(position), batch_events=20, max_messages=50) as work,
        ):
            starts.append(work.begin())
            work.fill()
    append(projected, traffic(1, 50, 1001))
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, batch_events=20, max_messages=50) as work:
        starts.append(work.begin())
        work.fill()
        results = [compare_and_switch(work, projection) for projection in PROJECTIONS]
    assert starts[0] == 0
    assert 60 <= starts[1] < starts[2] < starts[3]
    assert [result.rows for result in results] == [0, 0, 0]


def test_a_rebuild_may_be_taken_up_by_parts(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """One projection of an interrupted rebuild is finished alone, and then the rest, from different positions."""
    with pytest.raises(StoppedError), rebuilding(as_owner, PROJECTIONS, stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    with pytest.raises(StoppedError), rebuilding(as_owner, [DELIVERY_STATS], stop_at(200), batch_events=20) as work:
        assert work.begin() >= 100
        work.fill()
    results = rebuild(as_owner)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)


def test_restart_begins_anew(projected: str, as_owner: str) -> None:
    """When what was filled is not to be trusted."""
    with pytest.raises(StoppedError), rebuilding(as_owner, PROJECTIONS, stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None) as work:
        assert work.begin(restart=True) == 0


def test_tables_that_were_migrated_since_are_filled_anew(
    projected: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """An interrupted rebuild whose tables lack a column is no use."""
    with pytest.raises(StoppedError), rebuilding(as_owner, [DELIVERY_STATS], stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    connection.execute("ALTER TABLE delivery_latency ADD COLUMN more integer")
    with rebuilding(as_owner, [DELIVERY_STATS], lambda *_: None) as work:
        assert work.begin() == 0


KILLED = """
import os, signal, sys
from projections.registry import PROJECTIONS
from projections.rebuild.rebuild import rebuilding

def on_progress(events, position, last):
    print(position, flush=True)

with rebuilding(sys.argv[1], PROJECTIONS, on_progress, batch_events=5) as work:
    work.begin()
    work.fill()
"""


def test_a_killed_rebuild_goes_on(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """SIGKILL, wherever it is, several times; each life begins where a batch was committed."""
    positions = [0]
    for wanted in (20, 120, 240):
        root = Path(__file__).parents[3]
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, as_owner], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert process.stdout is not None
        for line in process.stdout:
            positions.append(int(line))
            if int(line) >= wanted:
                process.kill()
                break
        process.stdout.close()
        process.wait(PATIENCE)
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None) as work:
        assert work.begin() >= positions[-1] >= 240
        work.fill()
        results = [compare_and_switch(work, projection) for projection in PROJECTIONS]
    assert positions == sorted(positions)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)
