"""The supervisor behind ``tracker serve``: the database where it is ours, the web workers, the projector.

It holds the listening socket, so connections wait while a worker is replaced, and it starts again what died. Children watch a pipe
that only the supervisor holds, so none outlives it, however it dies. Nothing is kept but on disk and in PostgreSQL: the next start
needs no help.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil
import structlog

from tracker.database.embedded import EmbeddedServer, exclusively
from tracker.database.migrations import migrate
from tracker.errors import DatabaseUnavailableError, TrackerError
from tracker.processes import INSTANCE_ID, PARENT_PIPE, instance_id
from tracker.settings import Settings
from tracker.web.receiver import spool_directory
from tracker.web.server import STOP_SECONDS as WORKER_STOP_SECONDS
from tracker.web.worker import SOCKET, STATS, WORKER

_log = structlog.get_logger()

BACKLOG: Final = 4096
"""Connections that wait to be accepted: a campaign's callbacks come in bursts, and `connection: close` makes each a new one."""

WORKER_SECONDS: Final = WORKER_STOP_SECONDS + 2
"""How long a web worker may take to stop before it is killed."""

PROJECTOR_SECONDS: Final = 5
"""The same for the projector, which a database that stands still keeps waiting; its transaction is then undone."""

STOP_SECONDS: Final = WORKER_SECONDS + PROJECTOR_SECONDS
"""How long a stop may take, without that of an embedded PostgreSQL."""

CHECK_SECONDS: Final = 0.2
"""How often children are looked after."""

SECONDS_BETWEEN_STARTS: Final = 1.0
"""A child that dies at once is not started more often than this."""


PROJECTOR: Final = "projector"

MIGRATE_SECONDS: Final = 1.0
"""How often is tried to migrate a database that was away at the start."""


class Child:
    """A process that is started again when it ends."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        descriptors: tuple[int, ...],
        stop_seconds: float,
    ) -> None:
        """stop_seconds: how long it may take to stop."""
        self.name = name
        self._stop_seconds = stop_seconds
        self._arguments = arguments
        self._environment = dict(environment)
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process."""
        self._started = time.monotonic()
        # A session of its own: Ctrl-C reaches the supervisor only, which then stops its children in order.
        self._process = subprocess.Popen(
            [sys.executable, *self._arguments],
            env={**os.environ, **self._environment},
            pass_fds=self._descriptors,
            start_new_session=True,
        )
        _log.info("child.started", child=self.name, pid=self._process.pid)

    def look_after(self) -> None:
        """Start the process if it has not been started, or has ended."""
        if self._process is None:
            self.start()
            return
        if self._process.poll() is None:
            return
        if time.monotonic() - self._started >= SECONDS_BETWEEN_STARTS:
            _log.error("child.died", child=self.name, pid=self._process.pid, exit_code=self._process.returncode)
            self.start()

    def tell_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended; kill it when it does not within its time."""
        if self._process is None:
            return
        try:
            self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            _log.error(
                "child.killed", child=self.name, pid=self._process.pid, reason=f"did not stop in {self._stop_seconds} s"
            )
            self._process.kill()
            self._process.wait()


def serve(
    settings: Settings,
    *,
    project: bool = True,
    migrate_first: bool = True,
    on_ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    project: whether a projector runs beside the web workers. migrate_first: False where DATABASE_URL logs in as somebody who may not,
    and the schema is up to date already. on_ready: called when connections are accepted.

    A database that is away keeps nobody from taking callbacks who has taken some before: they are spooled, and it is migrated, and
    projected, when it is back.

    Raises TrackerError when the address is taken, when another server runs on the data directory, when the database cannot be
    reached at the first start, or not be migrated.
    """
    server = instance_id()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with exclusively(settings.data_dir) as alone, contextlib.ExitStack() as resources:
        if not alone:
            raise TrackerError(
                f"Another server runs on {settings.data_dir}: stop it, or set TRACKER_DATA_DIR to another directory."
            )
        listener = resources.enter_context(_listen(settings.host, settings.port))
        database = _Database(settings)
        resources.callback(database.stop)
        schema = _Schema(database.url)
        if migrate_first:
            schema.migrate(may_wait=spool_directory(settings).is_dir())
        read_end, write_end = os.pipe()
        resources.callback(os.close, write_end)
        resources.callback(os.close, read_end)
        children = list(_children(settings, database.url, listener.fileno(), read_end, server, project))
        for child in children:
            if child.name != PROJECTOR or not schema.is_pending:
                child.start()
        on_ready()
        try:
            while not stop.wait(CHECK_SECONDS):
                database.look_after()
                for child in children:
                    if child.name != PROJECTOR or not schema.is_pending:
                        child.look_after()
        finally:
            # Nobody can connect any more once the workers have closed theirs.
            listener.close()
            _stop_all(children)


