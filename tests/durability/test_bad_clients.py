"""Clients that send slowly, never finish, hold connections, or flood: good callbacks go on being answered, in bounded memory."""

import itertools
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psycopg
import pytest

from tests.durability.accounting import assert_all_kept
from tests.durability.clients import HALF_A_BODY, HALF_A_HEAD, NOTHING, answer, connections, is_closed, request, worker
from tests.durability.figures import Figures
from tests.durability.ledger import Latency
from tests.durability.load import Load, under_load
from tests.durability.memory import MEGABYTE, peak_memory
from tests.support.serving import FORM, PATH, Tracker, running_tracker
from tests.support.waiting import wait_until
from tracker.http.connection_limits import REPLY_SECONDS, REQUEST_SECONDS
from tracker.http.protocol import MAX_REQUEST_BYTES
from tracker.http.request_head import MAX_HEAD_BYTES

FLOOD = 10_000
"""Bad signatures, at least."""

BAD_SIGNATURES = 'tracker_callbacks_total{result="bad_signature"}'

GRACE = 10.0
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


GOOD_CALLBACKS = 500
"""At least so many are posted beside bad clients, over connections that stay open, some at the same time."""


@contextmanager
def good_callbacks(tracker: Tracker, database_url: str) -> Iterator[Load]:
    """They are posted as long as the block lasts; all of them must be taken, and be in the log once."""
    with under_load(tracker, 16) as load:
        yield load
        load.wait_for(GOOD_CALLBACKS)
    assert load.refused == 0
    tracker.wait_drained()
    assert_all_kept(load, database_url)


def latency_alone(tracker: Tracker, database_url: str) -> Latency:
    """Of good callbacks that nobody disturbs."""
    with good_callbacks(tracker, database_url) as load:
        pass
    return load.latency()


def assert_answered(load: Load, alone: Latency) -> None:
    """Half of them as good as undisturbed, and hardly any late: Twilio waits fifteen seconds."""
    beside = load.latency()
    assert beside.p50 < alone.p50 + 0.25, str(beside)
    assert beside.p99 < alone.p99 + 1.0, str(beside)
    assert beside.longest < 5, str(beside)


@pytest.fixture(scope="module")
def tracker(shared_database_url: str) -> Iterator[Tracker]:
    """A server that most tests of this module abuse, one after the other."""
    with running_tracker(shared_database_url) as tracker:
        yield tracker


@pytest.fixture
def own_tracker(database_url: str) -> Iterator[Tracker]:
    """A server of one test's own: what a process has taken for others it keeps, so memory is measured in a fresh one."""
    with running_tracker(database_url) as tracker:
        yield tracker


def test_slow_clients_are_ended_and_hurt_nobody(tracker: Tracker, shared_database_url: str, figures: Figures) -> None:
    """Thousands of connections that begin a request, or none, and go no further: good callbacks are answered beside them, and they are
    gone soon after REQUEST_SECONDS."""
    alone = latency_alone(tracker, shared_database_url)
    with ExitStack() as stack:
        slow = [
            client
            for sent in (NOTHING, HALF_A_HEAD, HALF_A_BODY)
            for client in stack.enter_context(connections(tracker, 1000, sent))
        ]
        started = time.monotonic()
        with good_callbacks(tracker, shared_database_url) as good:
            new = median_seconds(tracker)
            wait_until(lambda: all(map(is_closed, slow)), "the slow ones to be ended")
            assert time.monotonic() - started < REQUEST_SECONDS + 2 + GRACE
        figures("good callbacks alone", alone)
        figures(
            "good callbacks beside 3000 slow clients", f"{good.latency()}; over a new connection {new * 1000:.1f} ms"
        )
        assert_answered(good, alone)
        assert new < alone.p50 + 0.5


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
        assert median_seconds(tracker) < 1
        wait_until(lambda: sum(map(is_closed, idle)) >= 500 - 64, "idle ones to give way")
        for client in used:
            client.setblocking(True)  # socket's own
            client.sendall(request(tracker, "sent", 1))
            assert answer(client).startswith(b"HTTP/1.1 200")


def test_thousands_of_idle_connections(own_tracker: Tracker, database_url: str, figures: Figures) -> None:
    """They are kept, below the limit, for little memory, and cost good callbacks nothing."""
    alone = latency_alone(own_tracker, database_url)
    before = worker(own_tracker).memory_info().rss
    started = time.monotonic()
    with connections(own_tracker, 3000, NOTHING) as idle:
        with good_callbacks(own_tracker, database_url) as good:
            new = median_seconds(own_tracker)
        grown = worker(own_tracker).memory_info().rss - before
        figures(
            "good callbacks beside 3000 idle connections",
            f"{good.latency()}; over a new connection {new * 1000:.1f} ms",
        )
        figures("memory of 3000 idle connections", f"{grown / MEGABYTE:.1f} MB")
        assert_answered(good, alone)
        assert new < alone.p50 + 0.5
        assert grown < 100 * MEGABYTE
        ended = sum(map(is_closed, idle))
        if time.monotonic() - started > REQUEST_SECONDS:
            pytest.skip(f"the machine was too busy to show it: {ended} connections reached their limit of time")
        assert ended == 0


