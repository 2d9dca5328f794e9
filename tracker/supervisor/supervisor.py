"""The supervisor behind ``tracker serve``: the database where it is ours, the web workers, the projector.

It holds the listening socket, so connections wait while a worker is replaced, and it starts again what died. Children watch a pipe
that only the supervisor holds, so none outlives it, however it dies. Nothing is kept but on disk and in PostgreSQL: the next start
needs no help.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

import structlog

from tracker.errors import TrackerError
from tracker.http.server import STOP_SECONDS as WORKER_STOP_SECONDS
from tracker.postgres.embedded.server import exclusively
from tracker.processes import INSTANCE_ID, PARENT_PIPE, environment_without_secrets, instance_id
from tracker.settings import Settings
from tracker.stop_signals import URGENT_SIGNALS, StopSignals
from tracker.supervisor.child import Child
from tracker.supervisor.database_supervisor import DatabaseKeeper
from tracker.web.ingest import spool_directory
from tracker.web.telemetry.shared_counters import shared_memory
from tracker.web.worker import READY, SOCKET, STATS, WORKER

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

BIND_SECONDS: Final = 5.0
"""How long a start waits for its port: the workers of a server that was killed take about a second to close theirs."""

BIND_PAUSE_SECONDS: Final = 0.1

START_CHECK_SECONDS: Final = 0.02
"""Interval at which a start checks whether the database is up, and whether the first worker accepts callbacks."""


def serve(
    settings: Settings,
    *,
    project: bool = True,
    migrate_first: bool = True,
    on_ready: Callable[[int], object] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT. The third signal ends everything at once, and then the exit code is 128 and its number: children
    are killed, an embedded PostgreSQL shuts down without a checkpoint and recovers at its next start. What was acknowledged stays.

    project: whether a projector runs beside the web workers. migrate_first: False where DATABASE_URL logs in as somebody who may not,
    and the schema is up to date already. on_ready: called with the port when the first worker accepts callbacks.

    A first start waits for the database. One that has taken callbacks before takes them at once: they are spooled until the database
    has been started, has recovered, is back, has been migrated; then they are projected too.

    Raises TrackerError when the address is taken, when another server runs on the data directory, when the database cannot be
    reached at the first start, or not be migrated.
    """
    server = instance_id(settings)
    with StopSignals() as stop, exclusively(settings.data_dir) as alone, contextlib.ExitStack() as resources:
        if not alone:
            raise TrackerError(
                f"Another server runs on {settings.data_dir}: stop it, or set TRACKER_DATA_DIR to another directory."
            )
        listener = resources.enter_context(_bind(settings, stop))
        database = DatabaseKeeper(settings, migrates=migrate_first)
        database.start()
        resources.callback(_stop_database, database, stop)
        if not (spool_directory(settings).is_dir() or _is_up(database, stop)):
            return
        with _taken(settings, listener):
            listener.listen(BACKLOG)
        read_end, write_end = os.pipe()
        # Process metrics start at zero with the server, as Prometheus expects of a process.
        stats = shared_memory()
        # A worker that is replaced writes again, and nobody reads it: it must not wait.
        ready, announcement = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for descriptor in (read_end, write_end, stats, ready, announcement):
            resources.callback(os.close, descriptor)
        shared = {
            "DATABASE_URL": database.url,
            INSTANCE_ID: str(server),
            PARENT_PIPE: str(read_end),
            "TRACKER_DATA_DIR": str(settings.data_dir),
        }
        workers = _workers(
            settings, shared, {SOCKET: listener.fileno(), PARENT_PIPE: read_end, STATS: stats, READY: announcement}
        )
        projectors = (
            [
                Child(
                    "projector",
                    ["-m", "tracker", "project"],
                    # Of all secrets it uses only the database's URL.
                    {**environment_without_secrets(), **shared},
                    (read_end,),
                    PROJECTOR_SECONDS,
                )
            ]
            if project
            else []
        )
        try:
            is_announced = False
            while not stop.is_set():
                # A projector has nothing to do without the database.
                _look_after(workers, projectors if database.is_ready else [])
                if not is_announced and _has_byte(ready):
                    is_announced = True
                    on_ready(listener.getsockname()[1])
                stop.wait(CHECK_SECONDS if is_announced else START_CHECK_SECONDS)
        finally:
            database.rest()
            # Nobody can connect any more once the workers have closed theirs.
            listener.close()
            # Web workers first: what they append while stopping, the projector still takes in.
            _stop_all(stop, workers, projectors)


def _is_up(database: DatabaseKeeper, stop: StopSignals) -> bool:
    """Wait for the database at a first start, when nobody has been promised anything yet. False: told to stop meanwhile. Raises
    TrackerError with what is wrong with it."""
    while not stop.wait(START_CHECK_SECONDS):
        if database.is_ready:
            return True
        failure = database.fatal_failure
        if failure is not None:
            raise failure
    return False


def _has_byte(pipe: int) -> bool:
    """Whether something was written into a non-blocking pipe; reads it."""
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def _look_after(*groups: list[Child]) -> None:
    for child in chain(*groups):
        child.look_after()


def _stop_all(stop: StopSignals, *groups: list[Child]) -> None:
    """One group after the other."""
    for group in groups:
        for child in group:
            child.tell_to_stop()
        for child in group:
            child.wait(stop)
    _log.info("server.stopped")


def _stop_database(database: DatabaseKeeper, stop: StopSignals) -> None:
    """The last step of every stop. Raises EmbeddedServerError, and SystemExit when the stop is urgent."""
    database.stop(stop.is_urgent)
    if stop.is_urgent():
        _log.warning("server.ended_at_once", reason=f"received {URGENT_SIGNALS} signals")
        raise SystemExit(128 + (stop.last or 0))


def _workers(settings: Settings, shared: Mapping[str, str], descriptors: Mapping[str, int]) -> list[Child]:
    """descriptors: what the workers inherit, by the environment variable that names it."""
    inherited = {name: str(descriptor) for name, descriptor in descriptors.items()}
    # The command line goes before the environment in the workers too.
    options = {
        "TRACKER_HOST": settings.host,
        "TRACKER_PORT": str(settings.port),
        "TRACKER_WORKERS": str(settings.workers),
    }
    return [
        Child(
            f"web-{worker}",
            ["-m", "tracker.web.worker"],
            {**os.environ, **shared, **options, **inherited, WORKER: str(worker)},
            tuple(descriptors.values()),
            WORKER_SECONDS,
        )
        for worker in range(settings.workers)
    ]


def _bind(settings: Settings, stop: StopSignals) -> socket.socket:
    """A socket that has the address and does not listen yet. Workers of a server that was killed hold its port until they have noticed:
    an address in use is tried again for BIND_SECONDS. Raises TrackerError when it is still taken then."""
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with _taken(settings, listener):
            try:
                listener.bind((settings.host.strip("[]"), settings.port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline or stop.wait(BIND_PAUSE_SECONDS):
                    raise
                listener.close()
                continue
        listener.set_inheritable(True)
        return listener


@contextlib.contextmanager
def _taken(settings: Settings, listener: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        listener.close()
        raise TrackerError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set TRACKER_HOST or TRACKER_PORT."
        ) from error
