"""The journal off the event loop: a damaged file is replaced, and nothing of the new one goes with the old one."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.new_events import new_events
from tracker.errors import SpoolUnavailableError
from tracker.log.journal import Journal
from tracker.log.record import Record
from tracker.log.salvage import damaged_files
from tracker.log.spool import Refusal, Spool, SpoolSize

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


async def test_delete_leaves_nothing(path: Path, journal: Journal) -> None:
    """Neither the file nor its WAL."""
    await journal.open()
    await journal.delete()
    assert list(path.parent.iterdir()) == []
