"""The HTTP/1.1 protocol: limits of a request, framing, upgrade offers, half-closed clients. Real sockets, one event loop per test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
import uvloop

from tests.support.loopback import connect
from tracker.http import connection_limits as limits
from tracker.http.connection_limits import IDLE_SECONDS, LINGER_SECONDS, REPLY_SECONDS, REQUEST_SECONDS, Connections
from tracker.http.fast_path import ShortcutProtocol, ShortcutState, WholeRequest
from tracker.http.protocol import MAX_REQUEST_BYTES, MAX_UNREAD_BYTES
from tracker.http.request_head import MAX_HEAD_BYTES, MAX_HEADER_LINES, MAX_HOST_BYTES, MAX_TARGET_BYTES
from tracker.http.responses import TAKEN


class Site:
    """A server whose application and fast path record what they get; the path /fast takes the fast path."""

    def __init__(self) -> None:
        self.watch = Connections(1000, 1000)
        self.state = ShortcutState(self.watch, {"/fast": self.answer_fast})
        self.requests: list[tuple[str, bytes, dict[bytes, bytes]]] = []
        """Path with query, body and header fields of every request, in the order of their answers."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answer = b""
        self.port = 0
        self.clients: list[asyncio.StreamWriter] = []

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return
        await self.may_answer.wait()
        self.record(scope, body)
        head = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": self.answer})

    def answer_fast(self, request: WholeRequest) -> None:
        self.record(request.scope, request.body)
        request.answer(TAKEN)

    def record(self, scope: Any, body: bytes) -> None:
        query = scope["query_string"].decode()
        self.requests.append((scope["path"] + (f"?{query}" if query else ""), body, dict(scope["headers"])))

    @property
    def paths(self) -> list[str]:
        """Of the requests that were answered."""
        return [path for path, _, _ in self.requests]

    @property
    def only_connection(self) -> ShortcutProtocol:
        (found,) = self.state.connections
        return cast("ShortcutProtocol", found)

    async def send(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection that sends these bytes."""
        reader, writer = await connect(self.port)
        self.clients.append(writer)
        writer.write(data)
        return reader, writer

    async def statuses(self, data: bytes) -> list[int]:
        """Status codes of all answers on a connection that sends these bytes and then stops sending."""
        reader, writer = await self.send(data)
        writer.write_eof()
        return [int(part[:3]) for part in (await reader.read()).split(b"HTTP/1.1 ")[1:]]


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site that runs as long as the block."""
    found = Site()
    config = uvicorn.Config(found.application, interface="asgi3", log_config=None, ws="none")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ShortcutProtocol(config, found.state, {}), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        found.may_answer.set()
        for client in found.clients:
            client.transport.abort()
        async with asyncio.timeout(20):
            await until(lambda: not found.state.connections)
        server.close()
        await server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    while not condition():
        await asyncio.sleep(0.001)


def run(scenario: Callable[[Site], Awaitable[None]]) -> None:
    """Run a scenario against a site, within 20 seconds."""

    async def main() -> None:
        async with site() as found:
            await scenario(found)

    uvloop.run(main())


def head(*lines: str, method: str = "GET", target: str = "/", version: str = "HTTP/1.1") -> bytes:
    """A request head; without lines it has a Host."""
    return "\r\n".join([f"{method} {target} {version}", *(lines or ("Host: x",)), "", ""]).encode()


def post(body: bytes, *lines: str, target: str = "/fast") -> bytes:
    """A POST with a Content-Length."""
    return head("Host: x", f"Content-Length: {len(body)}", *lines, method="POST", target=target) + body


def chunked(tail: bytes, *, target: str = "/app") -> bytes:
    """A POST with a chunked body ``ab``; tail: what follows the size line of the last chunk."""
    return head("Host: x", "Transfer-Encoding: chunked", method="POST", target=target) + b"2\r\nab\r\n0\r\n" + tail


SECOND = head(target="/second")
LINES = MAX_HEADER_LINES - 1  # besides Host
PADDED = MAX_HEAD_BYTES - len("/") - len("hostx") - len("a") - 2 * 4


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        pytest.param(head("Host: x", *["a:"] * LINES), [200], id="100 lines"),
        pytest.param(head("Host: x", *["a:"] * (LINES + 1)), [431], id="101 lines"),
        pytest.param(head("Host: x", *["a:"] * 15_000), [431], id="15,000 lines"),
        pytest.param(head("Host: x", "a: " + "b" * PADDED), [200], id="16 KiB"),
        pytest.param(head("Host: x", "a: " + "b" * (PADDED + 1)), [431], id="over 16 KiB"),
        pytest.param(head("Host: x", "a: " + "b" * 200_000), [431], id="200 KB"),
        pytest.param(head(target="/" + "a" * (MAX_TARGET_BYTES - 1)), [200], id="target of 8 KiB"),
        pytest.param(head(target="/" + "a" * MAX_TARGET_BYTES), [414], id="target over 8 KiB"),
        pytest.param(head(target="/?" + "a" * 58_000), [414], id="query of 58 KB"),
        pytest.param(head("Host: " + "x" * MAX_HOST_BYTES), [200], id="host of 255 bytes"),
        pytest.param(head("Host: " + "x" * (MAX_HOST_BYTES + 1)), [400], id="host of 256 bytes"),
        pytest.param(head("Host: " + "x" * 50_000), [431], id="host of 50 KB"),
        pytest.param(head("a: b"), [400], id="no host"),
        pytest.param(head("a: b", version="HTTP/1.0"), [200], id="HTTP/1.0 without host"),
        pytest.param(head("Host: x", "Host: x"), [400], id="host twice"),
        pytest.param(head(version="HTTP/2.0"), [505], id="HTTP/2.0"),
        pytest.param(head(version="HTTP/0.9"), [505], id="HTTP/0.9"),
        pytest.param(b"GET /\r\n\r\n", [505], id="no version"),
        pytest.param(head(version="HTTP/1.2"), [400], id="HTTP/1.2"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], id="HTTP/2 preface"),
        pytest.param(head(target="http://x/a?b"), [200], id="absolute"),
        pytest.param(head("Host: X:80", target="HTTP://x/a?b"), [200], id="absolute, same host by other spelling"),
        pytest.param(head(target="http://x"), [200], id="absolute without path"),
        pytest.param(head(target="http://y/a"), [400], id="absolute, other host"),
        pytest.param(head(target="http://x:81/a"), [400], id="absolute, other port"),
        pytest.param(head(target="http://u@x/a"), [400], id="absolute with user"),
        pytest.param(head(target="ftp://x/a"), [400], id="other scheme"),
        pytest.param(head("Host: x:1", target="x:1", method="CONNECT"), [400], id="connect"),
        pytest.param(head(target="*", method="OPTIONS"), [200], id="asterisk"),
    ],
)
def test_a_head_within_the_limits_is_served_and_any_other_is_refused(request_: bytes, statuses: list[int]) -> None:
    """A refusal says why, and nothing behind it on the connection is answered."""

    async def scenario(server: Site) -> None:
        assert await server.statuses(request_) == statuses
        if statuses != [200]:
            assert await server.statuses(request_ + SECOND) == statuses
            assert not server.requests

    run(scenario)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            head("Host: x", "Content-Length: 1", "Content-Length: 1", method="POST") + b"a", id="length twice"
        ),
        pytest.param(
            head("Host: x", "Content-Length: 1", "Content-Length: 2", method="POST") + b"ab", id="two lengths"
        ),
        pytest.param(head("Host: x", "Content-Length: 1, 1", method="POST") + b"a", id="list of lengths"),
        pytest.param(head("Host: x", "Content-Length: +1", method="POST") + b"a", id="signed length"),
        pytest.param(head("Host: x", "Content-Length: 0x1", method="POST") + b"a", id="hexadecimal length"),
        pytest.param(
            head("Host: x", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", id="CL.TE"
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", "Content-Length: 4", method="POST") + b"0\r\n\r\n", id="TE.CL"
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n", id="gzip, chunked"
        ),
        pytest.param(head("Host: x", "Transfer-Encoding: identity", method="POST"), id="identity"),
        pytest.param(head("Host: x", "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n", id="xchunked"),
        pytest.param(
            head("Host: x", *["Transfer-Encoding: chunked"] * 2, method="POST") + b"0\r\n\r\n", id="chunked twice"
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", method="POST", version="HTTP/1.0") + b"0\r\n\r\n",
            id="chunked in HTTP/1.0",
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding : chunked", method="POST") + b"0\r\n\r\n", id="space in a name"
        ),
        pytest.param(head("Host: x", "Transfer-Encoding:\r\n chunked", method="POST") + b"0\r\n\r\n", id="folded line"),
        pytest.param(b"POST / HTTP/1.1\nHost: x\nContent-Length: 1\n\na", id="bare LF"),
        pytest.param(head("Host: x", "a: b\rContent-Length: 4", method="POST"), id="bare CR"),
        pytest.param(head("Host: x", "a: b\0c"), id="NUL"),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", method="POST") + b"0x1\r\na\r\n0\r\n\r\n", id="0x chunk"
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", method="POST") + b"1\na\r\n0\r\n\r\n", id="chunk LF"
        ),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", method="POST") + b"f" * 17 + b"\r\n", id="huge chunk"
        ),
        pytest.param(chunked(b"Content-Length: 5\r\n\r\n"), id="length in a trailer"),
    ],
)
def test_ambiguous_framing_is_refused_and_nothing_behind_it_is_read(request_: bytes) -> None:
    """A proxy might see the next request begin elsewhere (request smuggling)."""

    async def scenario(server: Site) -> None:
        found = await server.statuses(request_ + SECOND)
        assert len(found) == 1 and found[0] in {400, 501}
        assert not server.requests

    run(scenario)


