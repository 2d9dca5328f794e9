"""What becomes of a spool file that a power cut or a broken disk has damaged.

It is never deleted: it is renamed, a new one takes its place at once, and what can still be read is put into a journal again. A
record that had been appended before is appended once nevertheless.

Only what SQLite calls corruption is a gap. A disk that is full, a descriptor or memory that is not to be had, an error of the device:
they pass, and what they hide would be lost; so they end the reading, and all of the file is read again later.

The files that were set aside stay as they were found. SQLite, which writes to what it opens, is given a hard link to the file, and a
copy of its write-ahead log in which a damaged frame does not hide the ones after it.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import SpoolDamagedError, SpoolUnavailableError
from tracker.log.record import Record, unpack_if_readable
from tracker.log.spool import mark as spool_mark
from tracker.log.spool import wal as spool_wal
from tracker.log.spool.mark import Mark, MarkFile
from tracker.log.spool.sqlite import PAGE_BYTES, is_damage, statement

_log = structlog.get_logger()

DAMAGED: Final = ".damaged-"
"""In the name of a file that was set aside, before the time of that."""

SALVAGED: Final = ".salvaged-"
"""In its name when everything readable has been taken out of it."""

_BESIDE: Final = (spool_wal.SUFFIX, "-shm", "-journal", spool_mark.SUFFIX)
"""What SQLite and the mark put behind a file's name."""

_COPIES: Final = ".reading"
"""Ends the name of the directory in which SQLite reads a file that was set aside."""

_LAST: Final = 2**62


def set_aside(path: Path, reason: str) -> None:
    """Rename a spool file and its WAL, so that a new one can be made. Raises SpoolUnavailableError."""
    aside = path.with_name(
        f"{path.name}{DAMAGED}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.monotonic_ns() % 10**9:09}"
    )
    _log.error("spool.damaged", file=str(path), reason=reason, kept_as=str(aside))
    try:
        # Only its WAL or its mark may be left of it.
        path.touch(mode=0o600)
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
    _rename(path, aside)


def damaged_files(directory: Path) -> list[Path]:
    """Files that were set aside and not yet read, oldest first."""
    return _files(directory, DAMAGED)


def kept_files(directory: Path) -> list[Path]:
    """All files that were set aside, read or not. They are evidence: a person removes them."""
    return _files(directory, DAMAGED) + _files(directory, SALVAGED)


def _files(directory: Path, part: str) -> list[Path]:
    return sorted(each for each in directory.glob(f"*{part}*") if not each.name.endswith((*_BESIDE, _COPIES)))


def finish_setting_aside(path: Path) -> None:
    """What a process that was killed between two renames has left: the WAL is at its new place, the file at the old one. Without its
    WAL nobody may open it. Raises SpoolUnavailableError."""
    try:
        beside = [
            (each, suffix)
            for suffix in (spool_wal.SUFFIX, spool_mark.SUFFIX)
            for each in (path.parent.glob(f"{escape(path.name)}{DAMAGED}*{suffix}") if path.exists() else ())
        ]
        orphans = [
            aside for each, suffix in beside if not (aside := each.with_name(each.name.removesuffix(suffix))).exists()
        ]
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
    for aside in orphans[:1]:
        _log.error("spool.damaged", file=str(path), reason="what was beside it was set aside", kept_as=str(aside))
        _rename(path, aside)


def mark_salvaged(path: Path) -> None:
    """What was readable in it is safe elsewhere. Raises SpoolUnavailableError."""
    _rename(path, path.with_name(path.name.replace(DAMAGED, SALVAGED)))


def readable_records(path: Path, on_end: Callable[[int], object] = lambda lost: None) -> Generator[Record]:
    """Everything in a damaged file that can still be read, in order of arrival, and then what had been refused.

    on_end: told at the end how many records the file is known to have held and cannot give back; without a mark beside the file, how
    many are known to be missing between readable ones. It is logged too.

    Raises SpoolUnavailableError when something else than damage keeps the file from being read.
    """
    tally = _Tally()
    try:
        mark = _read_mark(path)
        with _opened_copy(path) as connection:
            removed = max(mark.removed if mark else 0, _read_removed(connection))
            for table in ("read_journal", "read_refused"):
                for row in _rows(connection, table):
                    record = None if row is None else unpack_if_readable(*row[1:])
                    tally.add(table == "read_journal", None if row is None else row[0], record, mark, removed)
                    if record is not None:
                        yield record
    except (sqlite3.Error, OSError) as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
    lost = tally.lost(mark, removed)
    _log.error("spool.salvaged", file=str(path), saved=tally.saved, gaps=tally.gaps, lost=lost)
    on_end(lost)


