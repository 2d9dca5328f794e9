"""A start and a restart in bad circumstances: callbacks are taken, children are looked after, SIGTERM is honoured, whatever the database
does meanwhile."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.durability.outage import fragile_server
from tests.support.serving import Tracker, running_tracker, starting_tracker
from tests.support.waiting import wait_until
from tracker.postgres.embedded.server import EmbeddedServer, running_url
from tracker.postgres.migrations import APPLICATION, MIGRATION_LOCK
from tracker.supervisor.supervisor import STOP_SECONDS

GRACE = 5.0
"""Seconds that a machine which runs other tests may add."""

APPEND_SECONDS = 0.8
"""What the database may take by default (TRACKER_APPEND_TIMEOUT)."""

LOAD_SECONDS = 1.5
"""Seconds that a machine which runs other tests may add to one answer."""

SUBREAPER = (
    "import ctypes, os, sys; "
    "ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0); "  # PR_SET_CHILD_SUBREAPER, prctl(2)
    "os.execv(sys.executable, [sys.executable, '-m', 'tracker', *sys.argv[1:]])"
)
"""A program that is as the first process of a container: what its descendants leave behind becomes its child."""


def postmaster(data_dir: Path) -> int:
    """The process id of the server's own PostgreSQL."""
    found = EmbeddedServer.find(data_dir)
    assert found is not None
    return found.pid


def kill_postmaster(data_dir: Path) -> None:
    """SIGKILL, and until nothing of it is there."""
    os.kill(postmaster(data_dir), signal.SIGKILL)
    wait_until(lambda: EmbeddedServer.find(data_dir) is None, "the postmaster to end")


@contextmanager
def long_recovery(data_dir: Path) -> Iterator[Path]:
    """The next PostgreSQL under this directory recovers until the file is removed that this yields: it asks an archive what to do, and
    the archive does not answer until then."""
    pgdata = data_dir / "postgres"
    # In the cluster itself, which is where PostgreSQL runs its commands: another directory may be closed to its user.
    held = pgdata / "held"
    held.touch()
    with (pgdata / "postgresql.auto.conf").open("a", encoding="ascii") as file:
        file.write(f"restore_command = 'while test -e {held.name}; do sleep 0.05; done; false'\n")
    (pgdata / "recovery.signal").touch()
    try:
        yield held
    finally:
        held.unlink(missing_ok=True)


@contextmanager
def broken_configuration(data_dir: Path) -> Iterator[None]:
    """PostgreSQL does not start under this directory until the block ends."""
    configuration = data_dir / "postgres" / "postgresql.conf"
    before = configuration.read_text()
    configuration.write_text(f"{before}no_such_setting = on\n")
    try:
        yield
    finally:
        configuration.write_text(before)


def seconds_to_stop(process: subprocess.Popen[bytes]) -> float:
    """How long the server takes; it must end with 0."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    return time.monotonic() - started


def status_of_first(tracker: Tracker) -> str | None:
    """What the API says of the message that was sent first; None while it does not say anything."""
    answer = tracker.client.get("/api/messages")
    messages = answer.json().get("messages", []) if answer.is_success else []
    return messages[-1]["status"] if messages else None


def test_while_postgresql_recovers_everything_else_goes_on(tmp_path: Path) -> None:
    """Callbacks are taken, a worker that dies is started again; then the spool is drained into the database."""
    with running_tracker(data_dir=tmp_path) as tracker, long_recovery(tmp_path) as held:
        tracker.post_ok("queued", 1)
        kill_postmaster(tmp_path)
        wait_until(lambda: EmbeddedServer.find(tmp_path), "PostgreSQL to be started again")
        tracker.post_ok("sent", 1)
        (worker,) = tracker.children("tracker.web.worker")
        worker.kill()
        wait_until(lambda: tracker.accepts("delivered", 1), "a new worker", seconds=10)
        assert running_url(tmp_path) is None
        held.unlink()
        tracker.wait_drained()
        tracker.wait_projected()
        assert status_of_first(tracker) == "delivered"


def test_a_start_beside_a_long_recovery_takes_callbacks(tmp_path: Path) -> None:
    """As after the whole machine died. A stop in the middle of the recovery is a stop, and leaves nothing running."""
    with running_tracker(data_dir=tmp_path) as first:
        first.post_ok("queued", 1)
        first.stop()
    with long_recovery(tmp_path) as held:
        with running_tracker(data_dir=tmp_path) as second:
            second.post_ok("sent", 1)
            wait_until(lambda: EmbeddedServer.find(tmp_path), "PostgreSQL to begin")
            assert seconds_to_stop(second.process) < STOP_SECONDS + GRACE
            assert EmbeddedServer.find(tmp_path) is None
        held.unlink()
        with running_tracker(data_dir=tmp_path) as third:
            third.wait_drained()
            third.wait_projected()
            assert status_of_first(third) == "sent"


def test_sigterm_while_postgresql_cannot_be_started_again(tmp_path: Path) -> None:
    """The supervisor tries on and on, and ends in time with 0 all the same. What was spooled meanwhile is stored by the next run."""
    with running_tracker(data_dir=tmp_path) as tracker:
        tracker.post_ok("queued", 1)
        with broken_configuration(tmp_path):
            kill_postmaster(tmp_path)
            tracker.post_ok("sent", 1)
            assert tracker.metric('tracker_callbacks_total{result="spooled"}') == 1
            assert seconds_to_stop(tracker.process) < STOP_SECONDS + GRACE
    with running_tracker(data_dir=tmp_path) as again:
        again.wait_drained()
        again.wait_projected()
        assert status_of_first(again) == "sent"


def test_postgresql_comes_back_when_its_fault_is_mended(tmp_path: Path) -> None:
    """However often it could not be started."""
    with running_tracker(data_dir=tmp_path) as tracker:
        log = tmp_path / "postgres" / "log"
        with broken_configuration(tmp_path):
            kill_postmaster(tmp_path)
            wait_until(lambda: log.read_text().count("no_such_setting") >= 2, "two attempts")
        tracker.wait_healthy()


def test_a_first_start_behind_somebody_who_migrates_can_be_stopped(empty_database_url: str) -> None:
    """Nobody listens yet, so nobody waits for an answer."""
    with psycopg.connect(empty_database_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s::bigint)", (MIGRATION_LOCK,))
        with starting_tracker(empty_database_url) as (process, _):
            wait_until(lambda: is_migrating(holder), "the server to wait for the lock")
            assert not [
                each for each in psutil.Process(process.pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN
            ]
            assert seconds_to_stop(process) < GRACE


def is_migrating(connection: psycopg.Connection) -> bool:
    """Whether a session of somebody's who migrates is there."""
    found = connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s", (APPLICATION,)
    )
    return found.fetchone() is not None


