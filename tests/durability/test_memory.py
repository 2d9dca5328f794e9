"""Memory of a web worker that strangers send large heads, trailers, targets and bodies: bounded, and given back."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.durability.clients import allow_descriptors, answer, request, worker
from tests.durability.figures import Figures
from tests.durability.memory import MEGABYTE, peak_memory
from tests.support.serving import FORM, PATH, Tracker, running_tracker

MAX_GROWTH = 150 * MEGABYTE
"""MAX_HELD_BYTES, half as much again for what estimates miss, and what 1,200 connections take."""

POST = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n"
SIGNED = f"Content-Type: {FORM}\r\nX-Twilio-Signature: {'A' * 27}=\r\n"


@pytest.fixture
def tracker(database_url: str) -> Iterator[Tracker]:
    """A fresh server per test: a process keeps what it once had."""
    with running_tracker(database_url) as tracker:
        yield tracker


def trailers(_: int) -> bytes:
    """A chunked body with 250,000 trailer lines: 1 MB."""
    return (POST + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + "a:\r\n" * 250_000).encode()


def unfinished_head(_: int) -> bytes:
    """15,000 header lines and no end."""
    return ("GET / HTTP/1.1\r\nHost: x\r\n" + "a:\r\n" * 15_000).encode()


def unfinished_lines(number: int) -> bytes:
    """As much as a head may have, without its end."""
    return ("GET / HTTP/1.1\r\nHost: x\r\n" + f"a{number}: {'b' * 140}\r\n" * 98).encode()


def long_query(number: int) -> bytes:
    """A query of 58 KB, another one each time."""
    query = f"{number:08d}" + "q" * 58_000
    return f"POST {PATH}?{query} HTTP/1.1\r\nHost: x\r\n{SIGNED}Content-Length: 3\r\n\r\na=b".encode()


def long_host(number: int) -> bytes:
    """A Host of 50 KB, another one each time."""
    host = f"{number:08d}" + "h" * 50_000
    return f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\n{SIGNED}Content-Length: 3\r\n\r\na=b".encode()


def refused_body(number: int) -> bytes:
    """A whole request of 60 KB with a wrong signature, on a connection that then stays idle."""
    body = f"a={number:08d}" + "b" * 60_000
    return f"{POST}{SIGNED}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def unfinished_body(number: int) -> bytes:
    """All of 65 KB but the last bytes, for an application that has not asked for it."""
    return f"{POST}Content-Length: 65000\r\n\r\n{number:08d}{'b' * 64_000}".encode()


@pytest.mark.parametrize(
    ("made", "number"),
    [
        (trailers, 40),
        (unfinished_head, 1200),
        (unfinished_lines, 1200),
        (unfinished_body, 2000),
        (long_query, 1100),
        (long_host, 1100),
        (refused_body, 3500),
    ],
)
def test_memory_stays_bounded(tracker: Tracker, figures: Figures, made: Callable[[int], bytes], number: int) -> None:
    """However many connections send it and stay open; a good callback is still answered."""
    allow_descriptors()
    with peak_memory(worker(tracker)) as memory, ExitStack() as stack:
        for each in range(number):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", tracker.port), timeout=30))
            # The server may end the connection before all of it is sent.
            with suppress(ConnectionError):
                client.sendall(made(each))
        with socket.create_connection(("127.0.0.1", tracker.port), timeout=30) as good:
            good.sendall(request(tracker, "sent", 1))
            assert answer(good).startswith(b"HTTP/1.1 200")
        figures(f"memory of {number} × {made.__name__}", f"{memory.growth / MEGABYTE:.1f} MB")
        assert memory.growth < MAX_GROWTH
