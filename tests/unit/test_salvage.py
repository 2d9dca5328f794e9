"""A damaged spool file: what can still be read is saved, and the file is kept."""

import random
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.events import new_events
from tracker.errors import SpoolUnavailableError
from tracker.log.record import identity
from tracker.log.spool import recovery as salvage
from tracker.log.spool.recovery import damaged_files, mark_salvaged, readable_records, set_aside
from tracker.log.spool.spool_file import PAGE_BYTES, Spool
from tracker.log.spool.spooled_record import Refusal

EVENTS = new_events(600)
SELECT = salvage._select  # pyright: ignore[reportPrivateUsage]  # what a failing disk stands before
PLACE = {event.event_id: number for number, event in enumerate(EVENTS)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed spool file with EVENTS in it."""
    path = tmp_path / "worker-0.sqlite"
    spool = Spool(path, 2**30)
    for start in range(0, len(EVENTS), 50):
        spool.write(EVENTS[start : start + 50])
    spool.close()
    return path


def saved(path: Path) -> list[int]:
    """Which of EVENTS are read out of a file, as numbers, in the order in which they come."""
    return [PLACE[identity(record)] for record in readable_records(path)]


def damage(path: Path, change: Callable[[BinaryIO, int], object]) -> None:
    """Change a file; the change is told its size."""
    with path.open("r+b") as file:
        change(file, path.stat().st_size)


def overwrite(file: BinaryIO, at: int, data: bytes) -> None:
    """Put something else there."""
    file.seek(at // PAGE_BYTES * PAGE_BYTES)
    file.write(data)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_file_cut_short_gives_what_is_before_the_cut(path: Path, part: float) -> None:
    """As after a power cut that took the end of it."""
    damage(path, lambda file, size: file.truncate(int(size * part)))
    found = saved(path)
    assert found == sorted(set(found))
    assert found[0] == 0
    assert len(found) >= len(EVENTS) * part * 0.9 - 10


@pytest.mark.parametrize(
    "rubbish",
    [bytes(3 * PAGE_BYTES), b"\xff" * 3 * PAGE_BYTES, random.Random(7).randbytes(3 * PAGE_BYTES)],
    ids=["zeros", "ones", "noise"],
)
def test_a_hole_costs_what_was_in_it(path: Path, rubbish: bytes) -> None:
    """What is on both sides of it is saved, in order."""
    damage(path, lambda file, size: overwrite(file, size // 2, rubbish))
    found = saved(path)
    assert found == sorted(set(found))
    assert len(EVENTS) - 40 <= len(found) < len(EVENTS)
    assert found[0] == 0
    assert found[-1] == len(EVENTS) - 1


def test_two_holes_cost_what_was_in_them(path: Path) -> None:
    """Each of them."""

    def change(file: BinaryIO, size: int) -> None:
        overwrite(file, size // 3, bytes(PAGE_BYTES))
        overwrite(file, 2 * size // 3, bytes(PAGE_BYTES))

    damage(path, change)
    found = saved(path)
    assert found == sorted(set(found))
    assert len(EVENTS) - 40 <= len(found) < len(EVENTS)
    assert {0, len(EVENTS) // 2, len(EVENTS) - 1} <= set(found)


def test_a_hole_at_the_front_of_a_journal_that_has_been_drained_for_long(path: Path) -> None:
    """Its sequences begin far from one, and the first page of them is lost."""
    spool = Spool(path, 2**30)
    spool.remove(300)
    spool.close()
    content = path.read_bytes()
    first = content.index(EVENTS[300].callback.message_sid.encode())
    damage(path, lambda file, _: overwrite(file, first, bytes(PAGE_BYTES)))
    found = saved(path)
    assert found == sorted(set(found))
    assert found[-1] == len(EVENTS) - 1
    assert 280 <= len(found) < 300


def test_a_lost_head_is_no_reason_to_fail(path: Path) -> None:
    """Nothing can be found without it; the file is still there for whoever has better tools."""
    damage(path, lambda file, _: overwrite(file, 0, bytes(PAGE_BYTES)))
    assert saved(path) == []


def test_what_passes_is_no_damage(path: Path) -> None:
    """A descriptor that is not to be had hides records that are there: the reading fails, and is repeated later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SpoolUnavailableError, match="Too many open files"):
            saved(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert saved(path) == list(range(len(EVENTS)))


@pytest.mark.parametrize(
    ("code", "is_gap"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_ERROR, True),
        (None, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_CANTOPEN, False),
        (sqlite3.SQLITE_NOMEM, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
def test_only_corruption_is_a_gap(path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, is_gap: bool) -> None:
    """In the middle of a file; None: Python's own complaint of a value."""
    failures = iter([code])

    class FailingCursor:
        def __iter__(self) -> Iterator[object]:
            raise failure(code)

    def fail_once(connection: sqlite3.Connection, name: str, first: int, number: int) -> object:
        for _ in failures:
            return FailingCursor()
        return SELECT(connection, name, first, number)

    monkeypatch.setattr(salvage, "_select", fail_once)
    if is_gap:
        assert saved(path)[-1] == len(EVENTS) - 1
    else:
        with pytest.raises(SpoolUnavailableError):
            saved(path)


def failure(code: int | None) -> sqlite3.Error:
    """What Python raises for a code of SQLite's."""
    error = sqlite3.OperationalError("as the test says")
    if code is not None:
        error.sqlite_errorcode = code
    return error


def test_reading_needs_no_room_beside_the_file(path: Path) -> None:
    """The disk may be full."""
    records = readable_records(path)
    next(records)
    assert [each.name for each in path.parent.iterdir() if each.name.endswith("-shm")] == []
    records.close()


def test_what_was_refused_is_saved_too(path: Path) -> None:
    """Behind the journal."""
    spool = Spool(path, 2**30)
    spool.remove(2, [Refusal(1, "a constraint")])
    spool.close()
    damage(path, lambda file, size: overwrite(file, size // 2, bytes(PAGE_BYTES)))
    found = saved(path)
    assert found[0] == 2
    assert found[-1] == 0


def test_a_file_set_aside_keeps_its_wal(tmp_path: Path) -> None:
    """What was in it counts as much. The name makes room for a new file, and says when."""
    path = tmp_path / "worker-3.sqlite"
    spool = Spool(path, 2**30)
    spool.write(EVENTS[:20])
    left = tmp_path / "left.sqlite"
    for suffix in ("", "-wal"):
        Path(f"{left}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    set_aside(left, "a test")
    assert not left.exists()
    (aside,) = damaged_files(tmp_path)
    assert aside.name.startswith("left.sqlite.damaged-20")
    assert saved(aside) == list(range(20))
    mark_salvaged(aside)
    assert damaged_files(tmp_path) == []
    kept = sorted(each.name for each in tmp_path.glob("left*"))
    assert [name[:22] for name in kept] == ["left.sqlite.salvaged-2"] * 2
    assert kept[1] == f"{kept[0]}-wal"


def test_two_files_of_one_worker_can_be_set_aside(tmp_path: Path) -> None:
    """One does not take the other's name."""
    for _ in range(3):
        (tmp_path / "worker-0.sqlite").write_bytes(b"rubbish")
        set_aside(tmp_path / "worker-0.sqlite", "a test")
    assert len(damaged_files(tmp_path)) == 3
