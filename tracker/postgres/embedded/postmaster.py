"""The processes of a PostgreSQL on one data directory: the server that runs there, and what is left of one that was killed.

A process id alone says nothing: it may be another program's by now, or that of a dead process which nobody has buried.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tracker.errors import EmbeddedServerError

POLL_SECONDS: Final = 0.02

KILL_SECONDS: Final = 20
"""How long a killed process may take to go."""

_LINES: Final = 8
"""Of a complete ``postmaster.pid``: process id, data directory, start time, port, socket directory, listen address, shared memory,
status (PostgreSQL, src/include/utils/pidfile.h)."""


class Postmaster(NamedTuple):
    """A server that runs."""

    pid: int
    socket_directory: Path | None
    """None until it has one."""
    is_ready: bool
    """Whether it takes connections, and is not starting, recovering or stopping."""


def find_postmaster(pgdata: Path) -> Postmaster | None:
    """The server that runs on this directory; None when none does, whatever its lock file says."""
    lines = _read_lock(pgdata)
    if not lines or not is_postmaster(lines[0], pgdata):
        return None
    is_complete = len(lines) >= _LINES
    return Postmaster(
        int(lines[0]), Path(lines[4]) if is_complete else None, is_complete and lines[7].strip() == "ready"
    )


def is_postmaster(pid: str | int, pgdata: Path) -> bool:
    """Whether that is the process id of a server on this directory; as text it may be anything."""
    try:
        return _belongs(psutil.Process(int(pid)), pgdata)
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def remove_stale_locks(pgdata: Path) -> None:
    """A SIGKILL leaves the lock files of the data directory and of the socket, and processes that have not noticed."""
    if find_postmaster(pgdata) is not None:
        return
    end_orphans(pgdata)
    lines = _read_lock(pgdata)
    socket_directory = Path(lines[4]) if len(lines) >= _LINES else pgdata
    for stale in (pgdata / "postmaster.pid", *socket_directory.glob(".s.PGSQL.*")):
        stale.unlink(missing_ok=True)


def end_orphans(pgdata: Path) -> None:
    """End what is left of a server on this directory. A backend that is busy does not notice at once that its postmaster was killed;
    it must not write beside a new server, and without the lock file PostgreSQL would not see it.

    Raises EmbeddedServerError when one does not go, as when the kernel holds it.
    """
    deadline = time.monotonic() + KILL_SECONDS
    for process in psutil.process_iter():
        while _belongs(process, pgdata):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"A process of an earlier PostgreSQL on {pgdata} does not end: {process.pid}")
            time.sleep(POLL_SECONDS)


def bury_dead() -> None:
    """Wait for dead PostgreSQL processes that have become children of this process, because it is the first one of a container: no
    init is there to do it, and they would stay in the process table."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.name() == "postgres" and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _read_lock(pgdata: Path) -> list[str]:
    """The lines of the lock file, none when there is no such file."""
    try:
        return (pgdata / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _belongs(process: psutil.Process, pgdata: Path) -> bool:
    """Whether it is a live process of the server on this directory, where all of them work. Another user's cannot be."""
    try:
        return (
            process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(pgdata)
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
