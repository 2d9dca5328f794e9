"""The journal off the event loop: a damaged file is replaced, and nothing of the new one goes with the old one."""

import asyncio
import resource
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.events import new_events
from tests.support.waiting import until
from tracker.errors import SpoolUnavailableError
from tracker.log.record import Record
from tracker.log.spool.recovery import damaged_files, readable_records
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import PAGE_BYTES, Spool
from tracker.log.spool.spooled_record import Refusal, SpoolSize

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the journal's file."""
    return tmp_path / "worker-0.sqlite"


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Where the disk is waited for."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def journal(path: Path, thread: ThreadPoolExecutor) -> Journal:
    """On a file that is not there yet."""
    return Journal(Spool(path, 2**26), thread)


async def contents(journal: Journal) -> list[Record | None]:
    """All records, in order."""
    return [row.record for row in (await journal.read(10**6, 10**9)).rows]


def ruin(path: Path) -> None:
    """Overwrite every file of the spool, as nobody should."""
    path.write_bytes(b"rubbish" * 1000)
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)


def read_both(path: Path) -> tuple[bytes, bytes]:
    """A spool's file and its WAL, as they are on the disk."""
    return path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()


def write_both(path: Path, content: bytes, aside: Path, wal: bytes) -> None:
    """A spool's file, and the WAL of another one."""
    path.write_bytes(content)
    aside.with_name(f"{aside.name}-wal").write_bytes(wal)


async def test_the_loop_goes_on_while_the_disk_is_slow(path: Path) -> None:
    """A write that waits for the disk keeps no other caller waiting."""
    slow = threading.Event()

    class SlowSpool(Spool):
        def write(self, records: object) -> None:
            assert slow.wait(30)

    with ThreadPoolExecutor(1) as thread:
        writing = asyncio.ensure_future(Journal(SlowSpool(path, 2**26), thread).write(new_events(1)))
        await asyncio.sleep(0)
        assert not writing.done()
        slow.set()
        await writing


async def test_nobody_waits_for_a_disk_for_ever(path: Path) -> None:
    """It is said after a bounded time, and at once to those who come until it has answered; what it was given may be kept by then."""
    stalled = threading.Event()

    class StalledSpool(Spool):
        def write(self, records: Sequence[Record]) -> None:
            assert stalled.wait(30)
            super().write(records)

    with ThreadPoolExecutor(1) as thread:
        journal = Journal(StalledSpool(path, 2**26), thread, seconds=0.01)
        events = new_events(2)
        with pytest.raises(SpoolUnavailableError, match="does not answer within"):
            await journal.write(events[:1])
        with pytest.raises(SpoolUnavailableError, match="has not answered yet"):
            await journal.write(events[1:])
        stalled.set()
        patient = Journal(Spool(path, 2**26), thread)
        await until(lambda: journal.size.events)
        journal._seconds = 30.0  # pyright: ignore[reportPrivateUsage]  # for a disk that only is slow
        await journal.close()
        assert await contents(patient) == events[:1]


async def test_its_size_is_told_after_every_call(path: Path, thread: ThreadPoolExecutor) -> None:
    """For the gauges."""
    told = list[SpoolSize]()
    journal = Journal(Spool(path, 2**26), thread, told.append)
    await journal.open()
    await journal.write(new_events(3))
    batch = await journal.read(2, 10**6)
    await journal.remove(batch, [Refusal(1, "a constraint")])
    assert [(size.events, size.refused) for size in told] == [(0, 0), (3, 0), (3, 0), (1, 1)]
    assert told[0].bytes == 0
    assert told[1].bytes > 0


async def test_what_was_refused_is_tried_again_at_the_next_start(
    path: Path, thread: ThreadPoolExecutor, journal: Journal
) -> None:
    """It may be a new version that starts."""
    events = new_events(2)
    await journal.write(events)
    await journal.remove(await journal.read(2, 10**6), [Refusal(1, "a constraint"), Refusal(2, "a constraint")])
    await journal.close()
    again = Journal(Spool(path, 2**26), thread)
    await again.open()
    assert await contents(again) == events


async def test_a_damaged_file_makes_room_for_a_new_one(path: Path, journal: Journal) -> None:
    """The batch that found it damaged is kept in the new one."""
    events = new_events(2)
    ruin(path)
    await journal.write(events)
    assert await contents(journal) == events
    assert [aside.read_bytes() for aside in damaged_files(path.parent)] == [b"rubbish" * 1000]


async def test_what_was_read_from_the_old_file_removes_nothing_from_the_new_one(path: Path, journal: Journal) -> None:
    """Both begin at sequence one."""
    old, new = new_events(5), new_events(3)
    await journal.write(old)
    batch = await journal.read(5, 10**6)
    await journal.close()
    ruin(path)
    await journal.write(new)
    await journal.remove(batch, [])
    assert await contents(journal) == new