def test_a_trailer_is_never_believed() -> None:
    """Trailers change no header, and their names are not seen by the application; the next request is served."""

    async def scenario(server: Site) -> None:
        trailers = b"Host: evil\r\nX-Forwarded-Host: evil\r\nX-Twilio-Signature: AAAA\r\n\r\n"
        assert await server.statuses(chunked(trailers) + SECOND) == [200, 200]
        assert server.requests[0] == ("/app", b"ab", {b"host": b"x", b"transfer-encoding": b"chunked"})

    run(scenario)


@pytest.mark.parametrize(
    ("tail", "is_served"),
    [
        pytest.param(b"a:\r\n" * MAX_HEADER_LINES + b"\r\n", True, id="100 lines"),
        pytest.param(b"a:\r\n" * (MAX_HEADER_LINES + 1) + b"\r\n", False, id="101 lines"),
        pytest.param(b"a:\r\n" * 250_000 + b"\r\n", False, id="250,000 lines"),
    ],
)
def test_trailer_lines_are_bounded(tail: bytes, is_served: bool) -> None:
    """As header lines are."""

    async def scenario(server: Site) -> None:
        assert await server.statuses(chunked(tail)) == ([200] if is_served else [431])

    run(scenario)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(chunked(b""), b"a" * 999, id="trailer name"),
        pytest.param(chunked(b"a: "), b"a" * 999, id="trailer value"),
        pytest.param(head("Host: x", "Transfer-Encoding: chunked", method="POST") + b"1;", b"a" * 999, id="extension"),
        pytest.param(
            head("Host: x", "Transfer-Encoding: chunked", method="POST"), b"1\r\na\r\n" * 100, id="tiny chunks"
        ),
    ],
)
def test_what_surrounds_a_body_is_bounded(start: bytes, piece: bytes) -> None:
    """The connection ends long before MAX_REQUEST_BYTES."""

    async def scenario(server: Site) -> None:
        reader, writer = await server.send(start)
        reading = asyncio.create_task(reader.read())
        await until(lambda: server.state.connections)
        sent = 0
        while server.only_connection.wait() == "request":
            assert sent < MAX_REQUEST_BYTES / 2
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
            await until(lambda sent=sent: not server.state.connections or _has_read(server, sent))
            if not server.state.connections:
                break
        writer.transport.abort()
        reading.cancel()
        assert not server.requests

    run(scenario)


