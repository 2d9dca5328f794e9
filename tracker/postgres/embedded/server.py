"""A real PostgreSQL 18 from a wheel, for ``make run`` and for tests without Docker (docs/adr/0007-embedded-postgresql.md).

Its files are under the data directory. The start clears what a SIGKILL left behind, every wait is bounded, and the server is stopped
on request rather than at exit.
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tracker.errors import EmbeddedServerError, NoDatabaseError, SettingsError
from tracker.postgres.embedded.postmaster import (
    POLL_SECONDS,
    Postmaster,
    end_orphans,
    find_postmaster,
    is_postmaster,
    remove_stale_locks,
)
from tracker.postgres.embedded.wheel import make_cluster, run_program, socket_directory

STOP_SECONDS: Final = 20
"""How long a fast shutdown may take before the server is left to finish by itself."""

IMMEDIATE_SECONDS: Final = 2.0
"""How long an immediate shutdown may take before its processes are killed."""

START_SECONDS: Final = 120
"""How long a server may take to recover from a crash, and ``initdb`` to make a cluster."""

LOCALE_OPTIONS: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
"""PostgreSQL's own order of texts, by code point, whatever language the environment has: SIDs are compared faster, and no update of
the system's libraries changes an order that indexes rely on (https://www.postgresql.org/docs/18/locale.html)."""

IS_EMBEDDED: Final = "tracker.embedded"
"""A setting of the embedded server's, by which SQL finds out which server it runs on."""

INITIALISED: Final = ".tracker-initialised"
"""Written into the cluster after its first start; a cluster without it is the remains of a killed initdb."""


class EmbeddedServer:
    """A running server. ``start`` is the way to get one; it may have been started by an earlier run that was killed."""

    def __init__(self, pgdata: Path, url: str, pid: int) -> None:
        self._pgdata = pgdata
        self.url = url
        """Of the database ``postgres``, as its superuser, over the Unix socket."""
        self.pid = pid
        """The postmaster."""

    @classmethod
    def start(cls, data_dir: Path, gives_up: Callable[[], bool] = lambda: False) -> "EmbeddedServer":
        """Start the server under ``data_dir/postgres``, or find it running there. Two processes must not do so at once:
        ``exclusively`` sees to that. gives_up: asked all the time whether to stop waiting.

        Raises EmbeddedServerError with the end of the server's log: after START_SECONDS at most, soon after ``gives_up`` says so.
        """
        pgdata = _cluster(data_dir)
        try:
            _clear_unfinished_cluster(pgdata)
            remove_stale_locks(pgdata)
            postmaster = _launch(pgdata, gives_up)
        except (subprocess.SubprocessError, OSError) as error:
            raise EmbeddedServerError(f"The embedded PostgreSQL did not start: {error}\n{_log_tail(pgdata)}") from error
        (pgdata / INITIALISED).touch(mode=0o600)
        return cls(pgdata, _url(postmaster.socket_directory or pgdata), postmaster.pid)

    @classmethod
    def find(cls, data_dir: Path) -> "EmbeddedServer | None":
        """The server that runs under ``data_dir``, be it only just starting; None when none does."""
        pgdata = _cluster(data_dir)
        found = find_postmaster(pgdata)
        return None if found is None else cls(pgdata, _url(found.socket_directory or pgdata), found.pid)

    @property
    def is_running(self) -> bool:
        """Whether its postmaster lives."""
        return is_postmaster(self.pid, self._pgdata)

    def stop(self, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """A fast shutdown: sessions end, a checkpoint is written. Does nothing when the server is gone already.

        is_urgent: asked again and again whether to end it at once: an immediate shutdown, without a checkpoint, after which the next
        start recovers. Nothing that was committed is lost. Raises EmbeddedServerError.
        """
        if not self.is_running:
            return
        try:
            run_program("pg_ctl", ["-m", "fast", "-w", "-t", str(STOP_SECONDS), "stop"], self._pgdata, is_urgent)
        except (subprocess.SubprocessError, OSError) as error:
            if is_urgent():
                self._end_at_once()
            elif self.is_running:
                raise EmbeddedServerError(
                    f"The embedded PostgreSQL did not stop: {error}\n{_log_tail(self._pgdata)}"
                ) from error

    def _end_at_once(self) -> None:
        """SIGQUIT, which is the immediate shutdown (postgres(1)), then SIGKILL for what is left."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGQUIT)
        deadline = time.monotonic() + IMMEDIATE_SECONDS
        while self.is_running and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        end_orphans(self._pgdata)


def expected_url(data_dir: Path) -> str:
    """The URL of the server under ``data_dir``, which need not run, and keeps it when it is started again."""
    pgdata = _cluster(data_dir)
    found = find_postmaster(pgdata)
    return _url(socket_directory(pgdata) if found is None else found.socket_directory or pgdata)


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that another process runs under ``data_dir``; None when none is ready there."""
    pgdata = _cluster(data_dir, make=False)
    found = find_postmaster(pgdata)
    return None if found is None or not found.is_ready else _url(found.socket_directory or pgdata)


def _cluster(data_dir: Path, *, make: bool = True) -> Path:
    path = data_dir / "postgres"
    if make:
        make_data_directory(data_dir)
        make_cluster(path)
    return path.resolve()


def make_data_directory(data_dir: Path) -> None:
    """Make it where it is missing, closed to other users: it has phone numbers and secrets in it. One that is there stays as it is.

    Raises SettingsError when it cannot be made.
    """
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(data_dir, error) from error


def _unusable(data_dir: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"TRACKER_DATA_DIR: {data_dir.absolute()} cannot be used: {error.strerror}. It must be a directory that this user may"
        " write to."
    )


def _url(socket_directory: Path) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(socket_directory))}"


