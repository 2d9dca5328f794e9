"""What becomes of a spool file that a power cut or a broken disk has damaged.

It is never deleted: it is renamed, a new one takes its place at once, and what can still be read is put into a journal again. A
record that had been appended before is appended once nevertheless.

Only what SQLite calls corruption is a gap. A disk that is full, a descriptor or memory that is not to be had, an error of the device:
they pass, and what they hide would be lost; so they end the reading, and all of the file is read again later.
"""

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from glob import escape
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import SpoolUnavailableError
from tracker.log.record import Record, UnreadableRecordError, unpack
from tracker.log.spool import is_damage, statement

_log = structlog.get_logger()

DAMAGED: Final = ".damaged-"
"""In the name of a file that was set aside, before the time of that."""

SALVAGED: Final = ".salvaged-"
"""In its name when everything readable has been taken out of it."""

_BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts behind a file's name."""

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
    return sorted(each for each in directory.glob(f"*{DAMAGED}*") if not each.name.endswith(_BESIDE))


def finish_setting_aside(path: Path) -> None:
    """What a process that was killed between two renames has left: the WAL is at its new place, the file at the old one. Without its
    WAL nobody may open it. Raises SpoolUnavailableError."""
    try:
        wals = list(path.parent.glob(f"{escape(path.name)}{DAMAGED}*-wal")) if path.exists() else []
        orphans = [aside for wal in wals if not (aside := wal.with_name(wal.name.removesuffix("-wal"))).exists()]
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
    for aside in orphans[:1]:
        _log.error("spool.damaged", file=str(path), reason="its WAL was set aside", kept_as=str(aside))
        _rename(path, aside)


def mark_salvaged(path: Path) -> None:
    """What was readable in it is safe elsewhere. Raises SpoolUnavailableError."""
    _rename(path, path.with_name(path.name.replace(DAMAGED, SALVAGED)))


def readable_records(path: Path) -> Generator[Record]:
    """Everything in a damaged file that can still be read, in order of arrival, and then what had been refused. How many gaps there
    are is logged. Raises SpoolUnavailableError when something else than damage keeps it from being read."""
    saved = gaps = 0
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)) as connection:
            # No shared memory beside the file, which would want room on the disk.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
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


def _unpack(kind: object, data: object) -> Record | None:
    try:
        return unpack(kind, data)
    except UnreadableRecordError:
        return None


def _rename(path: Path, new: Path) -> None:
    try:
        # The WAL first: SQLite deletes one that it finds beside a new file. finish_setting_aside() knows this order.
        for suffix in (*_BESIDE, ""):
            each = path.with_name(path.name + suffix)
            if each.exists():
                each.rename(new.with_name(new.name + suffix))
    except OSError as error:
        raise SpoolUnavailableError(f"{path}: {error}") from error
