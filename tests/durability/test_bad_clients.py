"""Clients that send slowly, never finish, hold connections, or flood: good callbacks go on being answered, in bounded memory."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
import pytest

from tests.database import PostgresForTests
from tests.durability.clients import HALF_A_BODY, HALF_A_HEAD, NOTHING, answer, connections, is_closed, request
from tests.serving import Tracker, callback, message_sid, running_tracker, wait_until
from tracker.web.connections import MAX_HEAD_BYTES, MAX_REQUEST_BYTES, REQUEST_SECONDS

MEGABYTE = 2**20

GRACE = 5.0
"""Seconds that a machine which runs other tests may add."""


def median_seconds(tracker: Tracker, number: int = 30) -> float:
    """Of a good callback's answer, each over a connection of its own; every one of them must be taken."""
    seconds: list[float] = []
    for each in range(number):
        started = time.monotonic()
        with connections(tracker, 1, request(tracker, "sent", each)) as (client,):
            assert answer(client).startswith(b"HTTP/1.1 200")
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


def show(what: str, seconds: float) -> None:
    """A figure, for those who run the tests with ``-s`` or look at a failure."""
    print(f"{what}: {seconds * 1000:.1f} ms, median")


def worker(tracker: Tracker) -> psutil.Process:
    """The only one."""
    (found,) = tracker.children("tracker.web.worker")
    return found


@pytest.fixture(scope="module")
def tracker(postgres: PostgresForTests) -> Iterator[Tracker]:
    """A server that all tests of this module abuse, one after the other."""
    with postgres.database() as database_url, running_tracker(database_url) as tracker:
        yield tracker


def test_slow_clients_are_ended_and_hurt_nobody(tracker: Tracker) -> None:
    """Thousands of connections that begin a request, or none, and go no further: good callbacks are answered beside them, and they are
    gone soon after REQUEST_SECONDS."""
    alone = median_seconds(tracker)
    with ExitStack() as stack:
        slow = [
            client
            for sent in (NOTHING, HALF_A_HEAD, HALF_A_BODY)
            for client in stack.enter_context(connections(tracker, 1000, sent))
        ]
        started = time.monotonic()
        beside = median_seconds(tracker)
        show("a good callback alone", alone)
        show("a good callback beside 3000 slow clients", beside)
        assert beside < alone + 0.25
        wait_until(lambda: all(map(is_closed, slow)), "the slow ones to be ended")
        assert time.monotonic() - started < REQUEST_SECONDS + 2 + GRACE
    assert median_seconds(tracker) < alone + 0.25


def test_a_byte_now_and_then_does_not_help(tracker: Tracker) -> None:
    """A request has its time as a whole, however often a piece of it comes."""
    with connections(tracker, 20, HALF_A_HEAD) as slow:
        deadline = time.monotonic() + REQUEST_SECONDS + 2 + GRACE
        pause = threading.Event()
        while not all(map(is_closed, slow)):
            assert time.monotonic() < deadline
            for client in slow:
                dribble(client)
            pause.wait(0.2)


def dribble(client: socket.socket) -> None:
    """One more byte of a head, if the connection is still there."""
    try:
        client.send(b"x")
    except (BrokenPipeError, ConnectionResetError):
        return


def test_idle_connections_make_room_for_new_ones(database_url: str) -> None:
    """At the limit, whoever only waits gives way: a connection that was never used before one that was, and none that works."""
    with running_tracker(database_url, TRACKER_MAX_CONNECTIONS="64") as tracker, ExitStack() as stack:
        used = stack.enter_context(connections(tracker, 8, request(tracker, "queued", 1)))
        for client in used:
            assert answer(client).startswith(b"HTTP/1.1 200")
        idle = stack.enter_context(connections(tracker, 500, NOTHING))
        assert median_seconds(tracker) < 0.25
        wait_until(lambda: sum(map(is_closed, idle)) >= 500 - 64, "idle ones to give way")
        for client in used:
            client.setblocking(True)  # socket's own
            client.sendall(request(tracker, "sent", 1))
            assert answer(client).startswith(b"HTTP/1.1 200")


def test_thousands_of_idle_connections(tracker: Tracker) -> None:
    """They are kept, below the limit, for little memory, and cost good callbacks nothing."""
    alone = median_seconds(tracker)
    before = worker(tracker).memory_info().rss
    with connections(tracker, 3000, NOTHING):
        beside, grown = median_seconds(tracker), worker(tracker).memory_info().rss - before
        show("a good callback beside 3000 idle connections", beside)
        print(f"3000 idle connections: {grown / MEGABYTE:.1f} MB")
        assert beside < alone + 0.25
        assert grown < 100 * MEGABYTE