def _launch(pgdata: Path, gives_up: Callable[[], bool]) -> Postmaster:
    """The server, when it is ready. One that runs already, and may still be recovering, is waited for."""
    deadline = time.monotonic() + START_SECONDS
    was_launched = False
    while True:
        found = find_postmaster(pgdata)
        if found is not None and found.is_ready:
            return found
        if gives_up():
            raise EmbeddedServerError("The embedded PostgreSQL is not started: the program stops.")
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"The embedded PostgreSQL was not ready within {START_SECONDS} s.\n{_log_tail(pgdata)}"
            )
        if found is not None:
            time.sleep(POLL_SECONDS)
        elif was_launched:
            raise EmbeddedServerError(f"The embedded PostgreSQL ended when it had started.\n{_log_tail(pgdata)}")
        else:
            _start(pgdata, gives_up)
            was_launched = True


def _start(pgdata: Path, gives_up: Callable[[], bool]) -> None:
    """Make the cluster where there is none, and start the server. Raises CalledProcessError, or TimeoutExpired."""
    if not (pgdata / "PG_VERSION").exists():
        options = ["--auth=trust", "--auth-local=trust", "--encoding=utf8", "-U", "postgres", *LOCALE_OPTIONS]
        run_program("initdb", options, pgdata, gives_up)
    # On the socket only: no port is taken. Whoever can connect is the superuser, so nobody else can: the directory is closed to others,
    # and so is the socket in it.
    options = ["-o", '-h "" -c unix_socket_permissions=0700', "-o", f"-k {shlex.quote(str(socket_directory(pgdata)))}"]
    options += ["-o", f"-c {IS_EMBEDDED}=on", "-l", str(pgdata / "log")]
    run_program("pg_ctl", ["-w", "-t", str(START_SECONDS), *options, "start"], pgdata, gives_up)


def _clear_unfinished_cluster(pgdata: Path) -> None:
    """A kill inside initdb leaves half a cluster. Nothing was ever stored in one that has not started once."""
    if (pgdata / INITIALISED).exists():
        return
    end_orphans(pgdata)
    for path in pgdata.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _log_tail(pgdata: Path, lines: int = 12) -> str:
    try:
        return "\n".join((pgdata / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return f"(no log in {pgdata}{os.sep}log)"


@contextlib.contextmanager
def exclusively(data_dir: Path) -> Iterator[bool]:
    """Hold the data directory for this process: yields True, or False when another process holds it already.

    The kernel gives the lock back when the process dies, however it dies. Raises SettingsError when the directory cannot be used.
    """
    make_data_directory(data_dir)
    try:
        file = (data_dir / "lock").open("a", encoding="ascii")
    except OSError as error:
        raise _unusable(data_dir, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def has_database(data_dir: Path) -> bool:
    """Whether there is the cluster of an embedded server under ``data_dir`` that has been started once. Raises SettingsError when
    this user may not look."""
    try:
        return (_cluster(data_dir, make=False) / INITIALISED).exists()
    except OSError as error:
        raise _unusable(data_dir, error) from error


@contextlib.contextmanager
def open_database(database_url: str | None, data_dir: Path, *, create: bool = False) -> Iterator[str]:
    """The database's URL for one command: the given one, else the embedded server's.

    The embedded server is started and stopped around the command unless ``tracker serve`` keeps it running already. create: whether it
    is made where there is none.

    Raises NoDatabaseError when there is none and it is not to be made, SettingsError when the data directory cannot be used, and
    EmbeddedServerError when the server does not start.
    """
    if database_url is not None:
        yield database_url
        return
    if not create and not has_database(data_dir):
        raise NoDatabaseError(
            f"There is no database in {data_dir.absolute()}. Run this in the directory where `tracker serve` was started, or"
            " set TRACKER_DATA_DIR to its data directory, or DATABASE_URL. `tracker serve` and `tracker migrate` make a new one."
        )
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
