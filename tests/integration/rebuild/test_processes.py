"""A rebuild whose messages are shared out among several processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from projections.rebuild.partitions import usual_shares
from projections.rebuild.rebuild import rebuilding
from projections.registry import PROJECTIONS
from tests.support.projections.counting import assert_exact
from tests.support.projections.rebuilding import Poisoned, compare_and_switch, dump, rebuild
from tests.support.waiting import wait_until
from tracker.errors import RebuildError


@pytest.mark.parametrize(("processes", "batch_events"), [(2, 20), (3, 7), (2, 10_000)])
def test_it_gives_what_was_there(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, processes: int, batch_events: int
) -> None:
    """Row for row, however many there are, and whether or not messages have earlier events than a range."""
    before = dump(connection)
    results = rebuild(as_owner, processes=processes, batch_events=batch_events, max_messages=5)
    assert [(result.rows, result.position == result.live_position) for result in results] == [(0, True)] * 3
    assert dump(connection) == before
    assert_exact(connection)


def test_it_goes_on_where_it_was_stopped(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """With another number of processes: what was committed is of whole ranges."""
    with (
        pytest.raises(InterruptedError),
        rebuilding(as_owner, PROJECTIONS, _stop, batch_events=30, processes=2, many_events=1) as work,
    ):
        work.begin()
        work.fill()
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, batch_events=25, processes=3, many_events=1) as work:
        assert work.begin() == 60
        work.fill()
        assert [compare_and_switch(work, projection).rows for projection in PROJECTIONS] == [0, 0, 0]
    assert_exact(connection)


def _stop(_events: int, position: int, _last: int) -> None:
    if position >= 60:
        raise InterruptedError


def folding_children(process: psutil.Process) -> list[psutil.Process]:
    """The processes that fold for this one; none of its children may be dead."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("projected")
def test_a_process_that_is_killed_ends_it_with_words(connection: psycopg.Connection[Any], as_owner: str) -> None:
    """And the next one goes on."""
    alive: list[psutil.Process] = []

    def kill(_events: int, _position: int, _last: int) -> None:
        """Once: what was folded by then is written all the same."""
        if not alive:
            alive.extend(folding_children(psutil.Process()))
            for child in alive:
                child.kill()

    with (
        pytest.raises(RebuildError, match="was killed. Run it again: it goes on from here"),
        rebuilding(as_owner, PROJECTIONS, kill, batch_events=10, processes=2, many_events=1) as work,
    ):
        work.begin()
        work.fill()
    assert len(alive) == 2
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, processes=2, many_events=1) as work:
        assert work.begin() > 0
        work.fill()
        assert [compare_and_switch(work, projection).rows for projection in PROJECTIONS] == [0, 0, 0]
    assert_exact(connection)


@pytest.mark.usefixtures("projected")
def test_an_event_that_cannot_be_folded_is_named(as_owner: str) -> None:
    """By the process that met it; without the number that the exception quotes."""
    with pytest.raises(
        RebuildError, match=r"metric_counters cannot take in the event at position 61: ValueError: to \+1415…"
    ) as raised:
        rebuild(as_owner, [Poisoned()], processes=2, batch_events=40)
    assert "14155238886" not in str(raised.value)


FROZEN = """
import sys
from projections.registry import PROJECTIONS
from projections.rebuild.rebuild import rebuilding

def on_progress(events, position, last):
    print(position, flush=True)
    sys.stdin.read()

with rebuilding(sys.argv[1], PROJECTIONS, on_progress, batch_events=5, processes=2, many_events=1) as work:
    work.begin()
    work.fill()
"""


@pytest.mark.usefixtures("projected")
def test_processes_end_with_the_one_that_started_them(as_owner: str) -> None:
    """A SIGKILL leaves nobody behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", FROZEN, as_owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "10\n"
        children = folding_children(psutil.Process(process.pid))
        assert len(children) == 2
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    wait_until(lambda: not any(child.is_running() for child in children), "the processes to end")


def test_there_are_as_many_as_processors() -> None:
    """Of this process, and no more than the writer can follow."""
    assert usual_shares() == min(len(psutil.Process().cpu_affinity()), 4)