def test_a_later_start_behind_somebody_who_migrates_takes_callbacks(database_url: str) -> None:
    """And projects them when the lock is free."""
    with running_tracker(database_url) as first:
        first.post_ok("queued", 1)
        first.stop()
        with psycopg.connect(database_url, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s::bigint)", (MIGRATION_LOCK,))
            with running_tracker(database_url, data_dir=first.data_dir) as second:
                second.post_ok("sent", 1)
                assert not second.children("tracker project")
                holder.execute("SELECT pg_advisory_unlock_all()")
                second.wait_drained()
                second.wait_projected()
                assert status_of_first(second) == "sent"


def test_a_frozen_database_does_not_delay_a_later_start() -> None:
    """The first callback waits for its own time limit at most, the later ones, when the database is known to be away, for none."""
    with fragile_server() as server:
        with running_tracker(server.url) as first:
            first.post_ok("queued", 1)
            first.stop()
            server.freeze()
            with running_tracker(server.url, data_dir=first.data_dir) as second:
                assert seconds_to_post(second, "sent") < APPEND_SECONDS + LOAD_SECONDS
                wait_until(lambda: seconds_to_post(second, "delivered") < APPEND_SECONDS, "an answer without a wait")
                assert second.metric('tracker_callbacks_total{result="spooled"}') >= 2
                assert second.metric('tracker_callbacks_total{result="appended"}') == 0
                assert seconds_to_stop(second.process) < STOP_SECONDS + GRACE
        server.thaw()


def seconds_to_post(tracker: Tracker, status: str) -> float:
    """How long the answer to a callback of message 1 takes."""
    started = time.monotonic()
    tracker.post_ok(status, 1)
    return time.monotonic() - started


def test_a_child_that_cannot_be_started_is_tried_again(database_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The machine has no descriptor left, or no process: the supervisor says so and goes on."""
    with running_tracker(database_url) as tracker:
        supervisor = psutil.Process(tracker.process.pid)
        before = supervisor.rlimit(psutil.RLIMIT_NOFILE)
        (worker,) = tracker.children("tracker.web.worker")
        supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
        try:
            worker.kill()
            wait_until(lambda: "child.not_started" in capfd.readouterr().err, "the supervisor to say so")
        finally:
            supervisor.rlimit(psutil.RLIMIT_NOFILE, before)
        wait_until(lambda: tracker.accepts("sent", 1), "a new worker", seconds=10)
        tracker.wait_projected()


def zombies_of(pid: int) -> list[psutil.Process]:
    """Dead processes of PostgreSQL that wait for this one."""
    return [
        child
        for child in psutil.Process(pid).children()
        if child.status() == psutil.STATUS_ZOMBIE and child.name() == "postgres"
    ]


def test_as_the_first_process_of_a_container_it_sees_postgresql_die(tmp_path: Path) -> None:
    """No init buries the dead there: a zombie is no server, and zombies do not pile up."""
    with starting_tracker(data_dir=tmp_path, program=("-c", SUBREAPER)) as (process, _):
        tracker = Tracker(process, tmp_path)
        try:
            for _ in range(2):
                tracker.wait_healthy()
                dead = postmaster(tmp_path)
                # It takes connections a moment before pg_ctl, which started it, ends and leaves it to the first process.
                wait_until(lambda dead=dead: psutil.Process(dead).ppid() == process.pid, "it to be inherited")
                os.kill(dead, signal.SIGKILL)
                wait_until(lambda dead=dead: not psutil.pid_exists(dead), "its burial")
            tracker.wait_healthy()
            wait_until(lambda: not zombies_of(process.pid), "the last burial")
        finally:
            tracker.client.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with no byte left."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with (tmp_path / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while filler.write(b"\0" * 4096):
                pass
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_start_on_a_full_disk_serves(database_url: str, full_disk: Path) -> None:
    """With a database that takes callbacks, the disk is not needed: not for counting either."""
    with running_tracker(database_url, data_dir=full_disk) as tracker:
        (worker,) = tracker.children("tracker.web.worker")
        tracker.post_ok("sent", 1)
        assert tracker.metric('tracker_callbacks_total{result="appended"}') == 1
        assert worker.is_running()