async def test_a_disk_that_fails_is_told_and_tried_again(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    """Every time."""
    (tmp_path / "spool").touch()
    journal = Journal(Spool(tmp_path / "spool" / "worker-0.sqlite", 2**26), thread)
    for _ in range(2):
        with pytest.raises(SpoolUnavailableError):
            await journal.write(new_events(1))
    (tmp_path / "spool").unlink()
    await journal.write(new_events(1))
    assert journal.size.events == 1


class StuckSpool(Spool):
    """On a disk that is full to its last block: nothing can be written, and nothing removed."""

    is_full = False

    def write(self, records: Sequence[Record]) -> None:
        """As in Spool."""
        self._fail()
        super().write(records)

    def remove(self, last: int, refused: Sequence[Refusal] = ()) -> None:
        """As in Spool."""
        self._fail()
        super().remove(last, refused)

    def _fail(self) -> None:
        if self.is_full:
            self.close()
            raise SpoolUnavailableError("full")


async def test_what_a_full_disk_keeps_is_not_read_again(path: Path, thread: ThreadPoolExecutor) -> None:
    """And when all of it has been appended a new file takes the old one's place, with nothing in it."""
    spool, events = StuckSpool(path, 2**26), new_events(5)
    journal = Journal(spool, thread)
    await journal.write(events)
    spool.is_full = True
    seen = list[Record | None]()
    while (batch := await journal.read(2, 10**6)).rows:
        seen += [row.record for row in batch.rows]
        await journal.remove(batch, [])
        if len(seen) == 4:
            with pytest.raises(SpoolUnavailableError):
                await journal.write(new_events(1))
    assert seen == events
    assert journal.size == SpoolSize(0, 0, 0)
    await journal.write(events[:1])
    assert await contents(journal) == events[:1]


async def test_what_was_written_since_the_disk_has_room_again_is_kept(path: Path, thread: ThreadPoolExecutor) -> None:
    """Only what was appended is forgotten."""
    spool, events = StuckSpool(path, 2**26), new_events(5)
    journal = Journal(spool, thread)
    await journal.write(events[:3])
    spool.is_full = True
    await journal.remove(await journal.read(3, 10**6), [])
    spool.is_full = False
    await journal.write(events[3:])
    assert await contents(journal) == events[3:]
    await journal.remove(await journal.read(2, 10**6), [])
    assert await contents(journal) == []
    assert journal.size.events == 0


async def test_refused_records_keep_the_file_on_a_full_disk(path: Path, thread: ThreadPoolExecutor) -> None:
    """They are nowhere else. When there is room again they are moved, and the rest is removed."""
    spool = StuckSpool(path, 2**26)
    journal = Journal(spool, thread)
    await journal.write(new_events(3))
    spool.is_full = True
    await journal.remove(await journal.read(3, 10**6), [Refusal(2, "a constraint")])
    for _ in range(2):
        with pytest.raises(SpoolUnavailableError):
            await journal.read(3, 10**6)
    spool.is_full = False
    assert await contents(journal) == []
    assert (journal.size.events, journal.size.refused) == (0, 1)


async def test_a_disk_that_takes_nothing_at_all(path: Path, thread: ThreadPoolExecutor) -> None:
    """A limit on the size of files stands for it: neither the file nor its WAL can grow, and so nothing can be removed."""
    journal, events = Journal(Spool(path, 2**26), thread), new_events(50)
    await journal.write(events)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES, hard))
    try:
        batch = await journal.read(100, 10**6)
        await journal.remove(batch, [])
        assert await contents(journal) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [row.record for row in batch.rows] == events
    await journal.write(events[:1])
    assert await contents(journal) == events[:1]


async def test_a_kill_between_two_renames_separates_no_file_from_its_wal(
    path: Path, thread: ThreadPoolExecutor, journal: Journal
) -> None:
    """The WAL was set aside, the file not yet: the file follows it, and what was in both of them is read."""
    events = new_events(3)
    await journal.write(events)
    content, wal = read_both(path)
    await journal.close()
    aside = path.with_name(f"{path.name}.damaged-20261123T120000-000000000")
    write_both(path, content, aside, wal)
    assert await contents(Journal(Spool(path, 2**26), thread)) == []
    assert damaged_files(path.parent) == [aside]
    assert list(readable_records(aside)) == events


async def test_delete_leaves_nothing(path: Path, journal: Journal) -> None:
    """Neither the file nor its WAL."""
    await journal.open()
    await journal.delete()
    assert list(path.parent.iterdir()) == []
