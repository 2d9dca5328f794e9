"""SIGTERM: what was received is answered and durable, and the processes end with 0, in time, whatever clients and database do."""

import signal
import time
from contextlib import ExitStack

import psutil
import psycopg
import pytest

from tests.durability.clients import HALF_A_BODY, HALF_A_HEAD, NOTHING, answer, connections, request
from tests.durability.load import assert_nothing_lost, under_load
from tests.durability.outage import fragile_server
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until
from tracker.http.server import STOP_SECONDS as WORKER_STOP_SECONDS
from tracker.supervisor.supervisor import STOP_SECONDS

GRACE = 5.0
"""Seconds that a machine which runs other tests may add."""


def seconds_to_stop(tracker: Tracker, number: signal.Signals = signal.SIGTERM) -> float:
    """How long the server takes; it must end with 0."""
    started = time.monotonic()
    assert tracker.stop(number) == 0
    return time.monotonic() - started


def statuses(database_url: str) -> list[str]:
    """What is in the log, by position."""
    with psycopg.connect(database_url) as connection:
        return [row[0] for row in connection.execute("SELECT status FROM events ORDER BY position")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_nothing(database_url: str, number: signal.Signals) -> None:
    """The next start finds what was acknowledged; the journal, if one was needed, is drained by then."""
    with running_tracker(database_url, TRACKER_WORKERS="2") as tracker, under_load(tracker) as load:
        assert seconds_to_stop(tracker, number) < STOP_SECONDS
        load.stop()
        with running_tracker(database_url, data_dir=tracker.data_dir, port=tracker.port) as again:
            again.wait_drained()
            again.wait_projected()
            assert_nothing_lost(load, database_url)


def test_clients_that_say_nothing_more_do_not_hold_it_up(database_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Connections that are idle, and requests that stopped half-way."""
    with running_tracker(database_url) as tracker, ExitStack() as stack:
        for sent in (NOTHING, HALF_A_HEAD, HALF_A_BODY):
            stack.enter_context(connections(tracker, 20, sent))
        for client in stack.enter_context(connections(tracker, 20, request(tracker, "sent", 1))):
            assert answer(client).startswith(b"HTTP/1.1 200")
        assert seconds_to_stop(tracker) < 4 + GRACE
        # uvicorn says so when the time for answers has run out, and would on a fast machine end within the bound nevertheless.
        assert "timeout graceful shutdown exceeded" not in capfd.readouterr().err
        assert statuses(database_url) == ["sent"] * 20


def test_the_worker_ends_with_0_too(database_url: str) -> None:
    """The supervisor, and whoever looks at it, must be able to tell a stop from a crash."""
    with running_tracker(database_url) as tracker, connections(tracker, 5, HALF_A_BODY):
        (worker,) = tracker.children("tracker.web.worker")
        started = time.monotonic()
        # The supervisor must not start the next one, or reap this one, before it has been looked at.
        psutil.Process(tracker.process.pid).suspend()
        try:
            worker.terminate()
            wait_until(
                lambda: worker.status() == psutil.STATUS_ZOMBIE,
                "the worker to end",
                seconds=WORKER_STOP_SECONDS + GRACE,
            )
            assert time.monotonic() - started < WORKER_STOP_SECONDS + GRACE
            assert exit_code(worker.pid) == 0
        finally:
            psutil.Process(tracker.process.pid).resume()


def exit_code(pid: int) -> int:
    """Of a process that nobody has waited for yet: the last field of its stat (proc(5), exit_code)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123  # no path of ours
        return int(file.read().rpartition(")")[2].split()[-1])


@pytest.mark.parametrize("way", ["frozen", "stopped"])
def test_a_database_that_is_away_does_not_hold_it_up(way: str) -> None:
    """What comes in meanwhile is on the disk, and in the log after the next start."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        with under_load(tracker) as load:
            if way == "frozen":
                server.freeze()
            else:
                server.stop()
            load.wait_for(50)
            assert seconds_to_stop(tracker) < STOP_SECONDS + GRACE
        if way == "frozen":
            server.thaw()
        else:
            server.start()
        with running_tracker(server.url, data_dir=tracker.data_dir) as again:
            again.wait_drained()
            again.wait_projected()
            assert_nothing_lost(load, server.url)


def test_a_connection_that_is_open_is_told_to_close(database_url: str) -> None:
    """It cannot know of the stop: what it still sends is taken and answered, the first answer after the worker has been told says
    ``connection: close``, and then the connection is closed."""
    with running_tracker(database_url) as tracker, connections(tracker, 1, request(tracker, "queued", 1)) as (client,):
        said = answer(client)
        assert b"connection: close" not in said
        (worker,) = tracker.children("tracker.web.worker")
        tracker.process.send_signal(signal.SIGTERM)
        taken = 1
        while b"connection: close" not in said:
            taken += 1
            # A callback of its own each time: repetitions of one are stored a limited number of times.
            client.sendall(request(tracker, "sent", taken))
            said = answer(client)
            assert said.startswith(b"HTTP/1.1 200"), "it was closed without being told"
        assert client.recv(1) == b""
        assert tracker.process.wait(30) == 0
        assert not worker.is_running()
        assert statuses(database_url) == ["queued", *["sent"] * (taken - 1)]
