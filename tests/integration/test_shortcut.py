"""Requests that go a short way: which do, and the same bytes for an answer as on the usual way. Each on a loop of its own."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
import uvloop

from tests.support.loopback import connect
from tracker.http.connection_limits import Connections
from tracker.http.fast_path import MAX_BODY_BYTES, ShortcutProtocol, ShortcutState, WholeRequest
from tracker.http.request_reader import MAX_PIPELINED
from tracker.http.responses import CLOSE, TAKEN, TOO_LARGE

RESPONSES = {"/taken": TAKEN, "/too-large": TOO_LARGE}


class Site:
    """Has the application answer ``/usual/…`` and whatever does not go the short way; all else is answered when it is told to."""

    def __init__(self) -> None:
        self.state = ShortcutState(
            Connections(100, 100), {**dict.fromkeys(RESPONSES, self.owed_append), "/bug": _crash}
        )
        self.state.default_headers = [(b"date", b"Tue, 24 Nov 2026 12:00:00 GMT")]
        self.port = 0
        self.owed: list[WholeRequest] = []
        self.usual: list[bytes] = []
        """Bodies that the application got."""
        self.clients: list[asyncio.StreamWriter] = []

    def owed_append(self, request: WholeRequest) -> None:
        """The shortcut."""
        self.owed.append(request)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.usual.append(body)
        await RESPONSES[scope["path"].removeprefix("/usual")].send(send)

    async def give(self) -> None:
        """Answer the next one, when there is one."""
        await until(lambda: bool(self.owed))
        request = self.owed.pop(0)
        request.answer(RESPONSES[request.scope["path"]])

    async def ask(self, *requests: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection that sends these; ``|`` is the end of a line."""
        reader, writer = await connect(self.port)
        self.clients.append(writer)
        writer.write("".join(map(as_sent, requests)).encode())
        return reader, writer

    @property
    def connection(self) -> ShortcutProtocol:
        """The server's side of the only one there is."""
        (found,) = self.state.connections
        return cast("ShortcutProtocol", found)


def _crash(_: WholeRequest) -> None:
    raise ValueError("a bug")


def as_sent(request: str) -> str:
    return request.replace("|", "\r\n")


def post(path: str, *, version: str = "HTTP/1.1|Host: x|", body: str = "a=b") -> str:
    return f"POST {path} {version}Content-Length: {len(body)}||{body}"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Ends with its block, which may take twenty seconds."""
    found = Site()
    config = uvicorn.Config(found.application, interface="asgi3", log_config=None)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ShortcutProtocol(config, found.state, {}), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        for client in found.clients:
            client.transport.abort()
        async with asyncio.timeout(20):
            await until(lambda: not found.state.connections)
        server.close()
        await server.wait_closed()


async def answer_to(reader: asyncio.StreamReader) -> bytes:
    """One whole answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return head + await reader.readexactly(int(length[1]))


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await answer_to(reader))[9:12])


@pytest.mark.parametrize("path", RESPONSES)
@pytest.mark.parametrize("version", ["HTTP/1.1|Host: x|", "HTTP/1.1|Host: x|Connection: close|", "HTTP/1.0|"])
@pytest.mark.parametrize("stopping", [False, True])
def test_the_bytes_are_those_of_the_usual_way(path: str, version: str, stopping: bool) -> None:
    """Status, headers, the server's own among them, body; and the connection ends, or stays open, as it does then."""

    async def scenario() -> None:
        async with site() as found:
            if stopping:
                found.state.default_headers = [*found.state.default_headers, CLOSE]
            usual, _ = await found.ask(post(f"/usual{path}", version=version))
            expected = await answer_to(usual)
            short, writer = await found.ask(post(path, version=version))
            await found.give()
            assert await answer_to(short) == expected
            assert len(found.usual) == 1
            if b"connection: close" in expected:
                assert await short.read() == b""
            else:
                writer.write(as_sent(post(f"/usual{path}", version=version)).encode())
                assert await answer_to(short) == expected

    uvloop.run(scenario())


def test_a_request_is_taken_when_it_is_whole() -> None:
    """However its bytes come; the body is all of it, and the head's fields are known by their names in small letters."""

    async def scenario() -> None:
        async with site() as found:
            _, writer = await found.ask()
            for byte in post("/taken", body="MessageSid=SM1&b=2").replace("|", "\r\n").encode():
                assert not found.owed
                writer.write(bytes([byte]))
                await writer.drain()
            await until(lambda: bool(found.owed))
            assert (found.owed[0].body, found.owed[0].headers[b"host"]) == (b"MessageSid=SM1&b=2", b"x")

    uvloop.run(scenario())