def test_large_bodies_that_stop_half_way_take_bounded_memory(tracker: Tracker) -> None:
    """A thousand of them, each with all that a body may have but its last byte."""
    head, _, _ = HALF_A_BODY.partition(b"\r\n\r\n")
    before = worker(tracker).memory_info().rss
    with connections(tracker, 1000, head + b"\r\n\r\n" + b"a" * 59_999) as slow:
        beside, grown = median_seconds(tracker), worker(tracker).memory_info().rss - before
        show("a good callback beside 1000 large bodies that stopped", beside)
        print(f"1000 large bodies that stopped: {grown / MEGABYTE:.1f} MB")
        assert beside < 0.5
        assert grown < 300 * MEGABYTE
        wait_until(lambda: all(map(is_closed, slow)), "them to be ended")


ENDLESS: dict[str, tuple[bytes, bytes, int]] = {
    "head": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 8192, MAX_HEAD_BYTES),
    "list of headers": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-More: " + b"a" * 1000 + b"\r\n", MAX_HEAD_BYTES),
    "URL": (b"GET /", b"a" * 8192, MAX_HEAD_BYTES),
    "list of trailers": (
        b"POST /webhooks/twilio/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        b"X-More: " + b"a" * 1000 + b"\r\n",
        MAX_REQUEST_BYTES,
    ),
    "chunk extension": (
        b"POST /webhooks/twilio/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"a" * 8192,
        MAX_REQUEST_BYTES,
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_request_without_end_is_ended(tracker: Tracker, what: str) -> None:
    """Long before it fills the memory."""
    start, more, limit = ENDLESS[what]
    with connections(tracker, 1, start) as (client,):
        sent = 0
        client.settimeout(20)
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)) as ended:
            while sent < 50 * MEGABYTE:
                sent += client.send(more)
        assert not isinstance(ended.value, TimeoutError)
        # What the kernel had room for was sent, but not taken.
        assert sent < limit + 16 * MEGABYTE
        assert median_seconds(tracker, 3) < 1


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\0" * 100, b"GET http://[ HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_told_so(tracker: Tracker, rubbish: bytes) -> None:
    """As a TLS handshake at the wrong port."""
    with connections(tracker, 1, rubbish) as (client,):
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(4096):
            received += data
        assert received.startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_answered_as_it_is(tracker: Tracker) -> None:
    """curl offers HTTP/2 on request; nothing here speaks it."""
    answered = tracker.client.get(
        "/livez", headers={"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AA"}
    )
    assert answered.status_code == httpx.codes.OK


def test_a_flood_of_bad_signatures(tracker: Tracker) -> None:
    """They are refused; good callbacks are answered in between, and everything is counted."""
    with flood(tracker) as refused:
        wait_until(lambda: len(refused) > 200, "the flood")
        seconds = median_seconds(tracker)
        more = len(refused)
        wait_until(lambda: len(refused) > more, "the flood to go on")
        show("a good callback in a flood of bad signatures", seconds)
        assert seconds < 0.5
    assert set(refused) == {httpx.codes.FORBIDDEN}


@contextmanager
def flood(tracker: Tracker, threads: int = 4) -> Iterator[list[int]]:
    """Callbacks with a wrong signature, as fast as they are answered; yields the answers' status codes as they come."""
    stop = threading.Event()
    codes = list[int]()

    def post_all() -> None:
        with httpx.Client(base_url=tracker.base_url, timeout=30) as client:
            while not stop.is_set():
                codes.append(
                    client.post(
                        tracker.webhook_url,
                        data=callback("sent", message_sid(1)),
                        headers={"x-twilio-signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
                    ).status_code
                )

    running = [threading.Thread(target=post_all) for _ in range(threads)]
    for each in running:
        each.start()
    try:
        yield codes
    finally:
        stop.set()
        for each in running:
            each.join()


def test_a_client_that_asks_and_reads_no_answer_is_ended(tracker: Tracker) -> None:
    """Neither its questions nor their answers gather in memory without end."""
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with connections(tracker, 1, ask) as (client,):
        before = worker(tracker).memory_info().rss
        client.settimeout(5)
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
            for _ in range(10_000):
                client.sendall(ask)
        assert worker(tracker).memory_info().rss - before < 100 * MEGABYTE
        assert median_seconds(tracker, 5) < 1
