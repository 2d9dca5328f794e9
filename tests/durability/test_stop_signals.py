"""Stop signals to the whole process group, as a terminal, ``make`` or an init system sends them: at every phase of a start and of a stop,
in bursts. Each time every process ends within the bound."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest

from tests.durability.load import under_load
from tests.support.serving import ACCOUNT_SID, TOKEN, Tracker, bare_environment, running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.embedded.server import EmbeddedServer
from tracker.supervisor.supervisor import STOP_SECONDS, WORKER_SECONDS

BOTH = (signal.SIGTERM, signal.SIGINT)

GRACE = 5.0
"""Seconds that a machine which runs other tests may add."""

AT_ONCE = 4.0
"""Seconds that an immediate end may take, PostgreSQL's included."""

MARK = "TEST_OF_STOP_SIGNALS"
"""Environment variable by which all processes of one server are found, but for PostgreSQL's, which overwrite theirs."""

ROUNDS = 6

PHASES = {"import": 0.4, "start": 1.5, "first callbacks": 3.0}
"""Parts of a start, by when they are over, in seconds on an idle machine."""


class Group:
    """A server in a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", data_dir: Path, mark: str) -> None:
        self.process = process
        self.data_dir = data_dir
        self._mark = mark

    def send(self, *numbers: signal.Signals) -> None:
        """Signals to the whole group, one immediately after the other."""
        for number in numbers:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return

    def remains(self) -> list[psutil.Process]:
        """Processes of this server that live, PostgreSQL's included."""
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(MARK) == self._mark or (
                process.name() == "postgres" and process.cwd() == str((self.data_dir / "postgres").resolve())
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def assert_ended(self, seconds: float) -> None:
        """The supervisor ends in time, and nothing of it is left."""
        started = time.monotonic()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"after {seconds} s there are {self.remains()}") from None
        # Its children have ended by then, but for what an import was killed in the middle of.
        wait_until(
            lambda: not self.remains(), "the last process", seconds=max(1.0, started + seconds - time.monotonic())
        )
        assert EmbeddedServer.find(self.data_dir) is None


