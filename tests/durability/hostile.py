"""``python -m tests.durability.hostile PORT KINDS``: clients that attack a server on the loopback address, until they are stopped.

A process of its own: what attacks cost the attacker must not slow down the good clients that are measured. Each kind pauses
between two attacks, so that both processes fit on two processors; what it does to a worker's event loop is what counts.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import uvloop

from tests.durability.clients import HALF_A_BODY, HALF_A_HEAD, NOTHING, allow_descriptors
from tests.support.serving import FORM, PATH, bare_environment

SIGNATURE: Final = "A" * 27 + "="
"""It has the shape of one."""

PAUSE_SECONDS: Final = 0.05
"""Between two attacks of one client."""

START_SECONDS: Final = 5.0
"""Time in which the clients of an attack begin, one after the other: a worker accepts about ten thousand connections per second."""

WAIT_SECONDS: Final = 2.0
"""How long a client waits for the server to answer or to end the connection."""

Attack = Callable[[int, int], Awaitable[None]]
"""One attack on a port. Takes the attack's number, so that no two send the same."""


def post(body: bytes, *lines: str, target: str = PATH, host: str = "localhost") -> bytes:
    """A callback with a wrong signature."""
    head = [f"POST {target} HTTP/1.1", f"Host: {host}", f"Content-Type: {FORM}", f"X-Twilio-Signature: {SIGNATURE}"]
    return "\r\n".join([*head, *lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def send(
    port: int, data: bytes, *, seconds: float = WAIT_SECONDS, then: bytes = b"", is_read: bool = True
) -> None:
    """Send bytes, read what comes until the server ends the connection, and end it oneself after ``seconds``.

    then: sent again and again meanwhile, a piece per 0.1 s. is_read: whether answers are read.
    """
    writer: asyncio.StreamWriter | None = None
    # RuntimeError: uvloop refuses to write to a connection that was reset meanwhile.
    with suppress(OSError, TimeoutError, RuntimeError):
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
            writer.write(data)
            await writer.drain()
            while then or not is_read:
                await asyncio.sleep(0.1)
                writer.write(then)
                await writer.drain()
            while await reader.read(65536):
                pass
    if writer is not None:
        writer.transport.abort()


FORMS: Final = (b"%41=%41&" * 8192, b"%41&" * 16_384, b"a&" * 32_768, b"%x=%41&" * 9000, b"a=" + b"b" * 65_000)
"""The dearest forms to parse that fit into 64 KiB."""


async def dear_form(port: int, number: int) -> None:
    """A form that is dear to parse, with a signature of the right shape."""
    await send(port, post(FORMS[number % len(FORMS)]), seconds=0.5)


async def header_bomb(port: int, number: int) -> None:
    """15,000 header lines."""
    await send(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 15_000)


async def trailer_bomb(port: int, number: int) -> None:
    """250,000 trailer lines, or a body of tiny chunks."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    await send(port, head + (b"1\r\na\r\n0\r\n" + b"a:\r\n" * 250_000 if number % 2 else b"1\r\na\r\n" * 100_000))


async def large_target(port: int, number: int) -> None:
    """A target or a Host as large as the kernel hands over at once."""
    query, host = (f"{number}{'q' * 58_000}", "x") if number % 2 else ("", f"{number}{'h' * 50_000}")
    await send(port, post(b"a=b", target=f"{PATH}?{query}", host=host))


async def slow_request(port: int, number: int) -> None:
    """Half a request, then a byte now and then."""
    await send(port, (HALF_A_HEAD, HALF_A_BODY)[number % 2], seconds=15, then=b"x")


async def unfinished_body(port: int, number: int) -> None:
    """All of a body but its last byte."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 65000\r\n\r\n".encode()
    await send(port, head + b"b" * 64_999, seconds=15)


async def upgrade(port: int, number: int) -> None:
    """An upgrade offer with a request hidden in its body."""
    offer = ("Connection: Upgrade", ("Upgrade: h2c", "Upgrade: websocket", "Upgrade: x")[number % 3])
    await send(port, post(post(b"a=b"), *offer))


async def pipeline(port: int, number: int) -> None:
    """More requests at once than are allowed, half of the time without reading an answer."""
    await send(
        port, (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 90 + b"\r\n") * 100, is_read=bool(number % 2)
    )


async def nonsense(port: int, number: int) -> None:
    """A TLS handshake, ambiguous framing, another version, half a request and the end."""
    await send(
        port,
        (
            b"\x16\x03\x01\x02\x00\x01\x00",
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            random.Random(number).randbytes(1000),
        )[number % 4],
        seconds=0.5,
    )


async def idle(port: int, number: int) -> None:
    """A connection that sends nothing, or one request and then nothing."""
    await send(port, NOTHING if number % 2 else b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", seconds=15)


KINDS: Final[dict[str, tuple[tuple[Attack, int], ...]]] = {
    "forms": ((dear_form, 4),),
    "connections": (
        (header_bomb, 2),
        (trailer_bomb, 2),
        (large_target, 2),
        (slow_request, 200),
        (unfinished_body, 100),
        (upgrade, 2),
        (pipeline, 2),
        (nonsense, 2),
        (idle, 1500),
    ),
}
"""By name: attacks, and how many clients of each there are at the same time."""


async def _repeat(attack: Attack, port: int, first: int, step: int) -> None:
    number = first
    await asyncio.sleep(START_SECONDS * first / step)
    while True:
        await attack(port, number)
        number += step
        await asyncio.sleep(PAUSE_SECONDS)


async def _attack(port: int, kinds: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            for attack, clients in KINDS[kind]:
                for each in range(clients):
                    group.create_task(_repeat(attack, port, each, clients))


@contextmanager
def hostile_clients(port: int, *kinds: str) -> Iterator[None]:
    """They attack as long as the block lasts, from a process of their own."""
    command = [sys.executable, "-m", "tests.durability.hostile", str(port), *kinds]
    process = subprocess.Popen(command, env=bare_environment() | {"PYTHONPATH": str(Path.cwd())})
    try:
        yield
        assert process.poll() is None, "the attack has ended by itself"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    allow_descriptors()
    uvloop.run(_attack(int(sys.argv[1]), sys.argv[2:]))
