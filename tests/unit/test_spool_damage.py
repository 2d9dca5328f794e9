"""A spool that was damaged after a kill: it is noticed at the next open, set aside as it was found, read, and what is lost is counted."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.events import new_event, new_events
from tracker.log.record import identity, pack
from tracker.log.spool import wal as spool_wal
from tracker.log.spool.mark import Mark, MarkFile
from tracker.log.spool.recovery import damaged_files, readable_records
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import PAGE_BYTES, Spool
from tracker.log.spool.spooled_record import Refusal

pytestmark = pytest.mark.anyio

EVENTS = new_events(180)
BATCH = 3
FRAME_BYTES = spool_wal.FRAME_HEADER_BYTES + PAGE_BYTES


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Where the disk is waited for."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The spool of a worker that was killed after it had acknowledged EVENTS, batch by batch; all of them are in the WAL."""
    live = tmp_path / "live" / "worker-0.sqlite"
    spool = Spool(live, 2**26)
    for start in range(0, len(EVENTS), BATCH):
        spool.write(EVENTS[start : start + BATCH])
    path = tmp_path / "worker-0.sqlite"
    copy_all(live, path)
    spool.close()
    return path


def copy_all(live: Path, path: Path) -> None:
    """All files of a spool that is open, as a kill would leave them."""
    for suffix in ("", "-wal", "-mark"):
        shutil.copy(f"{live}{suffix}", f"{path}{suffix}")


def beside(path: Path, suffix: str) -> Path:
    """The WAL or the mark of a spool."""
    return path.with_name(path.name + suffix)


def contents(path: Path) -> dict[str, bytes]:
    """What is in a spool's files, by suffix."""
    return {
        suffix: beside(path, suffix).read_bytes() for suffix in ("", "-wal", "-mark") if beside(path, suffix).exists()
    }


def flip(path: Path, at: int, number: int = 4) -> None:
    """Invert so many bytes."""
    content = bytearray(path.read_bytes())
    for place in range(at, at + number):
        content[place] ^= 0xFF
    path.write_bytes(content)


