"""What becomes of a spool file that a power cut or a broken disk has damaged.

It is never deleted: it is renamed, a new one takes its place at once, and what can still be read is put into a journal again. A
record that had been appended before is appended once nevertheless.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import SpoolUnavailableError
from tracker.log.record import Record, UnreadableRecordError, unpack
from tracker.log.spool import statement

_log = structlog.get_logger()

DAMAGED: Final = ".damaged-"
"""In the name of a file that was set aside, before the time of that."""

SALVAGED: Final = ".salvaged-"
"""In its name when everything readable has been taken out of it."""

_LAST: Final = 2**62


def set_aside(path: Path, reason: str) -> None:
    """Rename a spool file and its WAL, so that a new one can be made. Raises SpoolUnavailableError."""
    aside = path.with_name(
        f"{path.name}{DAMAGED}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.monotonic_ns() % 10**9:09}"
    )
    _log.error("spool.damaged", file=str(path), reason=reason, kept_as=str(aside))
    _rename(path, aside)


def damaged_files(directory: Path) -> list[Path]:
    """Files that were set aside and not yet read, oldest first."""
    return sorted(
        each for each in directory.glob(f"*{DAMAGED}*") if not each.name.endswith(("-wal", "-shm", "-journal"))
    )


def mark_salvaged(path: Path) -> None:
    """What was readable in it is safe elsewhere. Raises SpoolUnavailableError."""
    _rename(path, path.with_name(path.name.replace(DAMAGED, SALVAGED)))


def readable_records(path: Path) -> Iterator[Record]:
    """Everything in a damaged file that can still be read, in order of arrival, and then what had been refused. How many gaps there
    are is logged. Raises SpoolUnavailableError when the file cannot be opened."""
    saved = gaps = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
            for table in ("read_journal", "read_refused"):
                for row in _rows(connection, table):
                    record = None if row is None else _unpack(*row)
                    if record is None:
                        gaps += 1
                    else:
                        saved += 1
                        yield record
    except sqlite3.Error as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
    _log.error("spool.salvaged", file=str(path), saved=saved, gaps=gaps)


def _rows(connection: sqlite3.Connection, name: str) -> Iterator[tuple[object, object] | None]:
    """Kind and record of each row; None once for every gap."""
    first = 0
    while True:
        try:
            for sequence, kind, data in _select(connection, name, first, -1):
                if sequence < first:
                    raise sqlite3.DatabaseError("the table's order is lost")
                first = sequence + 1
                yield kind, data
            return
        except sqlite3.Error:
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
    except sqlite3.Error:
        return False
    return True


def _select(connection: sqlite3.Connection, name: str, first: int, number: int) -> sqlite3.Cursor:
    # Lets SQLite read a file that is shorter than its head says (https://www.sqlite.org/pragma.html#pragma_writable_schema).
    connection.execute("PRAGMA writable_schema = ON")
    return connection.execute(statement(name), {"first": first, "number": number})


def _unpack(kind: object, data: object) -> Record | None:
    try:
        return unpack(kind, data)
    except UnreadableRecordError:
        return None


def _rename(path: Path, new: Path) -> None:
    try:
        # The WAL first: SQLite deletes one that it finds beside a new file.
        for suffix in ("-wal", "-shm", ""):
            each = path.with_name(path.name + suffix)
            if each.exists():
                each.rename(new.with_name(new.name + suffix))
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
