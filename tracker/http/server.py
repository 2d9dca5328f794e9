"""uvicorn's server, with connections that are watched over and a stop that loses nothing and ends in time."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn

from tracker.http.connection_limits import SWEEP_SECONDS
from tracker.http.fast_path import ShortcutState
from tracker.http.responses import CLOSE

_log = structlog.get_logger()

PARTING_SECONDS: Final = 1.0
"""At a stop: how long connections may still bring requests, each answered with ``connection: close``, and then how long requests
that have begun may take to arrive."""

GRACE_SECONDS: Final = 5
"""How long answers to whole requests may take after that."""

CLOSE_SECONDS: Final = 4
"""How long the database and the spool may take to be closed at the end."""

STOP_SECONDS: Final = 2 * PARTING_SECONDS + GRACE_SECONDS + CLOSE_SECONDS
"""A worker has stopped after so long, whatever its clients and the database do."""

_TICKS: Final = 10 * SWEEP_SECONDS
"""uvicorn calls ``on_tick`` ten times a second."""


class Server(uvicorn.Server):
    """One worker's server."""

    def __init__(
        self, config: uvicorn.Config, state: ShortcutState, on_started: Callable[[], object] = lambda: None
    ) -> None:
        """on_started: called once connections are accepted."""
        super().__init__(config)
        self._on_started = on_started
        self._watch = state.watch
        self.server_state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and log that callbacks are accepted from now on."""
        await super().startup(sockets)
        if self.started:
            _log.info("server.ready", accepts="status callbacks", pid=os.getpid())
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """As in uvicorn, and the sweep."""
        should_exit = await super().on_tick(counter)
        if counter % _TICKS == 0:
            self._watch.sweep()
        return should_exit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, then close. A client that says nothing more cannot hold this up."""
        _log.info("worker.stopping", connections=len(self._watch))
        # uvicorn puts these on every answer, and closes after one that says so. Whoever has a connection open may be sending at
        # this moment, so it is told first.
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        await _until(lambda: not self._watch)
        for server in self.servers:
            server.close()
        await _until(self._watch.all_idle)
        self._watch.end_waiting()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at SIGTERM and SIGINT. uvicorn would end the process by the same signal afterwards: a stop that was asked for is no
        failure, so here the process exits with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, PARTING_SECONDS at most."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PARTING_SECONDS
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.02)
