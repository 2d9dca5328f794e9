"""Connections beyond those that are read from, on a loop and sockets of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from tests.support.loopback import connect
from tracker.http import connection_limits as watched
from tracker.http.connection_limits import Connections, WatchedState
from tracker.http.protocol import WatchedProtocol


class Site:
    """A server that reads from one connection at a time, and answers nothing until it is told to."""

    def __init__(self) -> None:
        self.watch = Connections(1, 10)
        self.begun: list[str] = []
        """Paths, in order."""
        self.may_answer = asyncio.Event()
        self.port = 0
        self.clients: list[asyncio.StreamWriter] = []

    async def application(self, scope: Any, _receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def connect(self, *paths: str, more: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that has asked for these."""
        reader, writer = await connect(self.port)
        self.clients.append(writer)
        writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths) + more)
        return reader, writer

    def held(self) -> list[int]:
        """Bytes, of each connection that waits unread."""
        return [len(each) for each in self.watch._unread.values()]


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Without clients; at the end it has none any more."""
    found = Site()
    config = uvicorn.Config(found.application, interface="asgi3", log_config=None)
    state = WatchedState(found.watch)
    server = await asyncio.get_running_loop().create_server(lambda: WatchedProtocol(config, state, {}), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.may_answer.set()
        for client in found.clients:
            client.transport.abort()
        await until(lambda: not found.watch)
        server.close()
        await server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def at_work(server: Site) -> asyncio.StreamWriter:
    """A client whose request is under way."""
    _, writer = await server.connect("/first")
    await until(lambda: server.begun == ["/first"])
    return writer


def test_it_has_its_turn_when_another_ends() -> None:
    """With all that it has asked for, in order; one at a time is read from."""

    async def scenario() -> None:
        async with site() as server:
            first = await at_work(server)
            reader, second = await server.connect("/second", "/third")
            await until(lambda: server.held() and all(server.held()))
            await server.connect("/last")
            await until(lambda: len(server.held()) == 2 and all(server.held()))
            for _ in range(200):
                server.watch.sweep()
            assert server.begun == ["/first"]
            first.transport.abort()
            await until(lambda: len(server.begun) == 2)
            server.may_answer.set()
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert server.begun == ["/first", "/second", "/third"]
            second.transport.abort()
            await until(lambda: server.begun[3:] == ["/last"])
            assert not server.watch._held_bytes

    uvloop.run(scenario())


def test_one_read_of_it_is_held() -> None:
    """However much it sends; and it is released when it ends."""

    async def scenario() -> None:
        async with site() as server:
            await at_work(server)
            await server.connect(more=b"x" * 50_000_000)
            await until(lambda: any(server.held()))
            await server.connect("/third")
            await until(lambda: len(server.held()) == 2 and all(server.held()))
            assert server.held()[0] <= 256_000
            assert server.watch._held_bytes == sum(server.held())
            server.watch.end(next(iter(server.watch._unread)), "test")
            await until(lambda: len(server.watch) == 2)
            assert server.watch._held_bytes == sum(server.held()) < 100

    uvloop.run(scenario())


def test_what_is_held_for_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever brings too much is ended, the others wait on."""
    monkeypatch.setattr(watched, "MAX_HELD_BYTES", 1000)

    async def scenario() -> None:
        async with site() as server:
            await at_work(server)
            await server.connect("/second")
            await until(lambda: any(server.held()))
            await server.connect(more=b"x" * 1000)
            await until(lambda: server.watch._ended == {"memory": 1} and len(server.watch) == 2)
            assert len(server.held()) == 1 and 0 < server.watch._held_bytes < 100
            assert server.begun == ["/first"]

    uvloop.run(scenario())


def test_a_stop_waits_for_no_turn() -> None:
    """A whole request is worked on, half a one is ended."""

    async def scenario() -> None:
        async with site() as server:
            await at_work(server)
            await server.connect("/second")
            await server.connect(more=b"GET /half")
            await until(lambda: len(server.held()) == 2 and all(server.held()))
            server.watch.end_waiting()
            await until(lambda: server.begun == ["/first", "/second"])
            await until(lambda: len(server.watch) == 2)

    uvloop.run(scenario())
