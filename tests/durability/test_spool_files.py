"""The spool's file: killed over, cut short, full, damaged, left behind. What was acknowledged comes out of it, once."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import psutil
import pytest

from tests.durability.clients import answer, connections, request
from tests.durability.figures import Figures
from tests.durability.load import assert_nothing_lost, under_load
from tests.durability.outage import FragileServer, fragile_server
from tests.durability.spool_files import fill, log_size, messages, numbered, stored
from tests.support.events import message_sid, new_events
from tests.support.serving import Tracker, callback, running_tracker
from tests.support.waiting import wait_until
from tracker.log.spool.recovery import kept_files
from tracker.log.spool.spool_file import PAGE_BYTES

KILLS = 4

FRAME_BYTES = 24 + PAGE_BYTES
"""Of a WAL (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)."""

EMPTY_WAL_BYTES = 5 * FRAME_BYTES
"""Of a spool in which nothing has ever been, at most."""

FIRST_TABLE_PAGE = 1
"""Of the file, from 0."""


def kill_all(tracker: Tracker) -> None:
    """SIGKILL of the supervisor and everything under it, as when the machine stops."""
    processes = [psutil.Process(tracker.process.pid), *psutil.Process(tracker.process.pid).children(recursive=True)]
    for process in processes:
        process.suspend()
    for process in processes:
        process.kill()
    tracker.process.wait()
    psutil.wait_procs(processes)


def test_sigkill_during_a_drain(database_url: str, tmp_path: Path, rng: random.Random) -> None:
    """Again and again: the next worker goes on, and every event is stored once, in order of arrival."""
    events = new_events(30_000)
    fill(tmp_path / "spool" / "worker-0.sqlite", events)
    with running_tracker(database_url, data_dir=tmp_path) as tracker:
        seen, killed = 0, set[int]()
        for _ in range(KILLS):
            more = seen + rng.randrange(1, 1000)
            wait_until(lambda more=more: log_size(database_url) > more, "the drain to go on")
            (worker,) = tracker.children("tracker.web.worker")
            worker.kill()
            killed.add(worker.pid)
            wait_until(lambda old=worker: tracker.children("tracker.web.worker") not in ([], [old]), "the next worker")
            seen = log_size(database_url)
            assert seen < len(events), "the drain was over before it was killed"
        tracker.wait_drained()
        assert len(killed) == KILLS
        assert stored(database_url) == numbered(events)


def test_a_drain_beside_live_traffic(database_url: str, tmp_path: Path, figures: Figures) -> None:
    """New callbacks go straight to the database meanwhile, and nothing is stored twice or out of the journal's order."""
    events = [
        msgspec.structs.replace(
            event, evidence=msgspec.structs.replace(event.evidence, idempotency_token=f"token {number}")
        )
        for number, event in enumerate(new_events(30_000, start=10**6))
    ]
    fill(tmp_path / "spool" / "worker-0.sqlite", events)
    with running_tracker(database_url, data_dir=tmp_path) as tracker, under_load(tracker) as load:
        tracker.wait_drained()
        load.stop()
        tracker.wait_projected()
        assert load.refused == 0
        assert_nothing_lost(load, database_url, {f"token {number}" for number in range(len(events))})
        identities = {UUID(bytes=event.event_id) for event in events}
        in_log = [found for _, found in stored(database_url)]
        assert [found for found in in_log if found in identities] == [identity for _, identity in numbered(events)]
        # Live batches are in between drained ones. They were appended at once: spooled, they would have come after all of these.
        drained = [found in identities for found in in_log]
        turns = sum(one != next_one for one, next_one in pairwise(drained))
        beside = drained[: len(drained) - drained[::-1].index(True)].count(False)
        figures("callbacks appended beside a drain of 30,000", f"{beside} in {turns // 2} batches, {load.latency()}")
        assert beside > 100
        assert turns > 10


@pytest.fixture
def spool_file(tmp_path: Path) -> Path:
    """Where a worker of a server in tmp_path spools."""
    return tmp_path / "spool" / "worker-0.sqlite"


@contextmanager
def cut_off(tmp_path: Path) -> Iterator[FragileServer]:
    """A server whose database went away after message 1; messages 2 to 59 are acknowledged and in the spool; then everything but the
    database was killed at once, and the database is back."""
    with fragile_server() as server:
        with running_tracker(server.url, data_dir=tmp_path) as tracker:
            tracker.post_ok("sent", 1)
            server.stop()
            for number in range(2, 60):
                tracker.post_ok("sent", number)
            kill_all(tracker)
        server.start()
        yield server