LONG = "x" * (MAX_BODY_BYTES + 1)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param("GET /taken HTTP/1.1|Host: x||", id="no post"),
        pytest.param("PUT /taken HTTP/1.1|Host: x|Content-Length: 1||x", id="no post with a body"),
        pytest.param("POST /taken HTTP/1.1|Host: x||", id="no length"),
        pytest.param("POST /taken HTTP/1.1|Host: x|Transfer-Encoding: chunked||3|a=b|0||", id="chunked"),
        pytest.param("POST /taken HTTP/1.1|Host: x|Expect: 100-continue|Content-Length: 1||x", id="expects"),
        pytest.param(f"POST /taken HTTP/1.1|Host: x|Content-Length: {len(LONG)}||{LONG}", id="long"),
        pytest.param("POST /usual/taken HTTP/1.1|Host: x|Content-Length: 1||x", id="other path"),
    ],
)
def test_what_is_unusual_is_the_applications(request_: str) -> None:
    """It gets the whole of it, from the first byte."""

    async def scenario() -> None:
        async with site() as found:
            reader, _ = await found.ask(request_)
            answer = await answer_to(reader) if "Expect" not in request_ else await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 100 " if "Expect" in request_ else b"HTTP/1.1 200 ")
            await until(lambda: bool(found.usual))
            assert not found.owed

    uvloop.run(scenario())


def test_a_client_that_does_not_read_is_the_applications() -> None:
    """That waits until it reads: answers do not pile up here for somebody who wants none."""

    async def scenario() -> None:
        async with site() as found:
            reader, writer = await found.ask(post("/usual/taken"))
            assert await status_of(reader) == 200
            found.connection.pause_writing()
            writer.write(as_sent(post("/taken")).encode())
            await until(lambda: found.usual == [b"a=b", b"a=b"])
            assert not found.owed
            found.connection.resume_writing()
            assert await status_of(reader) == 200

    uvloop.run(scenario())


def test_requests_that_follow_wait_for_their_turn() -> None:
    """A client that sends several at once gets its answers in order, whichever way each of them goes."""

    async def scenario() -> None:
        async with site() as found:
            reader, _ = await found.ask(
                post("/taken"), post("/usual/taken"), post("/taken"), post("/taken"), post("/usual/too-large")
            )
            for _ in range(3):
                await until(lambda: len(found.owed) == 1)
                await found.give()
            assert [await status_of(reader) for _ in range(5)] == [200, 200, 200, 200, 413]

    uvloop.run(scenario())


def test_nothing_is_taken_of_a_client_that_sends_too_many_at_once() -> None:
    """Its connection was ended: nobody would learn what became of them."""

    async def scenario() -> None:
        async with site() as found:
            reader, _ = await found.ask(*[post("/taken")] * (MAX_PIPELINED + 2))
            assert await reader.read() == b""
            assert not found.owed

    uvloop.run(scenario())


def test_nothing_is_taken_behind_an_answer_that_ends_the_connection() -> None:
    """Nobody would learn what became of it: whoever sent it sends it again."""

    async def scenario() -> None:
        async with site() as found:
            reader, _ = await found.ask(post("/too-large"), post("/taken"))
            await found.give()
            assert await status_of(reader) == 413
            assert await reader.read() == b""
            assert not found.owed

    uvloop.run(scenario())


def test_nobody_is_answered_twice() -> None:
    """What came second would be taken for the answer to the next request."""

    async def scenario() -> None:
        async with site() as found:
            reader, writer = await found.ask(post("/taken"))
            await until(lambda: bool(found.owed))
            request = found.owed.pop()
            request.answer(TAKEN)
            request.answer(TAKEN)
            assert await status_of(reader) == 200
            writer.write(as_sent(post("/usual/too-large")).encode())
            assert await status_of(reader) == 413

    uvloop.run(scenario())


@pytest.mark.parametrize("sent", ["whole", "half"])
def test_a_client_that_has_gone_gets_nothing(sent: str) -> None:
    """And nobody is the worse for it; of half a request nobody hears."""

    async def scenario() -> None:
        async with site() as found:
            _, writer = await found.ask(post("/taken") if sent == "whole" else post("/taken")[:-1])
            await until(lambda: bool(found.owed) if sent == "whole" else found.connection.wait() == "request")
            writer.transport.abort()
            await until(lambda: not found.state.connections)
            if sent == "whole":
                await found.give()
            assert not found.owed

    uvloop.run(scenario())


def test_a_bug_is_answered_with_500(capsys: pytest.CaptureFixture[str]) -> None:
    """It is logged with its traceback, and the connection ends."""

    async def scenario() -> None:
        async with site() as found:
            reader, _ = await found.ask(post("/bug"))
            assert await status_of(reader) == 500
            assert await reader.read() == b""

    uvloop.run(scenario())
    printed = capsys.readouterr()
    assert "shortcut.crashed" in printed.out + printed.err
    assert "a bug" in printed.out + printed.err
