"""The sender, against servers that answer, refuse, hang and hang up."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.unit.simulate.stub_tracker import StubTracker
from tracker.simulate.traffic.callbacks import Callback
from tracker.simulate.traffic.pace import Pace
from tracker.simulate.traffic.sender import CONNECT_TRIES, Answer, open_sender

CALLBACK = Callback(b"MessageSid=SM1&To=%2B1", {"user-agent": "TwilioProxy/1.1", "x-twilio-signature": "c2ln"})
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def post(url: str, seconds: float = 10.0) -> tuple[Answer, float]:
    async def post_one() -> tuple[Answer, float]:
        async with open_sender(url, concurrency=1, pace=Pace(0), seconds=seconds) as sender:
            return await sender.post(CALLBACK)

    return asyncio.run(post_one())


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncGenerator[int]:
    """A TCP server with that handler, which reads to the end. Yields its port; ends when all connections have."""
    handled: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(asyncio.current_task())
        await handler(reader, writer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, handled))


@pytest.mark.parametrize("status", [200, 204, 302, 403, 429, 500, 503])
def test_an_answer_is_its_status(stub: StubTracker, status: int) -> None:
    """Any of them, tried once: neither a refusal nor a failure of the server is tried again, no redirect is followed."""
    stub.respond = lambda _: status
    answer, seconds = post(stub.url)
    assert answer == status
    assert 0 < seconds < 10
    assert len(stub.received) == 1


def test_the_request_is_sent_as_it_is(stub: StubTracker) -> None:
    """The very path, query and body that were signed, and the very headers; nothing says what really sent it."""
    post(f"{stub.url}?tenant=a%20b%2Fc&x=&y=%C3%BC~!*'()")
    received = stub.received[0]
    assert received.target == "/webhooks/twilio/status?tenant=a%20b%2Fc&x=&y=%C3%BC~!*'()"
    assert received.body == CALLBACK.body
    assert received.headers["user-agent"] == "TwilioProxy/1.1"
    assert received.headers["x-twilio-signature"] == "c2ln"
    assert "accept-encoding" not in received.headers


def test_a_connection_that_is_closed_on_the_way_leaves_doubt(stub: StubTracker) -> None:
    """The callback may have been taken, so it is not tried again."""
    stub.respond = lambda _: None
    assert post(stub.url)[0] == "no_answer"
    assert len(stub.received) == 1


def test_a_server_that_never_answers_leaves_doubt() -> None:
    """After the time allowed."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def post_to_it() -> tuple[Answer, float]:
        async with (
            raw_server(hang) as port,
            open_sender(f"http://127.0.0.1:{port}/", concurrency=1, pace=Pace(0), seconds=0.2) as sender,
        ):
            return await sender.post(CALLBACK)

    answer, seconds = asyncio.run(post_to_it())
    assert answer == "no_answer"
    assert 0.2 <= seconds < 5


def test_a_closed_port_is_unreachable() -> None:
    """Nothing was sent, and nothing is raised."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert post(f"http://127.0.0.1:{unused.getsockname()[1]}/")[0] == "unreachable"


def test_connecting_is_tried_once_more() -> None:
    """Two connections for one callback when TLS fails, as by Twilio's defaults."""
    connections: list[None] = []

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def post_to_it() -> tuple[Answer, float]:
        async with (
            raw_server(refuse) as port,
            open_sender(f"https://127.0.0.1:{port}/", concurrency=1, pace=Pace(0)) as sender,
        ):
            return await sender.post(CALLBACK)

    assert asyncio.run(post_to_it())[0] == "unreachable"
    assert len(connections) == CONNECT_TRIES == 2


def test_no_more_requests_at_a_time_than_allowed() -> None:
    """Of ten at once, two connections are open."""
    open_now = most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        while await reader.read(4096):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        open_now -= 1

    async def post_ten() -> list[tuple[Answer, float]]:
        async with (
            raw_server(answer) as port,
            open_sender(f"http://127.0.0.1:{port}/", concurrency=2, pace=Pace(0)) as sender,
        ):
            return await asyncio.gather(*(sender.post(CALLBACK) for _ in range(10)))

    assert [status for status, _ in asyncio.run(post_ten())] == [200] * 10
    assert most == 2