def test_large_bodies_that_stop_half_way_take_bounded_memory(
    own_tracker: Tracker, database_url: str, figures: Figures
) -> None:
    """A thousand of them, each with all that a body may have but its last byte."""
    head, _, _ = HALF_A_BODY.partition(b"\r\n\r\n")
    alone = latency_alone(own_tracker, database_url)
    before = worker(own_tracker).memory_info().rss
    with connections(own_tracker, 1000, head + b"\r\n\r\n" + b"a" * 59_999) as slow:
        with good_callbacks(own_tracker, database_url) as good:
            pass
        grown = worker(own_tracker).memory_info().rss - before
        figures("good callbacks beside 1000 large bodies that stopped", good.latency())
        figures("memory of 1000 large bodies that stopped", f"{grown / MEGABYTE:.1f} MB")
        assert_answered(good, alone)
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
        assert median_seconds(tracker, 3) < 2


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


def test_a_flood_of_bad_signatures(tracker: Tracker, shared_database_url: str, figures: Figures) -> None:
    """Every one is refused, counted and not stored; good callbacks are answered in between."""
    alone = latency_alone(tracker, shared_database_url)
    counted = tracker.metric(BAD_SIGNATURES)
    flood = Load(tracker, pause=0, signature="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    flood.start()
    try:
        wait_until(lambda: flood.answers[httpx.codes.FORBIDDEN] > FLOOD / 2, "the flood")
        with good_callbacks(tracker, shared_database_url) as good:
            wait_until(lambda: flood.answers[httpx.codes.FORBIDDEN] > FLOOD, "the flood to go on")
    finally:
        flood.stop()
    refused = flood.answers[httpx.codes.FORBIDDEN]
    figures(f"good callbacks in a flood of {refused} bad signatures", good.latency())
    assert_answered(good, alone)
    assert flood.answers == {httpx.codes.FORBIDDEN: flood.refused}
    assert tracker.metric(BAD_SIGNATURES) - counted == refused
    with psycopg.connect(shared_database_url) as connection:
        stored = {row[0] for row in connection.execute("SELECT idempotency_token FROM events")}
    assert stored.isdisjoint(flood.sent)


DEAR_BODIES = [
    piece * (65_536 // len(piece))
    for piece in (b"%41&", b"%41=%41&", b"a&", b"%x=%41", b"%41", b"a")
] + [b"&".join([b"%41%3D" * 40 + b"=" + b"%zz%" * 20] * 201)[:65_536]]  # fmt: skip
"""64 KiB in the forms that are dearest to parse."""

FLOODERS = 8
"""Connections that send them, one after the other, as fast as they are answered."""


def test_a_flood_of_bodies_that_are_dear_to_parse(tracker: Tracker, shared_database_url: str, figures: Figures) -> None:
    """With signatures of the right shape: good callbacks are answered beside them."""
    alone = latency_alone(tracker, shared_database_url)
    counted, stop = Counter[bytes](), threading.Event()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{tracker.port}\r\nContent-Type: {FORM}\r\nX-Twilio-Signature: {'A' * 27}=\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in DEAR_BODIES]

    def flood() -> None:
        with connections(tracker, 1, NOTHING) as (client,):
            for sent in itertools.cycle(requests):
                if stop.is_set():
                    return
                client.sendall(sent)
                counted[answer(client).split()[1]] += 1

    threads = [threading.Thread(target=flood) for _ in range(FLOODERS)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: counted.total() > 100, "the flood")
        with good_callbacks(tracker, shared_database_url) as good:
            pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    figures(f"good callbacks in a flood of {counted.total()} dear bodies", good.latency())
    assert_answered(good, alone)
    assert set(counted) == {b"403", b"413"}


def test_a_client_that_asks_and_reads_no_answer_is_ended(own_tracker: Tracker) -> None:
    """Long before REPLY_SECONDS, because it asks more than MAX_PIPELINED at a time; neither its questions nor their answers gather in
    memory."""
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with peak_memory(worker(own_tracker)) as memory, connections(own_tracker, 1, NOTHING) as (client,):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # socket's own

        def is_ended() -> bool:
            try:
                while True:
                    client.send(ask)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True

        wait_until(is_ended, "it to be ended", REPLY_SECONDS / 2)
        assert memory.growth < 20 * MEGABYTE
        assert median_seconds(own_tracker, 5) < 2
