"""Whole requests, answered without a task, a router and a response to be put together.

An ASGI application needs a task, a router and a response object per request, which is half of what a callback costs
(docs/adr/0003-group-commit-and-fast-path.md). Here the connection collects the body of a short POST and passes the whole request to a
function that answers later.

Everything that is not the usual case is the application's, which has a route for the path too: other methods, bodies that are long or of
unknown length, clients that want to be told to continue or that do not read their answers.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, cast

import structlog
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tracker.http.connection_limits import Connections, WatchedState
from tracker.http.protocol import WatchedProtocol
from tracker.http.request_head import Headers
from tracker.http.responses import CLOSE, CRASHED, Response

_log = structlog.get_logger()

MAX_BODY_BYTES: Final = HIGH_WATER_LIMIT
"""Of a request that is waited for: beyond so much uvicorn reads no more until the application has taken it."""


class WholeRequest:
    """A request whose body has come, to be answered once, now or later."""

    __slots__ = ("_connection", "_cycle", "headers", "started")

    def __init__(
        self, connection: "ShortcutProtocol", cycle: RequestResponseCycle, headers: Headers, started: float
    ) -> None:
        self._connection = connection
        self._cycle = cycle
        self.headers = headers
        """Names in small letters; of a repeated one the last."""
        self.started = started
        """When its head had come, of time.perf_counter()."""

    @property
    def scope(self) -> HTTPScope:
        """As an ASGI application would have it."""
        return self._cycle.scope

    @property
    def body(self) -> bytes:
        """All of it, MAX_BODY_BYTES at most."""
        return bytes(self._cycle.body)

    def answer(self, response: Response) -> None:
        """Answer it in one piece, with one system call. Does nothing when the client has gone, and nothing the second time: that would be
        taken for the answer to the next request."""
        self._connection.answer(self._cycle, response)


Shortcut = Callable[[WholeRequest], object]
"""Takes a request and answers it, now or later. What it raises is a bug, logged and answered with 500."""

_Waiting = tuple[RequestResponseCycle, ASGI3Application, Shortcut, Headers, float]


class ShortcutProtocol(WatchedProtocol):
    """A connection that takes shortcuts."""

    _shortcuts: Mapping[str, Shortcut] = {}
    _waiting: _Waiting | None = None
    """The request that goes a short way as soon as it is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in asyncio.Protocol."""
        super().connection_made(transport)
        self._shortcuts = cast("ShortcutState", self.server_state).shortcuts

    def data_received(self, data: bytes) -> None:
        """As in WatchedProtocol. What became whole goes its short way now, and not in the parser's callback: an answer may close the
        connection."""
        super().data_received(data)
        waiting = self._waiting
        if waiting is not None and not waiting[0].more_body:
            self._take(waiting)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """It is this request's turn: the head has come, and those before it are answered."""
        scope = cycle.scope
        shortcut = self._shortcuts.get(scope["path"])
        if shortcut is None or scope["method"] != "POST" or cycle.waiting_for_100_continue:
            super()._start_asgi_task(cycle, app)
            return
        headers = self.fields if cycle is self.cycle else dict(scope["headers"])
        length = headers.get(b"content-length")
        # httptools has made sure that it is a number, and the only length.
        if length is None or int(length) > MAX_BODY_BYTES:
            super()._start_asgi_task(cycle, app)
            return
        self._waiting = waiting = (cycle, app, shortcut, headers, time.perf_counter())
        if not cycle.more_body:
            self._take(waiting)

    def _take(self, waiting: _Waiting) -> None:
        self._waiting = None
        cycle, app, shortcut, headers, started = waiting
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            super()._start_asgi_task(cycle, app)
            return
        path = cycle.scope["path"]
        try:
            shortcut(WholeRequest(self, cycle, headers, started))
        except Exception:  # noqa: BLE001  # a bug, and one request's
            _log.exception("shortcut.crashed", path=path)
            self.answer(cycle, CRASHED)

    def answer(self, cycle: RequestResponseCycle, response: Response) -> None:
        """As in WholeRequest."""
        if cycle.response_complete or self.transport.is_closing():
            return
        defaults = self.server_state.default_headers
        close = not cycle.keep_alive or CLOSE in defaults
        cycle.response_started = cycle.response_complete = True
        self.transport.write(response.whole(defaults, close=close and not response.closes and CLOSE not in defaults))
        if close or response.closes:
            self.transport.close()
        # As uvicorn does at the end: it holds this connection.
        cycle.on_response = _nothing
        self.on_response_complete()


class ShortcutState(WatchedState):
    """uvicorn's state of a server, with its connections and shortcuts."""

    def __init__(self, watch: Connections, shortcuts: Mapping[str, Shortcut]) -> None:
        """shortcuts: by path, unescaped."""
        super().__init__(watch)
        self.shortcuts = shortcuts


def _nothing() -> None:
    pass
