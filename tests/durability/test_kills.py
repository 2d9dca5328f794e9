"""SIGKILL of every kind of process, at random moments under load."""

import contextlib
import os
import random
import signal
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.durability.accounting import assert_bounded
from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.embedded.server import running_url

ROUNDS = [
    2,
    pytest.param(
        int(os.environ.get("VIOLENCE_ROUNDS", "25")), marks=[pytest.mark.long, pytest.mark.timeout(1800)], id="many"
    ),
]
"""Kills in one test; the many can be set by VIOLENCE_ROUNDS."""

PARTS = {"tracker.web.worker": ("web-0", "web-1"), "tracker project": ("projector",)}
"""What is killed, by a part of its command line, and how many there are."""

CALM = 0.05
"""Seconds between an answer and the connection's next callback: what comes in during a recovery has to be projected afterwards."""

MOMENT = range(20, 1000)
"""Acknowledged callbacks until the next kill."""


def embedded_url(tracker: Tracker) -> str:
    """The URL of the server's own PostgreSQL, as soon as it is ready."""
    found: list[str] = []

    def is_ready() -> bool:
        url = running_url(tracker.data_dir)
        if url is not None:
            found.append(url)
        return url is not None

    wait_until(is_ready, "the embedded server")
    return found[-1]


def has_gone(process: psutil.Process) -> bool:
    """Whether it runs no longer; what nobody has waited for yet does not run."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: psutil.Process) -> None:
    """SIGKILL of a process that runs, and until it has gone. Raises psutil.NoSuchProcess when it does not run."""
    process.kill()
    wait_until(lambda: has_gone(process), f"{process.pid} to be gone")


def kill_one(tracker: Tracker, part: str, rng: random.Random) -> int:
    """Kill one of the children with this in their command lines, and wait until as many run as before; the victim's process id."""
    wait_until(lambda: len(tracker.children(part)) == len(PARTS[part]), "all of them to run")
    victim = rng.choice(tracker.children(part))
    kill(victim)
    wait_until(
        lambda: victim.pid not in (pids := running(tracker, part)) and len(pids) == len(PARTS[part]),
        "another to take its place",
    )
    return victim.pid


def running(tracker: Tracker, part: str) -> set[int]:
    """Process ids of the children that run."""
    return {child.pid for child in tracker.children(part) if not has_gone(child)}


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("part", PARTS)
def test_sigkill_of_a_worker_or_the_projector(part: str, rounds: int, rng: random.Random, figures: Figures) -> None:
    """The supervisor starts it again; nothing that was acknowledged is lost or doubled."""
    with running_tracker(TRACKER_WORKERS="2") as tracker, under_load(tracker, pause=CALM) as load:
        killed = set[int]()
        for _ in range(rounds):
            load.wait_for(rng.choice(MOMENT))
            killed.add(kill_one(tracker, part, rng))
        load.wait_for(50)
        settle(tracker, load, embedded_url(tracker))
        assert len(killed) == rounds
        if part == "tracker project":
            assert load.refused == 0
        figures(f"{rounds} kills of {part}", load.summary())


def postmaster(data_dir: Path) -> psutil.Process | None:
    """The embedded server's first process, as its lock file names it; None while there is none."""
    try:
        return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None


def wait_for_postmaster(data_dir: Path, old: psutil.Process | None = None) -> psutil.Process:
    """The one that runs, as soon as it is another than ``old``."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        process = postmaster(data_dir)
        if process is not None and process != old and not has_gone(process):
            found.append(process)
        return bool(found)

    wait_until(is_there, "a new postmaster")
    return found[-1]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_sigkill_of_the_postmaster(rounds: int, rng: random.Random, figures: Figures) -> None:
    """PostgreSQL dies with all its sessions; callbacks go on being taken, and the supervisor starts it again."""
    with running_tracker() as tracker, under_load(tracker, pause=CALM) as load:
        killed = set[int]()
        for _ in range(rounds):
            load.wait_for(rng.choice(MOMENT))
            victim = wait_for_postmaster(tracker.data_dir)
            kill(victim)
            killed.add(victim.pid)
            wait_for_postmaster(tracker.data_dir, victim)
            tracker.wait_healthy()
        load.wait_for(50)
        settle(tracker, load, embedded_url(tracker))
        assert len(killed) == rounds
        assert load.refused == 0
        assert_bounded(load)
        figures(f"{rounds} kills of the postmaster", load.summary())


def kill_one_backend(tracker: Tracker) -> int:
    """SIGKILL of a backend that appends, as soon as there is one: none may be while the server recovers. Its process id."""
    killed: list[int] = []

    def found_one() -> bool:
        try:
            with psycopg.connect(embedded_url(tracker), autocommit=True) as connection:
                row = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'tracker-append'"
                ).fetchone()
            if row is not None:
                kill(psutil.Process(row[0]))
                killed.append(row[0])
        except (psycopg.OperationalError, psutil.NoSuchProcess):
            return False
        return bool(killed)

    wait_until(found_one, "a backend to kill")
    return killed[0]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_sigkill_of_one_backend(rounds: int, rng: random.Random, figures: Figures) -> None:
    """PostgreSQL then ends all sessions and recovers: commits that were on their way are in doubt, and resolved."""
    with running_tracker() as tracker, under_load(tracker, pause=CALM) as load:
        killed = set[int]()
        for _ in range(rounds):
            load.wait_for(rng.choice(MOMENT))
            killed.add(kill_one_backend(tracker))
            tracker.wait_healthy()
        load.wait_for(50)
        settle(tracker, load, embedded_url(tracker))
        assert len(killed) == rounds
        assert load.refused == 0
        assert_bounded(load)
        figures(f"{rounds} kills of a backend", load.summary())


def test_sigkill_of_everything_at_once(rng: random.Random, figures: Figures) -> None:
    """The whole server dies under load and is started again on the same directory: as after a power cut without the disk's part."""
    with running_tracker() as first, under_load(first, pause=CALM) as load:
        load.wait_for(rng.choice(MOMENT))
        database = wait_for_postmaster(first.data_dir)
        processes = psutil.Process(first.process.pid).children(recursive=True)
        victims = [psutil.Process(first.process.pid), *processes, *database.children(), database]
        for process in victims:
            # Some end by themselves when the first have gone.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        assert first.process.wait() == -signal.SIGKILL
        wait_until(lambda: all(map(has_gone, victims)), "all to be gone")
        with running_tracker(data_dir=first.data_dir, port=first.port) as second:
            load.wait_for(50)
            settle(second, load, embedded_url(second))
            figures("kill of everything at once", load.summary())
