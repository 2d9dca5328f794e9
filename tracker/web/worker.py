"""One web worker as a process: ``python -m tracker.web.worker``, started by ``tracker serve``."""

import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID

import uvicorn
import uvloop
from litestar.types import ASGIApp

from tracker.garbage import rare_collections
from tracker.http.connection_limits import Connections
from tracker.http.fast_path import Shortcut, ShortcutProtocol, ShortcutState
from tracker.http.server import GRACE_SECONDS, Server
from tracker.logging_setup import configure_logging
from tracker.processes import INSTANCE_ID, end_with_parent
from tracker.server_settings import effective_api_token, load_server_settings
from tracker.web.app import create_app
from tracker.web.worker_context import Runtime

SOCKET: Final = "TRACKER_SOCKET"
"""Environment variable: the descriptor of the listening socket, which outlives each worker."""

WORKER: Final = "TRACKER_WORKER_NUMBER"
"""Environment variable: which worker this is, from 0."""

STATS: Final = "TRACKER_STATS"
"""Environment variable: the descriptor of the memory in which the workers count."""

READY: Final = "TRACKER_READY_PIPE"
"""Environment variable: the descriptor of a pipe into which a worker writes a byte when it accepts callbacks."""

OTHER_DESCRIPTORS: Final = 256
"""Descriptors that are kept for files, the database and the loop itself; all others may be connections."""

ENOUGH_DESCRIPTORS: Final = 65_536
"""Where the machine sets no limit."""


THREAD_SECONDS: Final = 0.0005
"""Longest time that a computing thread, such as the rendering of ``/metrics``, keeps the event loop waiting for the GIL. With Python's
default of 0.005 a rendering of 7,700 series delayed the loop's timers by 7 ms in the median, with this by 3 ms (two busy cores)."""


def main() -> None:
    """Serve until SIGTERM or SIGINT; what was received by then is answered."""
    sys.setswitchinterval(THREAD_SECONDS)
    settings = load_server_settings()
    settings = settings.model_copy(update={"api_token": effective_api_token(settings)})
    configure_logging(settings.log_format)
    end_with_parent()
    if settings.database_url is None:
        raise SystemExit("DATABASE_URL is not set: `tracker serve` starts web workers")
    runtime = Runtime(
        settings,
        settings.database_url.get_secret_value(),
        UUID(os.environ[INSTANCE_ID]),
        int(os.environ[WORKER]),
        int(os.environ[STATS]),
    )
    app, shortcuts = create_app(runtime)
    listener = socket.socket(fileno=int(os.environ[SOCKET]))
    serve(app, listener, settings.max_connections, shortcuts, announce_ready)


def announce_ready() -> None:
    """Write a byte into the supervisor's pipe. Nobody reads it after the first one, so a full pipe is no error."""
    with suppress(BlockingIOError):
        os.write(int(os.environ[READY]), b"1")


def serve(
    app: ASGIApp,
    listener: socket.socket,
    max_connections: int,
    shortcuts: Mapping[str, Shortcut] | None = None,
    on_started: Callable[[], object] = lambda: None,
) -> None:
    """Serve an application until SIGTERM or SIGINT: the one way in which anything of ours is served, and measured.

    shortcuts: by path, what is done with whole requests instead of asking the application; None for none. on_started: called once
    connections are accepted.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=ShortcutProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    max_open = max(raise_descriptor_limit() - OTHER_DESCRIPTORS, 1)
    watch = Connections(min(max_connections, max_open), max_open)
    server = Server(config, ShortcutState(watch, shortcuts or {}), on_started)
    with rare_collections(50_000):
        uvloop.run(server.serve(sockets=[listener]))


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may: the usual soft limit of 1024 is one small burst of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


if __name__ == "__main__":
    main()
