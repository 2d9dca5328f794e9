"""Answers that are given in one piece, after the application has returned: the same bytes as the usual way, on a loop of their own."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from tracker.web.connections import Connections, WatchedProtocol, WatchedState
from tracker.web.responses import CLOSE, TAKEN, TOO_LARGE, Answer, Response, take_over

RESPONSES = {"/taken": TAKEN, "/too-large": TOO_LARGE}


class Site:
    """Answers ``/usual/…`` as any ASGI application does, everything else in one piece when it is told to."""

    def __init__(self) -> None:
        self.state = WatchedState(Connections(100, 100))
        self.state.default_headers = [(b"date", b"Tue, 24 Nov 2026 12:00:00 GMT")]
        self.port = 0
        self.owed: list[tuple[Answer, Response]] = []
        self.clients: list[asyncio.StreamWriter] = []

    async def application(self, scope: Any, _receive: Any, send: Any) -> None:
        response = RESPONSES[scope["path"].removeprefix("/usual")]
        answer = None if scope["path"].startswith("/usual") else take_over(scope)
        if answer is None:
            await response.send(send)
        else:
            self.owed.append((answer, response))

    async def give(self, number: int) -> None:
        """Answer the next one when so many are owed."""
        async with asyncio.timeout(20):
            while len(self.owed) < number:
                await asyncio.sleep(0.001)
        answer, response = self.owed.pop(0)
        answer(response)

    async def ask(self, *requests: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection that sends these, each with a line end behind each line."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        writer.write("".join(request.replace("|", "\r\n") + "\r\n\r\n" for request in requests).encode())
        return reader, writer


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Ends with its block."""
    found = Site()
    config = uvicorn.Config(found.application, interface="asgi3", log_config=None)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: WatchedProtocol(config, found.state, {}), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        for client in found.clients:
            client.transport.abort()
        while found.state.connections:
            await asyncio.sleep(0.001)
        server.close()
        await server.wait_closed()


async def answer_to(reader: asyncio.StreamReader) -> bytes:
    """One whole answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return head + await reader.readexactly(int(length[1]))


@pytest.mark.parametrize("path", RESPONSES)
@pytest.mark.parametrize("more", ["HTTP/1.1|Host: x", "HTTP/1.1|Host: x|Connection: close", "HTTP/1.0"])
@pytest.mark.parametrize("stopping", [False, True])
def test_the_bytes_are_those_of_the_usual_way(path: str, more: str, stopping: bool) -> None:
    """Status, headers, the server's own among them, body; and the connection ends, or stays open, as it does then."""

    async def scenario() -> None:
        async with site() as found, asyncio.timeout(20):
            if stopping:
                found.state.default_headers = [*found.state.default_headers, CLOSE]
            usual, _ = await found.ask(f"GET /usual{path} {more}")
            expected = await answer_to(usual)
            whole, writer = await found.ask(f"GET {path} {more}")
            await found.give(1)
            assert await answer_to(whole) == expected
            if b"connection: close" in expected:
                assert await whole.read() == b""
            else:
                writer.write(f"GET /usual{path} {more}\r\n\r\n".replace("|", "\r\n").encode())
                assert await answer_to(whole) == expected

    uvloop.run(scenario())


def test_requests_that_follow_wait_for_their_turn() -> None:
    """A client that sends several at once gets its answers in order; while others follow, one is given the usual way."""

    async def scenario() -> None:
        async with site() as found, asyncio.timeout(20):
            reader, _ = await found.ask(
                "GET /taken HTTP/1.1|Host: x", "GET /usual/taken HTTP/1.1|Host: x", "GET /too-large HTTP/1.1|Host: x"
            )
            assert [(await answer_to(reader))[9:12] for _ in range(2)] == [b"200", b"200"]
            await found.give(1)
            assert (await answer_to(reader))[9:12] == b"413"

    uvloop.run(scenario())


def test_nobody_is_answered_twice() -> None:
    """What came second would be taken for the answer to the next request."""

    async def scenario() -> None:
        async with site() as found, asyncio.timeout(20):
            reader, writer = await found.ask("GET /taken HTTP/1.1|Host: x")
            while not found.owed:
                await asyncio.sleep(0.001)
            answer, response = found.owed.pop()
            answer(response)
            answer(response)
            expected = await answer_to(reader)
            writer.write(b"GET /usual/too-large HTTP/1.1\r\nHost: x\r\n\r\n")
            assert expected[9:12] == b"200"
            assert (await answer_to(reader))[9:12] == b"413"

    uvloop.run(scenario())


def test_a_client_that_has_gone_gets_nothing() -> None:
    """And nobody is the worse for it."""

    async def scenario() -> None:
        async with site() as found, asyncio.timeout(20):
            _, writer = await found.ask("GET /taken HTTP/1.1|Host: x")
            while not found.owed:
                await asyncio.sleep(0.001)
            writer.transport.abort()
            while found.state.connections:
                await asyncio.sleep(0.001)
            await found.give(1)

    uvloop.run(scenario())
