"""SIGKILL of every kind of process, at random moments under load."""

import contextlib
import os
import random
import signal

import psutil
import psycopg
import pytest

from tests.durability.load import Load, assert_nothing_lost, under_load
from tests.serving import Tracker, running_tracker, wait_until
from tracker.database.embedded import running_url

ROUNDS = 3
"""Kills of each kind in one test. More rounds: VIOLENCE_ROUNDS."""

RNG = random.Random(20261123)


def rounds() -> int:
    """How often each test kills."""
    return int(os.environ.get("VIOLENCE_ROUNDS", ROUNDS))


def embedded_url(tracker: Tracker) -> str:
    """The URL of the server's own PostgreSQL."""
    url = running_url(tracker.data_dir)
    assert url is not None
    return url


def settle(tracker: Tracker, load: Load) -> None:
    """The end of every test: what was acknowledged is in the log and projected."""
    load.stop()
    tracker.wait_drained()
    tracker.wait_projected()
    assert_nothing_lost(load, embedded_url(tracker))


def kill_one_backend(database_url: str) -> bool:
    """SIGKILL of a backend that appends; False when there is none just now."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'tracker-append' ORDER BY random() LIMIT 1"
        ).fetchone()
    if row is not None:
        os.kill(row[0], signal.SIGKILL)
    return row is not None


def kill(process: psutil.Process) -> None:
    """SIGKILL, and until it has gone."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)


@pytest.mark.parametrize("part", ["tracker.web.worker", "tracker project"])
def test_sigkill_of_a_worker_or_the_projector(part: str) -> None:
    """The supervisor starts it again; nothing that was acknowledged is lost or doubled."""
    with running_tracker(TRACKER_WORKERS="2") as tracker, under_load(tracker) as load:
        for _ in range(rounds()):
            load.wait_for(RNG.randrange(20, 200))
            wait_until(lambda: tracker.children(part), "a process to kill")
            kill(RNG.choice(tracker.children(part)))
        load.wait_for(50)
        settle(tracker, load)


def test_sigkill_of_the_postmaster() -> None:
    """PostgreSQL dies with all its sessions; callbacks go on being taken, and the supervisor starts it again."""
    with running_tracker() as tracker, under_load(tracker) as load:
        for _ in range(rounds()):
            load.wait_for(RNG.randrange(20, 200))
            pid = int((tracker.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGKILL)
            tracker.wait_healthy()
        load.wait_for(50)
        settle(tracker, load)


def test_sigkill_of_one_backend() -> None:
    """PostgreSQL then ends all sessions and recovers: commits that were on their way are in doubt, and resolved."""
    with running_tracker() as tracker, under_load(tracker) as load:
        for _ in range(rounds()):
            load.wait_for(RNG.randrange(20, 200))
            wait_until(lambda: kill_one_backend(embedded_url(tracker)), "a backend to kill")
            tracker.wait_healthy()
        load.wait_for(50)
        settle(tracker, load)


def test_sigkill_of_everything_at_once() -> None:
    """The whole server dies under load and is started again on the same directory: as after a power cut without the disk's part."""
    with running_tracker() as first, under_load(first) as load:
        load.wait_for(RNG.randrange(100, 400))
        processes = psutil.Process(first.process.pid).children(recursive=True)
        postmaster = psutil.Process(int((first.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        for process in [psutil.Process(first.process.pid), *processes, *postmaster.children(), postmaster]:
            # Some end by themselves when the first have gone.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        first.process.wait()
        with running_tracker(data_dir=first.data_dir, port=first.port) as second:
            load.wait_for(50)
            settle(second, load)
