"""The processes of one server: which secrets each can see, and that a start survives what a killed server left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.durability.clients import NOTHING, connections
from tests.support.serving import (
    ACCOUNT_SID,
    TOKEN,
    Tracker,
    bare_environment,
    free_port,
    running_tracker,
    starting_tracker,
)
from tests.support.waiting import wait_until
from tracker.postgres.embedded.server import EmbeddedServer

API_TOKEN = "b5c0b187fe309af0f4d35982fd961d7e"  # of nobody's tracker
SHARED_SECRET = "6d0d3cf5c1d2b8f0a1e4c7d9"  # of nobody's account


def environment_of(pid: int) -> bytes:
    """As it was when the process was started."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_children_see_only_the_secrets_that_they_use(tmp_path: Path) -> None:
    """Web workers verify signatures and tokens. The projector has the database's URL and nothing else, PostgreSQL has none at all, and
    no command line has any."""
    with running_tracker(
        data_dir=tmp_path,
        TRACKER_API_TOKEN=API_TOKEN,
        TWILIO_SHARED_KEYS=f'{{"key": "{SHARED_SECRET}"}}',
        twilio_auth_tokens=f'{{"{ACCOUNT_SID}": ["{TOKEN}"]}}',
    ) as tracker:
        wait_until(lambda: tracker.children("tracker project"), "the projector")
        (projector,) = tracker.children("tracker project")
        (worker,) = tracker.children("tracker.web.worker")
        postmaster = EmbeddedServer.find(tmp_path)
        assert postmaster is not None
        values = [API_TOKEN.encode(), SHARED_SECRET.encode(), TOKEN.encode()]
        assert all(value in environment_of(worker.pid) for value in values)
        assert b"DATABASE_URL=postgresql://" in environment_of(projector.pid)
        for pid in (projector.pid, postmaster.pid):
            assert not [value for value in values if value in environment_of(pid)]
        everyone = [psutil.Process(tracker.process.pid), *psutil.Process(tracker.process.pid).children(recursive=True)]
        assert len(everyone) >= 3
        for process in everyone:
            assert not [value for value in values if value.decode() in " ".join(process.cmdline())]


def test_workers_of_the_command_line_are_all_there(database_url: str) -> None:
    """Each has a place of its own for what it counts: the option goes before the environment in the workers too."""
    with running_tracker(database_url, "--workers", "3", TRACKER_WORKERS="1") as tracker:
        workers = tracker.children("tracker.web.worker")
        assert len(workers) == 3
        for number in range(12):
            with connections(tracker, 3, NOTHING):
                tracker.client.close()
                tracker.client = type(tracker.client)(base_url=tracker.base_url, timeout=60)
                tracker.post_ok("sent", number)
        assert tracker.metric('tracker_callbacks_total{result="appended"}') == 12
        assert tracker.children("tracker.web.worker") == workers


def test_a_start_right_after_a_kill_gets_the_port(database_url: str, tmp_path: Path) -> None:
    """The workers of the killed server hold it for a moment, longer when connections are open."""
    port = free_port()
    with running_tracker(database_url, data_dir=tmp_path, port=port) as first, connections(first, 5, NOTHING):
        (worker,) = first.children("tracker.web.worker")
        # A worker that stands still does not notice that its parent is gone, and the port is taken.
        worker.suspend()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        with starting_tracker(database_url, data_dir=tmp_path, port=port) as (process, _):
            wait_until(lambda: asked_for_the_port(process), "the next server to try the port")
            worker.resume()
            second = Tracker(process, tmp_path)
            try:
                wait_until(lambda: second.accepts("sent", 1), "the next server to answer")
            finally:
                second.client.close()


def asked_for_the_port(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the server is so far that it holds its data directory, which it does just before it binds."""
    return any(file.path.endswith("/lock") for file in psutil.Process(process.pid).open_files())


@pytest.mark.parametrize("kind", ["file", "below a file", "read-only"])
def test_a_data_directory_that_cannot_be_used_is_one_message(kind: str, tmp_path: Path) -> None:
    """No traceback, and the exit code of a wrong setting; a command that makes nothing finds no database there."""
    place = tmp_path / "data"
    if kind == "file":
        place.touch()
    elif kind == "below a file":
        place.touch()
        place /= "deeper"
    elif subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("a read-only file system cannot be mounted here")
    try:
        for command, code, start in (
            (["serve", "--port", "0"], 2, f"TRACKER_DATA_DIR: {place} cannot be used: "),
            (["history", "SM" + "0" * 32], 1, f"There is no database in {place}. "),
        ):
            ended = subprocess.run(
                [sys.executable, "-m", "tracker", *command],
                env=bare_environment() | {"TRACKER_DATA_DIR": str(place)},
                cwd="/",
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ended.returncode == code
            assert ended.stderr.startswith(start)
            assert len(ended.stderr.splitlines()) == 1
    finally:
        if kind == "read-only":
            subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_taken_port_is_said_after_a_few_seconds(database_url: str, tmp_path: Path) -> None:
    """It may belong to another program for good."""
    with running_tracker(database_url) as other:
        ended = subprocess.run(
            [sys.executable, "-m", "tracker", "serve", "--port", str(other.port)],
            env=bare_environment() | {"TRACKER_DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": database_url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert "Address already in use" in ended.stderr
        assert "Traceback" not in ended.stderr