class _Tally:
    """What was read, and what it says of what was not."""

    def __init__(self) -> None:
        self.saved = 0
        self.gaps = 0
        """Unreadable stretches, of one record at least."""
        self._missing = 0
        """Sequences between readable records."""
        self._last = 0
        self._expected = 0
        """Readable records of the journal that the mark counts."""
        self._refused = 0
        """Readable records that had been refused."""

    def add(
        self, is_journal: bool, sequence: int | None, record: Record | None, mark: Mark | None, removed: int
    ) -> None:
        """One row; sequence and record are None for an unreadable stretch, only record for a row that is not what was written."""
        if record is None:
            self.gaps += 1
            return
        self.saved += 1
        if not is_journal:
            self._refused += 1
        elif sequence is not None:
            if self._last:
                self._missing += sequence - self._last - 1
            self._last = sequence
            if mark is not None and removed < sequence <= mark.newest:
                self._expected += 1

    def lost(self, mark: Mark | None, removed: int) -> int:
        """Records that the file held and did not give back."""
        if mark is None:
            return max(self._missing, self.gaps)
        return max(mark.newest - removed - self._expected, 0) + max(mark.refused - self._refused, 0)


def _read_mark(path: Path) -> Mark | None:
    """None where there is none, or it is unreadable too. Raises OSError."""
    try:
        return MarkFile(path).read()
    except SpoolDamagedError:
        return None


def _read_removed(connection: sqlite3.Connection) -> int:
    """The highest sequence that had left the journal; 0 when the file does not say."""
    try:
        found = connection.execute(statement("read_state")).fetchone()
    except sqlite3.Error as error:
        _raise_unless_damage(error)
        return 0
    return found[0] if found and isinstance(found[0], int) else 0


@contextmanager
def _opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads the file as it was set aside, and changes nothing in it. Raises OSError, sqlite3.Error."""
    copies = path.with_name(path.name + _COPIES)
    copy = copies / "spool"
    wal = copies / f"spool{spool_wal.SUFFIX}"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(mode=0o700)
    connection = None
    try:
        if path.stat().st_size:
            os.link(path, copy)
        else:
            # SQLite deletes the WAL of an empty file; the first page comes from the WAL, if it is there.
            copy.write_bytes(bytes(PAGE_BYTES))
        _copy_wal(path.with_name(path.name + spool_wal.SUFFIX), wal)
        connection = sqlite3.connect(copy, timeout=0, isolation_level=None, check_same_thread=False)
        # No shared memory beside the file, which would want room on the disk.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        yield connection
    finally:
        # Before the connection is closed: a database that is not in its place any more is not written to.
        shutil.rmtree(copies, ignore_errors=True)
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _copy_wal(wal: Path, copy: Path) -> None:
    if not wal.exists():
        return
    if spool_wal.find_damage(wal, PAGE_BYTES) is None:
        shutil.copyfile(wal, copy)
        return
    kept, left_out = spool_wal.repair(wal, copy, PAGE_BYTES)
    _log.warning("spool.wal_repaired", file=str(wal), frames=kept, left_out=left_out)


def _rows(connection: sqlite3.Connection, name: str) -> Iterator[tuple[int, object, object] | None]:
    """Sequence, kind and record of each row; None once for every gap."""
    first = 0
    while True:
        try:
            for sequence, kind, data in _select(connection, name, first, -1):
                if sequence < first:
                    raise sqlite3.DatabaseError("the table's order is lost")
                first = sequence + 1
                yield sequence, kind, data
            return
        except sqlite3.Error as error:
            _raise_unless_damage(error)
            yield None
        following = _next_readable(connection, name, first)
        if following is None:
            return
        first = following


def _next_readable(connection: sqlite3.Connection, name: str, unreadable: int) -> int | None:
    """From where the table can be read again; None when nothing follows. What lies between two gaps that are each larger than itself
    may be passed over."""
    step = 1
    while not _is_readable(connection, name, unreadable + step):
        step *= 2
        if step > _LAST:
            return None
    low, high = unreadable + step // 2, unreadable + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_readable(connection, name, middle) else (middle, high)
    return high


def _is_readable(connection: sqlite3.Connection, name: str, first: int) -> bool:
    try:
        _select(connection, name, first, 1).fetchone()
    except sqlite3.Error as error:
        _raise_unless_damage(error)
        return False
    return True


def _raise_unless_damage(error: sqlite3.Error) -> None:
    # A table that cannot be found any more is damage too, and what Python says of a value that is no text has no code.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if not (code is None or code == sqlite3.SQLITE_ERROR or is_damage(error)):
        raise error


def _select(connection: sqlite3.Connection, name: str, first: int, number: int) -> sqlite3.Cursor:
    # Lets SQLite read a file that is shorter than its head says (https://www.sqlite.org/pragma.html#pragma_writable_schema).
    connection.execute("PRAGMA writable_schema = ON")
    return connection.execute(statement(name), {"first": first, "number": number})


def _rename(path: Path, new: Path) -> None:
    try:
        # The WAL first: SQLite deletes one that it finds beside a new file. finish_setting_aside() knows this order.
        for suffix in (*_BESIDE, ""):
            each = path.with_name(path.name + suffix)
            if each.exists():
                each.rename(new.with_name(new.name + suffix))
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