def flip_middle(path: Path) -> None:
    """Four bytes in the middle of the WAL."""
    wal = beside(path, "-wal")
    flip(wal, wal.stat().st_size // 2)


def cut_in_half(path: Path) -> None:
    """The WAL has lost its second half."""
    wal = beside(path, "-wal")
    os.truncate(wal, wal.stat().st_size // 2)


def flip_header(path: Path) -> None:
    """SQLite takes such a WAL for an empty one."""
    flip(beside(path, "-wal"), 0)


def empty(path: Path) -> None:
    """The WAL has no byte."""
    os.truncate(beside(path, "-wal"), 0)


def delete_wal(path: Path) -> None:
    """The WAL is gone."""
    beside(path, "-wal").unlink()


def delete_file(path: Path) -> None:
    """The file is gone; its WAL is there."""
    path.unlink()


def delete_both(path: Path) -> None:
    """Only the mark is left."""
    path.unlink()
    delete_wal(path)


def flip_last_commit(path: Path) -> None:
    """Looks like a write that was interrupted, and is an acknowledged one."""
    wal = beside(path, "-wal")
    flip(wal, wal.stat().st_size - 100)


def flip_mark(path: Path) -> None:
    """Both copies of it."""
    flip(beside(path, "-mark"), 10)
    flip(beside(path, "-mark"), 522)


Damage = Callable[[Path], None]

CASES: list[tuple[Damage, int, int]] = [
    (flip_middle, 0, 6),
    (cut_in_half, 80, 100),
    (flip_header, 0, 6),
    (empty, 180, 180),
    (delete_wal, 180, 180),
    (delete_file, 0, 0),
    (delete_both, 180, 180),
    (flip_last_commit, 1, 3),
    (flip_mark, 0, 0),
]
"""What happens to the files, and between which numbers of lost records may be."""


@pytest.mark.parametrize(("damage", "fewest", "most"), CASES, ids=[damage.__name__ for damage, _, _ in CASES])
async def test_damage_is_noticed_kept_and_counted(
    killed: Path, thread: ThreadPoolExecutor, damage: Damage, fewest: int, most: int
) -> None:
    """The batch that finds it goes to a new file; every acknowledged record is read out of the old one or counted as lost."""
    damage(killed)
    before = contents(killed)
    noticed = list[None]()
    journal = Journal(Spool(killed, 2**26), thread, on_damage=lambda: noticed.append(None))
    new = new_event(1000)
    await journal.write([new])
    assert [row.record for row in (await journal.read(10, 10**6)).rows] == [new]
    assert len(noticed) == 1
    (aside,) = damaged_files(killed.parent)
    found = contents(aside)
    if damage is delete_wal:
        # SQLite makes an empty one when it opens the file.
        assert found.pop("-wal") == b""
    assert found == {"": b""} | before
    lost = list[int]()
    saved = [identity(record) for record in readable_records(aside, lost.append)]
    assert len(set(saved)) == len(saved)
    assert set(saved) <= {event.event_id for event in EVENTS}
    if damage is not flip_mark:
        assert [len(saved) + each for each in lost] == [180]
    assert fewest <= lost[0] <= most
    assert {"-wal": b""} | contents(aside) == {"-wal": b""} | found, "reading it changed it"
    assert not list(killed.parent.glob("*.reading"))
    await journal.close()


async def test_damage_anywhere_in_the_log_is_noticed(killed: Path, tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    """Four bytes at a random place: nothing acknowledged disappears silently, be it in a page, a frame's header or between frames."""
    chance = random.Random(5)
    size = beside(killed, "-wal").stat().st_size
    for number in range(12):
        directory = tmp_path / f"case-{number}"
        directory.mkdir()
        path = directory / "worker-0.sqlite"
        copy_all(killed, path)
        at = chance.randrange(size - 4)
        flip(beside(path, "-wal"), at)
        journal = Journal(Spool(path, 2**26), thread)
        await journal.open()
        here = {identity(row.record) for row in (await journal.read(1000, 10**9)).rows if row.record is not None}
        lost = list[int]()
        for aside in damaged_files(directory):
            here |= {identity(record) for record in readable_records(aside, lost.append)}
        assert len(here) + sum(lost) == 180, f"at byte {at} of {size}"
        await journal.close()


async def test_what_was_drained_is_not_counted_as_lost(
    killed: Path, tmp_path: Path, thread: ThreadPoolExecutor
) -> None:
    """A WAL that is lost after 100 of 180 records were appended and removed has lost 80 of them, and the two that had been refused."""
    live = tmp_path / "drained" / "worker-0.sqlite"
    spool = Spool(live, 2**26)
    spool.write(EVENTS)
    spool.remove(100, [Refusal(7, "a constraint"), Refusal(8, "a constraint")])
    path = tmp_path / "again" / "worker-0.sqlite"
    path.parent.mkdir()
    copy_all(live, path)
    spool.close()
    delete_wal(path)
    journal = Journal(Spool(path, 2**26), thread)
    await journal.open()
    (aside,) = damaged_files(path.parent)
    lost = list[int]()
    assert list(readable_records(aside, lost.append)) == []
    assert lost == [82]
    await journal.close()


@pytest.mark.parametrize("removed", [0, 180])
async def test_a_kill_alone_is_no_damage(
    killed: Path, tmp_path: Path, thread: ThreadPoolExecutor, removed: int
) -> None:
    """Nor is a write that was interrupted, or a journal that was emptied before."""
    path = killed
    if removed:
        live = tmp_path / "emptied" / "worker-0.sqlite"
        spool = Spool(live, 2**26)
        spool.write(EVENTS)
        spool.remove(removed)
        copy_all(live, path)
        spool.close()
    wal = beside(path, "-wal")
    content = wal.read_bytes()
    wal.write_bytes(content + content[-FRAME_BYTES : -FRAME_BYTES // 2] + random.Random(1).randbytes(700))
    journal = Journal(Spool(path, 2**26), thread)
    await journal.open()
    assert damaged_files(path.parent) == []
    assert journal.size.events == 180 - removed
    await journal.write([new_event(1000)])
    await journal.close()
    await journal.open()
    assert journal.size.events == 181 - removed
    await journal.close()


async def test_a_mark_older_than_the_file_is_no_damage(killed: Path, thread: ThreadPoolExecutor) -> None:
    """As a power cut leaves it: the file was synchronised with every batch, the mark was not. Damage of the WAL is still noticed then."""
    beside(killed, "-mark").unlink()
    MarkFile(killed).create(Mark(newest=12))
    intact = contents(killed)
    journal = Journal(Spool(killed, 2**26), thread)
    await journal.open()
    assert journal.size.events == 180
    assert damaged_files(killed.parent) == []
    await journal.close()
    for suffix, content in intact.items():
        beside(killed, suffix).write_bytes(content)
    of_another_boot(killed)
    flip_middle(killed)
    journal = Journal(Spool(killed, 2**26), thread)
    await journal.open()
    assert len(damaged_files(killed.parent)) == 1
    await journal.close()


def of_another_boot(path: Path) -> None:
    """Make the mark one that was written before the machine was started last."""
    mark = MarkFile(path)
    mark._boot = b"0" * 32
    mark.create(Mark(newest=12))


async def test_a_spool_of_an_earlier_version_drains(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    """A file without a mark and without the state table, with records in its WAL; afterwards it has both."""
    old = tmp_path / "old.sqlite"
    connection = sqlite3.connect(old, isolation_level=None)
    for setting in ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
        connection.execute(setting)
    connection.execute("CREATE TABLE journal (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, record BLOB NOT NULL)")
    connection.execute(
        "CREATE TABLE refused"
        " (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, record BLOB NOT NULL, reason TEXT NOT NULL)"
    )
    for sequence, event in enumerate(EVENTS[:5], 11):
        connection.execute("INSERT INTO journal VALUES (?, ?, ?)", (sequence, *pack(event)))
    path = tmp_path / "worker-0.sqlite"
    for suffix in ("", "-wal"):
        shutil.copy(f"{old}{suffix}", f"{path}{suffix}")
    connection.close()
    journal = Journal(Spool(path, 2**26), thread)
    batch = await journal.read(10, 10**6)
    assert [row.record for row in batch.rows] == EVENTS[:5]
    await journal.remove(batch, [])
    await journal.write(EVENTS[5:6])
    await journal.close()
    mark = MarkFile(path).read()
    assert mark is not None
    assert mark[:3] == (16, 15, 0)
    assert damaged_files(tmp_path) == []


async def test_a_file_that_is_taken_away_while_it_is_used(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    """What is in it is drained; nothing is acknowledged into a file that nobody would find again; then a new one takes its place."""
    path = tmp_path / "spool" / "worker-0.sqlite"
    journal = Journal(Spool(path, 2**26), thread)
    await journal.write(EVENTS[:3])
    shutil.rmtree(path.parent)
    with pytest.raises(Exception, match="moved or deleted while in use"):
        await journal.write(EVENTS[3:6])
    assert journal.is_unusable
    batch = await journal.read(10, 10**6)
    assert [row.record for row in batch.rows] == EVENTS[:3]
    await journal.remove(batch, [])
    await journal.write(EVENTS[3:6])
    assert not journal.is_unusable
    assert [row.record for row in (await journal.read(10, 10**6)).rows] == EVENTS[3:6]
    assert path.exists()
    await journal.close()
