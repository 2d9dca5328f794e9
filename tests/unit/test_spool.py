"""The spool file: in order, durable, bounded, and small again when it is empty."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.support.events import EVIDENCE, new_event, new_events, quarantined
from tracker.errors import SpoolDamagedError, SpoolFullError, SpoolUnavailableError
from tracker.log.record import Record
from tracker.log.spool.spool_file import PAGE_BYTES, PROBE_BYTES, Spool
from tracker.log.spool.spooled_record import Refusal, SpoolSize

ALL = 10**6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a spool that is not there yet, in a directory that is not there yet."""
    return tmp_path / "spool" / "worker-0.sqlite"


@pytest.fixture
def spool(path: Path) -> Spool:
    """A spool of a megabyte."""
    return Spool(path, 2**20)


def contents(spool: Spool) -> list[Record | None]:
    """All records, in order."""
    return [row.record for row in spool.read(ALL, ALL * 1000)]


def test_records_come_out_in_order_of_arrival(spool: Spool) -> None:
    """Events and callbacks that were set aside, over any number of batches."""
    records: list[Record] = [*new_events(3), quarantined(), *new_events(2)]
    spool.write(records[:2])
    spool.write(records[2:])
    assert contents(spool) == records
    assert [row.sequence for row in spool.read(ALL, ALL)] == [1, 2, 3, 4, 5, 6]