def test_a_power_cut_in_the_middle_of_a_write(tmp_path: Path, spool_file: Path, rng: random.Random) -> None:
    """The end of the WAL holds half of what was being written: all that was acknowledged is there."""
    with cut_off(tmp_path) as server:
        wal = Path(f"{spool_file}-wal")
        content = wal.read_bytes()
        # A frame that was begun: the last one again, as far as it came, and what happened to be on the disk.
        wal.write_bytes(content + content[-FRAME_BYTES : -FRAME_BYTES // 2] + rng.randbytes(700))
        with running_tracker(server.url, data_dir=tmp_path) as tracker:
            tracker.wait_drained()
            assert messages(server.url) == list(range(1, 60))


def test_a_disk_that_lost_the_end_of_the_wal(tmp_path: Path, spool_file: Path) -> None:
    """Against its word. What it kept is stored, in order, and new callbacks are taken."""
    with cut_off(tmp_path) as server:
        wal = Path(f"{spool_file}-wal")
        os.truncate(wal, wal.stat().st_size // 2 + 123)
        with running_tracker(server.url, data_dir=tmp_path) as tracker:
            tracker.wait_drained()
            found = messages(server.url)
            assert found == list(range(1, len(found) + 1))
            assert len(found) > 20
            tracker.post_ok("sent", 100)
            assert messages(server.url)[-1] == 100


@pytest.mark.parametrize("part", [0.4, 0.8])
def test_a_file_cut_short(tmp_path: Path, spool_file: Path, database_url: str, part: float) -> None:
    """It is set aside and kept; what is readable is stored once, the server starts, and its new file works."""
    events = new_events(2000, start=1000)
    fill(spool_file, events)
    os.truncate(spool_file, int(spool_file.stat().st_size * part))
    size = spool_file.stat().st_size
    with running_tracker(database_url, data_dir=tmp_path) as tracker:
        wait_until(lambda: list(spool_file.parent.glob("*.salvaged-*")), "the file to be read")
        tracker.post_ok("sent", 1)
        tracker.wait_drained()
        found = [number for number in messages(database_url) if number >= 1000]
        assert found == sorted(set(found))
        assert len(found) >= 2000 * part * 0.9
        (kept,) = kept_files(spool_file.parent)
        assert kept.stat().st_size == size


def test_a_file_that_is_no_spool_any_more(
    tmp_path: Path, spool_file: Path, database_url: str, rng: random.Random
) -> None:
    """It is kept as it is, and does not stop the start."""
    spool_file.parent.mkdir()
    rubbish = rng.randbytes(50_000)
    spool_file.write_bytes(rubbish)
    with running_tracker(database_url, data_dir=tmp_path) as tracker:
        tracker.post_ok("sent", 1)
        wait_until(lambda: list(spool_file.parent.glob("*.salvaged-*")), "the file to be set aside")
        assert [kept.read_bytes() for kept in kept_files(spool_file.parent)] == [rubbish]


def test_a_file_that_is_damaged_while_it_is_used(tmp_path: Path, spool_file: Path) -> None:
    """Callbacks that come meanwhile are taken, and none that was acknowledged before or after is lost but those in the hole."""
    with fragile_server() as server, running_tracker(server.url, data_dir=tmp_path) as tracker:
        tracker.post_ok("sent", 1)
        server.stop()
        for number in range(2, 42):
            tracker.post_ok("sent", number)
        (worker,) = tracker.children("tracker.web.worker")
        worker.kill()
        wait_until(lambda: tracker.accepts("sent", 42), "the next worker")
        with spool_file.open("r+b") as file:
            # The first page of the table: the head says where it is. What is in the worker's memory of it, it forgets.
            file.seek(FIRST_TABLE_PAGE * PAGE_BYTES)
            file.write(bytes(PAGE_BYTES))
        worker = tracker.children("tracker.web.worker")[0]
        worker.kill()
        wait_until(lambda: tracker.accepts("sent", 43), "the worker after that")
        for number in range(44, 60):
            tracker.post_ok("sent", number)
        server.start()
        tracker.wait_drained()
        wait_until(lambda: set(range(43, 60)) <= set(messages(server.url)), "what came after the damage")
        assert sorted(set(messages(server.url))) == sorted(messages(server.url))


def test_a_full_spool_is_said_and_never_lied_about(tmp_path: Path) -> None:
    """503 for what is not kept, and everything that was answered 200 is in the log when the database is back."""
    with (
        fragile_server() as server,
        running_tracker(server.url, data_dir=tmp_path, TRACKER_SPOOL_MAX_BYTES=str(2**20)) as tracker,
    ):
        tracker.post_ok("sent", 1)
        server.stop()
        acknowledged = fill_up(tracker)
        limit = tracker.metric("tracker_spool_limit_bytes")
        assert limit == 2**20
        said = tracker.client.get("/readyz").json()["reasons"]
        assert [line for line in said if line.startswith("the spool is full (") and f" of {2**20} bytes)" in line]
        assert 0.8 * limit < tracker.metric("tracker_spool_bytes") <= limit
        assert tracker.metric('tracker_callbacks_total{result="unavailable"}') == 1
        server.start()
        tracker.wait_drained()
        assert messages(server.url) == [1, *acknowledged]
        tracker.post_ok("sent", 10**6)
        wait_until(lambda: directory_size(tmp_path / "spool") < 2**18, "the spool to be small again")


def test_a_full_disk_is_said_and_never_lied_about(tmp_path: Path) -> None:
    """A limit on the size of the worker's files stands for the disk: the kernel refuses the write."""
    with fragile_server() as server, running_tracker(server.url, data_dir=tmp_path) as tracker:
        tracker.post_ok("sent", 1)
        server.stop()
        tracker.post_ok("sent", 2)
        (worker,) = tracker.children("tracker.web.worker")
        worker.rlimit(psutil.RLIMIT_FSIZE, (2**20, 2**20))
        acknowledged = fill_up(tracker, first=3)
        server.start()
        tracker.wait_drained()
        assert messages(server.url) == [1, 2, *acknowledged]
        tracker.post_ok("sent", 10**6)


def fill_up(tracker: Tracker, first: int = 2) -> list[int]:
    """Post until the answer is 503; the numbers of the messages that were taken."""
    padding = "x" * 20_000
    acknowledged = list[int]()
    for number in range(first, first + 500):
        answer = tracker.post(callback("sent", message_sid(number), Padding=padding))
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE.value:
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(acknowledged) > 20
            return acknowledged
        assert answer.status_code == httpx.codes.OK
        acknowledged.append(number)
    raise AssertionError("it was never full")


def directory_size(directory: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in directory.iterdir())


def test_spools_of_workers_that_are_there_no_longer(database_url: str, tmp_path: Path) -> None:
    """And of another machine, whose file was put into the directory: worker 0 drains them, and they are gone."""
    own, second, brought = new_events(300), new_events(300, start=1000), new_events(300, start=2000)
    fill(tmp_path / "spool" / "worker-0.sqlite", own)
    fill(tmp_path / "spool" / "worker-5.sqlite", second)
    fill(tmp_path / "spool" / "of-host-7.sqlite", brought)
    with running_tracker(database_url, data_dir=tmp_path, TRACKER_WORKERS="2") as tracker:
        wait_until(lambda: len(stored(database_url)) == 900, "all to be drained")
        assert stored(database_url)[:300] == numbered(own)
        wait_until(
            lambda: (
                {path.name for path in (tmp_path / "spool").glob("*.sqlite")} == {"worker-0.sqlite", "worker-1.sqlite"}
            ),
            "the files to go",
        )
        tracker.wait_drained()


def test_every_worker_has_a_spool_of_its_own(tmp_path: Path) -> None:
    """Both take callbacks while the database is away, and both are drained; positions are dense."""
    with fragile_server() as server, running_tracker(server.url, data_dir=tmp_path, TRACKER_WORKERS="2") as tracker:
        tracker.post_ok("sent", 1)
        server.freeze()
        acknowledged = 1
        for worker in tracker.children("tracker.web.worker"):
            # Whoever stands still accepts nothing, so the other one takes it.
            worker.suspend()
            try:
                for _ in range(20):
                    acknowledged += 1
                    with connections(tracker, 1, request(tracker, "sent", acknowledged)) as (client,):
                        assert answer(client).startswith(b"HTTP/1.1 200")
            finally:
                worker.resume()
        assert min(journal_sizes(tmp_path)) > EMPTY_WAL_BYTES
        server.thaw()
        tracker.wait_drained()
        assert sorted(messages(server.url)) == list(range(1, acknowledged + 1))
        assert [position for position, _ in stored(server.url)] == list(range(1, acknowledged + 1))


def journal_sizes(tmp_path: Path) -> list[int]:
    """Bytes that each worker's WAL has on the disk."""
    return [path.stat().st_size for path in (tmp_path / "spool").glob("worker-*.sqlite-wal")]