@contextmanager
def group(data_dir: Path, **environment: str) -> Iterator[Group]:
    """A server in a process group of its own, with an embedded PostgreSQL unless DATABASE_URL is given."""
    mark = str(uuid4())
    settings = {
        "TRACKER_DATA_DIR": str(data_dir),
        "TRACKER_PORT": "0",
        "TRACKER_WORKERS": "2",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
        MARK: mark,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", "serve"],
        env=bare_environment() | settings | environment,
        cwd=data_dir,
        start_new_session=True,
    )
    started = Group(process, data_dir, mark)
    try:
        yield started
    finally:
        for left in started.remains():
            left.kill()
        process.wait()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server that has run before, so that a start is short."""
    directory = tmp_path_factory.mktemp("stop")
    with running_tracker(data_dir=directory) as tracker:
        assert tracker.stop() == 0
    return directory


def pause_until(moment: float, condition: Callable[[], object] = lambda: False) -> None:
    """Until a moment of the monotonic clock, or until the condition is true."""
    while time.monotonic() < moment and not condition():
        time.sleep(0.001)


@pytest.mark.parametrize("phase", PHASES)
def test_two_signals_at_any_moment_of_a_start(data_dir: Path, phase: str, rng: random.Random) -> None:
    """Close together, in either order, or of one kind: an ordinary stop."""
    bounds = [0.0, *PHASES.values()]
    place = list(PHASES).index(phase)
    for _ in range(ROUNDS // 2):
        with group(data_dir) as server:
            pause_until(time.monotonic() + rng.uniform(bounds[place], bounds[place + 1]))
            server.send(rng.choice(BOTH))
            pause_until(time.monotonic() + rng.choice([0, 0, 0.0005, 0.01]))
            server.send(rng.choice(BOTH))
            server.assert_ended(STOP_SECONDS + GRACE)


def test_two_signals_at_any_moment_of_a_first_start(tmp_path: Path, rng: random.Random) -> None:
    """While the cluster is made. The next start makes it anew, or goes on."""
    for directory in (tmp_path / "1", tmp_path / "2", tmp_path / "3"):
        directory.mkdir()
        with group(directory) as server:
            pause_until(time.monotonic() + rng.uniform(0.5, 3))
            server.send(rng.choice(BOTH), rng.choice(BOTH))
            server.assert_ended(STOP_SECONDS + GRACE)
    with running_tracker(data_dir=tmp_path / "3") as tracker:
        tracker.post_ok("sent", 1)


def test_bursts_during_a_stop(data_dir: Path, rng: random.Random) -> None:
    """Twelve signals within a fifth of a second, from any moment of a stop on: whether the stop was over or is cut short, all has ended
    soon after."""
    for _ in range(ROUNDS - 1):
        with group(data_dir) as server:
            tracker = Tracker(server.process, data_dir)
            tracker.wait_healthy()
            tracker.client.close()
            server.send(rng.choice(BOTH))
            pause_until(time.monotonic() + rng.uniform(0, 1.5), lambda: server.process.poll() is not None)
            for _ in range(12):
                server.send(rng.choice(BOTH))
                pause_until(time.monotonic() + rng.uniform(0, 0.03))
            server.assert_ended(AT_ONCE + GRACE)


def test_a_third_signal_ends_at_once(data_dir: Path) -> None:
    """A worker that does not stop would hold up an ordinary stop for its whole time. What was acknowledged is in the log afterwards,
    although PostgreSQL wrote no checkpoint."""
    with group(data_dir) as server:
        tracker = Tracker(server.process, data_dir)
        tracker.wait_healthy()
        tracker.post_ok("sent", 77)
        before = tracker.client.get("/healthz").json()["position"]
        tracker.client.close()
        for worker in tracker.children("tracker.web.worker"):
            worker.suspend()
        server.send(signal.SIGTERM)
        server.send(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2)
        server.send(signal.SIGINT)
        # Waiting for the workers would take longer.
        assert AT_ONCE + GRACE < WORKER_SECONDS - 2
        server.assert_ended(AT_ONCE + GRACE)
        assert server.process.returncode == 128 + signal.SIGINT
    with running_tracker(data_dir=data_dir) as again:
        again.wait_healthy()
        assert again.client.get("/healthz").json()["position"] == before


def test_a_child_that_ignores_sigterm_is_killed_within_the_bound(database_url: str, data_dir: Path) -> None:
    """All of them at the same time: two workers that stand still take no longer than one."""
    with group(data_dir, DATABASE_URL=database_url) as server:
        tracker = Tracker(server.process, data_dir)
        tracker.wait_healthy()
        tracker.client.close()
        wait_until(lambda: tracker.children("tracker project"), "the projector")
        for child in (*tracker.children("tracker.web.worker"), *tracker.children("tracker project")):
            child.suspend()
        started = time.monotonic()
        server.send(signal.SIGTERM)
        server.assert_ended(STOP_SECONDS + GRACE)
        assert time.monotonic() - started < STOP_SECONDS + GRACE
        assert server.process.returncode == 0


def test_the_projector_takes_in_what_the_workers_append_while_they_stop(database_url: str, tmp_path: Path) -> None:
    """It is told to stop after they have ended: nothing is left for the next start to project."""
    with running_tracker(database_url, data_dir=tmp_path) as tracker:
        tracker.wait_projected()
        with under_load(tracker) as load:
            load.wait_for(200)
            assert tracker.stop() == 0
        with psycopg.connect(database_url) as connection:
            head = connection.execute("SELECT position FROM log_head").fetchone()
            checkpoints = connection.execute("SELECT position FROM projections").fetchall()
        assert head is not None
        assert head[0] >= 200
        assert checkpoints
        assert {position for (position,) in checkpoints} == {head[0]}