def _has_read(server: Site, sent: int) -> bool:
    connection = server.only_connection
    return connection.wait() != "request" or connection._received_bytes >= sent


def test_a_client_that_goes_on_after_a_refusal_is_cut_off() -> None:
    """It may read the refusal first; then it has LINGER_SECONDS, and MAX_UNREAD_BYTES."""

    async def scenario(server: Site) -> None:
        reader, writer = await server.send(b"GET /" + b"a" * 20_000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 414 ")
        for _ in range(LINGER_SECONDS):
            server.watch.sweep()
            assert len(server.watch) == 1
        server.watch.sweep()
        await until(lambda: not server.watch)
        reader, writer = await server.send(b"GET /" + b"a" * 20_000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 414 ")
        writer.write(b"a" * (MAX_UNREAD_BYTES + 1))
        await until(lambda: not server.watch)

    run(scenario)


def test_nonsense_behind_a_request_costs_that_request_nothing() -> None:
    """A request under way is answered, then the connection ends: an error sent first would be taken for its answer."""

    async def scenario(server: Site) -> None:
        for target in ("/fast", "/app"):
            server.requests.clear()
            assert await server.statuses(post(b"a", target=target) + b"\0\0\0\0" + SECOND) == [200]
            assert server.paths == [target]
        server.requests.clear()
        smuggled = head("Host: x", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n"
        assert await server.statuses(SECOND + smuggled + SECOND) == [200]
        assert server.paths == ["/second"]

    run(scenario)


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")


@pytest.mark.parametrize("target", ["/fast", "/app"])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upgrade_offer_is_served_as_plain_http_and_ends_the_connection(
    target: str, split: bool, is_chunked: bool
) -> None:
    """The body is read whole, and a request hidden behind or inside it is never answered."""

    async def scenario(server: Site) -> None:
        body = head(target="/hidden")
        if is_chunked:
            data = head("Host: x", "Transfer-Encoding: chunked", *OFFER, method="POST", target=target)
            data += b"%x\r\n%s\r\n0\r\nHost: evil\r\n\r\n" % (len(body), body)
        else:
            data = post(body, *OFFER, target=target)
        data += SECOND
        reader, writer = await server.send(b"" if split else data)
        if split:
            await until(lambda: server.state.connections)
            last = len(data) - len(SECOND) - 1
            for at in range(last):
                writer.write(data[at : at + 1])
                await until(lambda at=at: server.only_connection._received_bytes > at)
            writer.write(data[last:])
        answer = await reader.read()
        assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert [(path, sent) for path, sent, _ in server.requests] == [(target, body)]
        assert server.requests[0][2][b"host"] == b"x"

    run(scenario)


def test_an_upgrade_offer_without_a_body_ends_the_connection() -> None:
    """Also one of WebSocket, which nothing here speaks."""

    async def scenario(server: Site) -> None:
        for protocol in ("h2c", "websocket", "x"):
            offer = head("Host: x", "Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Key: x")
            assert await server.statuses(offer + SECOND) == [200]
        assert server.paths == ["/"] * 3

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        pytest.param(post(b"a"), ["/fast"], id="fast path"),
        pytest.param(post(b"a", target="/app"), ["/app"], id="application"),
        pytest.param(SECOND + post(b"a") + SECOND, ["/second", "/fast", "/second"], id="three at once"),
        pytest.param(SECOND + post(b"abc")[:-1], ["/second"], id="the second incomplete"),
        pytest.param(SECOND + b"GET /thi", ["/second"], id="half a head behind"),
        pytest.param(post(b"abc")[:-1], [], id="incomplete"),
        pytest.param(b"GET /", [], id="half a head"),
    ],
)
def test_a_client_that_has_stopped_sending_gets_its_answers(sent: bytes, paths: list[str]) -> None:
    """Of every request that came whole; then the connection ends."""

    async def scenario(server: Site) -> None:
        server.may_answer.clear()
        reader, writer = await server.send(sent)
        await until(lambda: server.state.connections)
        writer.write_eof()
        await asyncio.sleep(0)
        server.may_answer.set()
        answer = await reader.read()
        assert answer.count(b"HTTP/1.1 200 ") == len(paths)
        assert server.paths == paths

    run(scenario)


def test_a_client_that_stops_sending_while_its_request_is_at_work_gets_the_answer() -> None:
    """However long that takes; the sweep does not end what is at work."""

    async def scenario(server: Site) -> None:
        server.may_answer.clear()
        reader, writer = await server.send(SECOND)
        await until(lambda: server.state.connections and server.only_connection.cycle)
        writer.write_eof()
        await until(lambda: server.only_connection._is_last)
        for _ in range(200):
            server.watch.sweep()
        server.may_answer.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(scenario)


def test_each_wait_has_its_limit() -> None:
    """Connections stay for exactly that many sweeps: a new one, one within a request, an idle one, one that reads no answer."""

    async def scenario(server: Site) -> None:
        async def lives(data: bytes, wait: str, sweeps: int) -> None:
            await server.send(data)
            await until(lambda: server.state.connections and server.only_connection._read_bytes == len(data))
            await until(lambda: server.only_connection.wait() == wait)
            # The first sweep finds it waiting.
            for _ in range(sweeps):
                server.watch.sweep()
            await asyncio.sleep(0.01)
            assert len(server.watch) == 1
            server.watch.sweep()
            assert server.watch._ended == {} and server.only_connection.transport.is_closing()
            await until(lambda: not server.watch)

        await lives(b"", "request", REQUEST_SECONDS)
        await lives(b"GET / HT", "request", REQUEST_SECONDS)
        await lives(post(b"ab")[:-1], "request", REQUEST_SECONDS)
        await lives(SECOND, "idle", IDLE_SECONDS)
        server.answer = b"a" * 50_000_000
        await lives(SECOND, "reply", REPLY_SECONDS)

    run(scenario)


def test_an_idle_connection_holds_nothing_of_its_last_request() -> None:
    """Neither head nor body, on either path, and it is charged for none."""

    async def scenario(server: Site) -> None:
        for target in ("/fast", "/app"):
            server.requests.clear()
            await server.send(post(b"a" * 60_000, *["a: b"] * 90, target=target))
            await until(lambda: server.requests and server.only_connection.wait() == "idle")
            connection = server.only_connection
            assert not connection.cycle.body and not connection.headers and not connection.fields
            assert connection.scope["headers"] == [] and connection.cycle.scope["headers"] == []
            assert server.watch._held_bytes == connection.charge == 0
            connection.transport.abort()
            await until(lambda: not server.watch)

    run(scenario)


def test_beyond_the_sum_the_newest_that_waits_for_its_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose request is at work stays, however much it has sent; idle ones are charged nothing and stay."""
    monkeypatch.setattr(limits, "MAX_HELD_BYTES", 100_000)

    async def scenario(server: Site) -> None:
        server.may_answer.clear()
        partial = head("Host: x", "Content-Length: 50000", method="POST") + b"a" * 30_000

        async def open_one(data: bytes, count: int) -> asyncio.StreamReader:
            reader, _ = await server.send(data)
            await until(lambda: len(server.watch) == count)
            return reader

        await open_one(partial, 1)
        await until(lambda: server.watch._held_bytes > 30_000)
        await open_one(partial, 2)
        await until(lambda: server.watch._held_bytes > 60_000)
        at_work = await open_one(post(b"a" * 30_000, target="/app"), 3)
        await until(lambda: server.watch._held_bytes > 90_000)
        await until(lambda: all(each.cycle for each in server.watch._open))
        await open_one(b"", 4)
        newest = await open_one(partial, 5)
        # The newest charged one, and no other, makes room.
        assert await newest.read() == b""
        assert server.watch._ended == {"memory": 1}
        another = await open_one(partial, 5)
        assert await another.read() == b""
        assert len(server.watch) == 4
        server.may_answer.set()
        assert (await at_work.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await until(lambda: server.watch._held_bytes < 70_000)

    run(scenario)


def test_the_charge_follows_what_is_held() -> None:
    """Partial heads, pipelined requests and answers that are not read are charged, and released afterwards."""

    async def scenario(server: Site) -> None:
        lines = "a:\r\n" * 90
        _, writer = await server.send(f"GET / HTTP/1.1\r\nHost: x\r\n{lines}".encode())
        await until(lambda: server.state.connections and server.only_connection.charge > 90 * 100)
        writer.write(b"\r\n")
        await until(lambda: server.requests and server.watch._held_bytes == 0)
        server.may_answer.clear()
        writer.write(SECOND * 60)
        await until(lambda: server.only_connection.charge > 59 * 1000)
        server.may_answer.set()
        await until(lambda: len(server.requests) == 61 and server.watch._held_bytes == 0)
        server.answer = b"a" * 50_000_000
        reader, _ = await server.send(SECOND)
        await until(lambda: server.watch._held_bytes > 20_000_000)
        await reader.readexactly(50_000_000)
        await until(lambda: server.watch._held_bytes == 0)

    run(scenario)