def test_what_was_written_is_there_after_a_kill(spool: Spool, path: Path) -> None:
    """The file is copied as it is on the disk while the spool is open, as a crash would leave it."""
    events = new_events(5)
    spool.write(events)
    left = path.with_name("left.sqlite")
    for suffix in ("", "-wal"):
        Path(f"{left}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    after = Spool(left, 2**20)
    assert contents(after) == events
    assert after.size.events == 5


def test_every_batch_is_synchronised_with_the_disk(spool: Spool, path: Path) -> None:
    """What makes an answer of 200 true."""
    spool.open()
    spool.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    opened = Spool(path, 2**20)
    opened.open()
    inner = opened._connection  # pyright: ignore[reportPrivateUsage]  # only the connection itself knows its own setting
    assert inner is not None
    assert inner.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_read_is_bounded_by_number_and_by_size(spool: Spool) -> None:
    """But one record always comes, however large it is."""
    large = new_event(2, evidence=msgspec.structs.replace(EVIDENCE, body=bytes(5000)))
    records = [new_event(1), large, new_event(3), new_event(4)]
    spool.write(records)
    assert [row.record for row in spool.read(2, ALL)] == records[:2]
    assert [row.record for row in spool.read(ALL, 2000)] == records[:1]
    assert [row.record for row in spool.read(ALL, 2000, first=2)] == records[1:2]
    assert [row.record for row in spool.read(ALL, 2000, first=3)] == records[2:]


def test_what_was_removed_does_not_come_back(spool: Spool, path: Path) -> None:
    """Neither now nor after the next start, and what came meanwhile stays."""
    events = new_events(6)
    spool.write(events[:4])
    spool.remove(3)
    spool.write(events[4:])
    assert contents(spool) == events[3:]
    spool.close()
    after = Spool(path, 2**20)
    assert contents(after) == events[3:]
    assert after.size.events == 3


def test_what_is_refused_is_out_of_the_way_and_is_kept(spool: Spool, path: Path) -> None:
    """It can be tried again, behind what has come since."""
    events = new_events(5)
    spool.write(events[:4])
    spool.remove(4, [Refusal(2, "a constraint"), Refusal(3, "another")])
    assert contents(spool) == []
    assert (spool.size.events, spool.size.refused) == (0, 2)
    spool.close()
    spool = Spool(path, 2**20)
    spool.write(events[4:])
    assert (spool.size.events, spool.size.refused) == (1, 2)
    spool.retry_refused()
    assert (spool.size.events, spool.size.refused) == (3, 0)
    assert contents(spool) == [events[4], events[1], events[2]]


def test_the_limit_refuses_a_batch_whole_and_keeps_the_rest(spool: Spool) -> None:
    """Nobody is told that something is kept which is not; when there is room again, it is used."""
    events = [new_event(number, evidence=msgspec.structs.replace(EVIDENCE, body=bytes(20_000))) for number in range(60)]
    written = 0
    with pytest.raises(SpoolUnavailableError, match="full"):
        for event in events:
            spool.write([event, event])
            written += 2
    assert 40 <= written <= 52
    assert len(contents(spool)) == written
    assert spool.size.events == written
    assert spool.size.bytes <= 2**20
    spool.remove(written // 2)
    spool.write(events[:2])
    assert len(contents(spool)) == written - written // 2 + 2


def fill_up(spool: Spool) -> int:
    """Write records until not even a small one is taken; how many there are."""
    written = 0
    for number in (100, 10, 1):
        with pytest.raises(SpoolUnavailableError, match="full"):
            while True:
                spool.write(new_events(number))
                written += number
    return written


@pytest.mark.parametrize("bad", [[1], [7], range(1, 101)])
def test_a_spool_at_its_limit_moves_what_is_refused_aside(spool: Spool, bad: Sequence[int]) -> None:
    """Or it would stay full for ever: nothing that is behind the bad record could leave."""
    written = fill_up(spool)
    spool.remove(max(bad), [Refusal(number, "a reason that needs some room " * 20) for number in bad])
    assert (spool.size.events, spool.size.refused) == (written - max(bad), len(bad))


def test_a_spool_at_its_limit_tries_refused_records_again(spool: Spool) -> None:
    """It has no room to hold them twice."""
    events = new_events(300)
    spool.write(events)
    spool.remove(300, [Refusal(number, "a constraint") for number in range(1, 301)])
    written = fill_up(spool)
    spool.retry_refused()
    assert (spool.size.events, spool.size.refused) == (written + 300, 0)
    assert contents(spool)[-300:] == events
    with pytest.raises(SpoolUnavailableError, match="full"):
        spool.write(new_events(100))


def test_no_sequence_is_given_twice(spool: Spool) -> None:
    """Not even when the journal was empty in between, and the file opened anew: a removal that was in doubt may be repeated."""
    spool.write(new_events(3))
    spool.remove(3)
    spool.close()
    events = new_events(2)
    spool.write(events)
    spool.remove(3)
    assert contents(spool) == events


def test_a_full_disk_is_said_and_harms_nothing(spool: Spool, path: Path) -> None:
    """A limit on the size of files stands for it: the kernel refuses the write just so, with another error number."""
    events = new_events(4)
    spool.write(events[:2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = Path(f"{path}-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100, hard))
    try:
        with pytest.raises(SpoolUnavailableError, match=path.name):
            spool.write(events[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(spool) == events[:2]
    spool.write(events[2:])
    assert contents(spool) == events


def test_an_empty_spool_gives_its_space_back(path: Path) -> None:
    """After an outage of any length there is no large file left."""
    spool = Spool(path, 2**30)
    body = msgspec.structs.replace(EVIDENCE, body=bytes(60_000))
    for _ in range(20):
        spool.write([new_event(evidence=body) for _ in range(10)])
    assert spool.size.bytes > 200 * 60_000
    spool.shrink()
    assert path.stat().st_size + Path(f"{path}-wal").stat().st_size > 200 * 60_000
    spool.remove(200)
    spool.shrink()
    assert path.stat().st_size + Path(f"{path}-wal").stat().st_size <= 16 * PAGE_BYTES
    assert spool.size == SpoolSize(0, 0, 0)


def test_a_file_has_one_owner(spool: Spool, path: Path) -> None:
    """Two processes that drained the same file would each remove what the other has not appended."""
    spool.write(new_events(1))
    program = (
        "import sys, pathlib, tracker.log.spool.spool_file as spool\n"
        "try: spool.Spool(pathlib.Path(sys.argv[1]), 2**20).open()\n"
        "except spool.SpoolUnavailableError as error: print(error)"
    )
    other = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert "locked" in other.stdout


def test_callbacks_are_for_the_owner_alone(spool: Spool, path: Path) -> None:
    """They hold phone numbers."""
    spool.open()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_new_directory_is_synchronised_with_the_disk(
    spool: Spool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut could take it, with everything in it, out of the directory above. The mark is in place for good, too."""
    synchronised = list[Path]()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synchronised.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    spool.open()
    assert path.parent.parent in synchronised
    assert path.parent in synchronised
    spool.close()
    synchronised.clear()
    spool.open()
    assert path.parent.parent not in synchronised


def test_a_spool_at_its_limit_says_how_full_it_is(path: Path) -> None:
    """It is not the disk that is full, nor a database of anybody's."""
    spool = Spool(path, 2**18)
    with pytest.raises(SpoolFullError) as caught:
        while True:
            spool.write(new_events(50))
    assert str(caught.value) == (
        f"the spool is full ({spool.size.bytes} of {2**18} bytes): callbacks are refused until the database is back"
    )
    assert spool.size.bytes > 2**17


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """And tried again with every call."""
    (tmp_path / "spool").touch()
    spool = Spool(tmp_path / "spool" / "worker-0.sqlite", 2**20)
    with pytest.raises(SpoolUnavailableError, match="worker-0"):
        spool.write(new_events(1))
    (tmp_path / "spool").unlink()
    spool.write(new_events(1))
    assert spool.size.events == 1


@pytest.mark.parametrize(
    "content", [b"no database at all" * 1000, bytes(PAGE_BYTES), b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_file_that_is_no_spool_is_damaged(path: Path, content: bytes) -> None:
    """Whatever it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SpoolDamagedError, match=path.name):
        Spool(path, 2**20).write(new_events(1))


def test_a_record_that_the_disk_has_changed_is_none(spool: Spool, path: Path) -> None:
    """The others come as they were."""
    events = new_events(3)
    spool.write(events)
    spool.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE journal SET record = zeroblob(500) WHERE sequence = 2")
    connection.close()
    assert contents(Spool(path, 2**20)) == [events[0], None, events[2]]


def test_a_size_that_was_wrong_is_put_right(spool: Spool, path: Path) -> None:
    """It is worked out from the first and the last sequence; somebody may have deleted rows in between."""
    spool.write(new_events(5))
    spool.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM journal WHERE sequence IN (2, 3)")
    connection.close()
    spool = Spool(path, 2**20)
    assert len(contents(spool)) == 3
    assert spool.size.events == 5
    spool.remove(5)
    assert contents(spool) == []
    assert spool.size == SpoolSize(0, 0, 0)


def test_a_probe_writes_and_leaves_nothing(tmp_path: Path) -> None:
    """It fails where one record more might not be written, and what is in the journal stays as it was."""
    spool = Spool(tmp_path / "spool.sqlite", 2**20)
    events = new_events(3)
    spool.write(events)
    size = spool.size
    for _ in range(3):
        spool.probe()
    assert spool.size == size
    assert [row.record for row in spool.read(10, 10**6)] == list(events)
    spool.write(new_events(1, start=4))
    spool.close()
    small = Spool(tmp_path / "small.sqlite", PROBE_BYTES - PAGE_BYTES)
    small.write(events)
    with pytest.raises(SpoolUnavailableError):
        small.probe()
    assert [row.record for row in small.read(10, 10**6)] == list(events)
    small.close()
