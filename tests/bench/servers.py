"""The processes under load: three rivals and a real ``tracker serve``. Each ends with its block."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from tests.bench.account import ACCOUNT_SID, API_TOKEN, AUTH_TOKEN, PUBLIC_BASE_URL
from tests.bench.wrk import BenchError
from tracker.postgres.embedded.server import running_url
from tracker.supervisor.supervisor import BACKLOG

ROOT: Final = Path(__file__).parents[2]

START_SECONDS: Final = 60
STOP_SECONDS: Final = 60


class ServerUnderLoad:
    """A process that serves, and the processes behind it whose CPU time counts."""

    def __init__(self, port: int, processes: Mapping[str, psutil.Process]) -> None:
        self.port = port
        self.processes = dict(processes)


class TrackerUnderLoad(ServerUnderLoad):
    """A whole ``tracker serve``."""

    def __init__(self, port: int, processes: Mapping[str, psutil.Process], database_url: str) -> None:
        super().__init__(port, processes)
        self.database_url = database_url
        """Of the tracker's own database, as its superuser."""


@contextmanager
def bench_directory() -> Iterator[Path]:
    """A directory for all that is written, gone at the end. Where TMPDIR says, and not in memory: commits must cost."""
    with tempfile.TemporaryDirectory(prefix="tracker-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        kind = filesystem_of(directory)
        if kind in {"tmpfs", "ramfs"}:
            raise BenchError(
                f"{directory} is in memory ({kind}), where a commit costs nothing: set TMPDIR to a directory on a disk"
            )
        yield directory


def filesystem_of(directory: Path) -> str:
    """Its type, such as ``ext4``; ``unknown`` where the system does not say."""
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


@contextmanager
def running_rival(name: str, directory: Path, *arguments: str) -> Iterator[ServerUnderLoad]:
    """A rival of ``rivals``, on a port of its own."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        port = listener.getsockname()[1]
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "tests.bench.rivals", name, str(descriptor), *arguments]
        with running(command, directory / f"{name}.log", pass_fds=(descriptor,)) as process:
            _wait_until(lambda: _answers(port, "/"), process, directory / f"{name}.log")
            yield ServerUnderLoad(port, {"web": psutil.Process(process.pid)})


@contextmanager
def running_tracker(directory: Path, *arguments: str, database_url: str | None = None) -> Iterator[TrackerUnderLoad]:
    """``tracker serve`` as it is shipped, with further arguments. database_url: None for its embedded PostgreSQL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "TRACKER_DATA_DIR": str(directory / "data"),
        "TRACKER_PORT": str(port),
        "PUBLIC_BASE_URL": PUBLIC_BASE_URL,
        "TRACKER_API_TOKEN": API_TOKEN,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        **({"DATABASE_URL": database_url} if database_url else {}),
    }
    log = directory / "tracker.log"
    with running([sys.executable, "-m", "tracker", "serve", *arguments], log, environment=settings) as process:
        _wait_until(lambda: _answers(port, "/livez"), process, log)
        url = database_url or running_url(directory / "data")
        if url is None:
            raise BenchError(f"the embedded PostgreSQL of {directory} does not run\n{_end_of(log)}")
        yield TrackerUnderLoad(port, _processes_of(psutil.Process(process.pid), directory / "data"), url)


def _processes_of(supervisor: psutil.Process, data_dir: Path) -> dict[str, psutil.Process]:
    """The web worker; the projector and PostgreSQL, all of it, where they are the tracker's own."""
    found: dict[str, psutil.Process] = {}
    for child in supervisor.children():
        arguments = child.cmdline()
        if "tracker.web.worker" in arguments:
            found["web"] = child
        elif "project" in arguments:
            found["projector"] = child
    lock = data_dir / "postgres" / "postmaster.pid"
    if lock.exists():
        found["postgres"] = psutil.Process(int(lock.read_text(encoding="utf-8").splitlines()[0]))
    return found


@contextmanager
def running(
    command: list[str], log: Path, *, pass_fds: tuple[int, ...] = (), environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block ends, with no settings of the tracker's but these; killed when it does not stop."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_"))
    }
    settings = {**inherited, "PYTHONPATH": str(ROOT), **(environment or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            # Not in the checkout, where a developer's .env would be read.
            command, cwd=log.parent, env=settings, pass_fds=pass_fds, stdout=output, stderr=output,
        )  # fmt: skip
        family = [psutil.Process(process.pid)]
        try:
            yield process
        finally:
            if process.poll() is None:
                family += family[0].children(recursive=True)
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for member in family:
                    _kill(member)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"a server did not start:\n{_end_of(log)}")
        time.sleep(0.05)


def _answers(port: int, path: str) -> bool:
    """Whether there is an HTTP answer, whatever it says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
