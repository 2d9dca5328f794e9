"""One web worker as a process: ``python -m tracker.web.worker``, started by ``tracker serve``."""

import gc
import os
import socket
from pathlib import Path
from typing import Final
from uuid import UUID

import uvicorn
import uvloop

from tracker.logs import configure_logging
from tracker.processes import INSTANCE_ID, end_with_parent
from tracker.settings import load_settings
from tracker.web.app import create_app
from tracker.web.runtime import Runtime

SOCKET: Final = "TRACKER_SOCKET"
"""Environment variable: the descriptor of the listening socket, which outlives each worker."""

WORKER: Final = "TRACKER_WORKER"
"""Environment variable: which worker this is, from 0."""

STATS: Final = "TRACKER_STATS"
"""Environment variable: the file that the workers share."""

GRACE_SECONDS: Final = 10
"""How long requests that were received may take when the worker is told to stop."""


def main() -> None:
    """Serve until SIGTERM or SIGINT; what was received by then is answered."""
    settings = load_settings()
    configure_logging(settings.log_format)
    end_with_parent()
    if settings.database_url is None:
        raise SystemExit("DATABASE_URL is not set: `tracker serve` starts web workers")
    runtime = Runtime(
        settings,
        settings.database_url.get_secret_value(),
        UUID(os.environ[INSTANCE_ID]),
        int(os.environ[WORKER]),
        Path(os.environ[STATS]),
    )
    config = uvicorn.Config(
        create_app(runtime),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    # What was imported stays: collections need not look at it again, and there is little cyclic garbage a request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    listener = socket.socket(fileno=int(os.environ[SOCKET]))
    uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