def _stop_all(children: list[Child]) -> None:
    """Web workers first: what they append while stopping, the projector still takes in."""
    for group in (
        [child for child in children if child.name != PROJECTOR],
        [child for child in children if child.name == PROJECTOR],
    ):
        for child in group:
            child.tell_to_stop()
        for child in group:
            child.wait()
    _log.info("server.stopped")


def _children(
    settings: Settings, database_url: str, listener: int, parent_pipe: int, instance_id: UUID, project: bool
) -> Iterator[Child]:
    stats = settings.data_dir / "run" / "web-stats"
    stats.parent.mkdir(parents=True, exist_ok=True)
    # Process metrics start at zero with the server, as Prometheus expects of a process.
    stats.unlink(missing_ok=True)
    shared = {
        "DATABASE_URL": database_url,
        INSTANCE_ID: str(instance_id),
        PARENT_PIPE: str(parent_pipe),
        "TRACKER_DATA_DIR": str(settings.data_dir),
    }
    for worker in range(settings.workers):
        environment = {**shared, SOCKET: str(listener), WORKER: str(worker), STATS: str(stats)}
        yield Child(f"web-{worker}", ["-m", "tracker.web.worker"], environment, (listener, parent_pipe), WORKER_SECONDS)
    if project:
        yield Child(PROJECTOR, ["-m", "tracker", "project"], shared, (parent_pipe,), PROJECTOR_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise TrackerError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Set TRACKER_HOST or TRACKER_PORT."
        ) from error
    listener.set_inheritable(True)
    return listener


class _Schema:
    """The database's schema, which may have to wait for the database."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self.is_pending = False
        """Whether it still waits."""

    def migrate(self, *, may_wait: bool) -> None:
        """Bring it up to date, later if the database is away and ``may_wait`` says so. Raises TrackerError."""
        try:
            migrate(self._database_url)
        except DatabaseUnavailableError as error:
            if not may_wait:
                raise
            _log.error("migration.postponed", reason=str(error))
            self.is_pending = True
            threading.Thread(target=self._try_until_done, name="migrate", daemon=True).start()

    def _try_until_done(self) -> None:
        while self.is_pending:
            time.sleep(MIGRATE_SECONDS)
            try:
                migrate(self._database_url)
                self.is_pending = False
            except DatabaseUnavailableError:
                continue
            except TrackerError as error:
                _log.error("migration.failed", reason=str(error))


class _Database:
    """The database: a given one, or the embedded server, which is then started again should it die."""

    def __init__(self, settings: Settings) -> None:
        self._data_dir: Path = settings.data_dir
        self._server = None if settings.database_url else EmbeddedServer.start(settings.data_dir)
        self.url = settings.database_url.get_secret_value() if settings.database_url else self._server_url()

    def look_after(self) -> None:
        if self._server is not None and not psutil.pid_exists(self._server.pid):
            _log.error("database.died", pid=self._server.pid)
            try:
                self._server = EmbeddedServer.start(self._data_dir)
            except TrackerError as error:
                # Its backends may still be ending; the next look tries again.
                _log.error("database.not_restarted", reason=str(error))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _server_url(self) -> str:
        assert self._server is not None
        return self._server.url
