"""The spool: one SQLite file on the local disk for what arrives while the database is away (docs/adr/0002-spool-in-sqlite.md).

Every call that writes has reached the disk when it returns: SQLite in WAL mode with ``synchronous=FULL`` ends a transaction with one
fsync (https://www.sqlite.org/pragma.html#pragma_synchronous). After a power cut the file holds every batch that was written, whole,
and perhaps one that was not acknowledged.

Acknowledged records are also counted in a mark beside the file (``tracker.log.spool.mark``): a file or a write-ahead log that has lost
some of them is detected when it is opened.

The file belongs to one process, which holds its lock, and its methods are for one thread, because they block.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import SpoolDamagedError, SpoolFullError, SpoolUnavailableError
from tracker.log.record import Record, pack, unpack_if_readable
from tracker.log.spool import wal as spool_wal
from tracker.log.spool.mark import Mark, MarkFile
from tracker.log.spool.spooled_record import Refusal, Spooled, SpoolSize
from tracker.log.spool.sqlite import MARKED, PAGE_BYTES, is_damage, read_user_version, statement
from tracker.log.spool.verification import verify_contents, verify_files

_log = structlog.get_logger()

_SETTINGS: Final = (
    # Before WAL: one process only, so no shared memory beside the file.
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # What the WAL has taken it keeps, up to this, when it starts anew: as a rule, removing records then needs no room on a full disk.
    # Where it cannot start anew, because its file cannot grow, removing fails: the journal replaces the file when all is appended.
    "PRAGMA journal_size_limit = 16777216",
)

_SHRINK_BYTES: Final = 1024 * 1024
"""An empty journal whose file is larger than this gives the space back."""

_MOVED_AT_A_TIME: Final = 64
_MOVING_BYTES: Final = 16 * 1024 * 1024
"""More than what is moved at a time, a batch or so many refused records, can take."""

PROBE_BYTES: Final = 96 * 1024
"""More than one record takes: a body has at most 64 KiB."""


class Spool:
    """One spool file. It is opened when first needed, and anew after every failure."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """max_bytes: that the file may have; its WAL comes on top, with some megabytes."""
        self.path = path
        self.max_bytes = max_bytes
        self.size = SpoolSize()
        """As of the last call."""
        self._newest = 0
        """The highest sequence that was ever given. None is given twice while this object lives, also when the journal was empty in
        between: whoever holds a sequence may take what is up to it for what it was."""
        self._removed = 0
        """The highest sequence that has left the journal."""
        self._mark = MarkFile(path)
        self._connection: sqlite3.Connection | None = None
        self._damaged: sqlite3.Connection | None = None
        """The connection of a file that was found damaged, until it is closed."""
        self._is_verified = False
        """Whether the WAL that an earlier process left has been checked."""
        self._files: tuple[int, ...] = ()
        """Inodes of the open file and its WAL."""

    def open(self) -> None:
        """Open the file if it is not, and read its size. Raises as the other methods do."""
        with self._translated():
            self._open()

    def write(self, records: Sequence[Record]) -> None:
        """Put a batch at the journal's end; all of it is on the disk when this returns, or none.

        Raises SpoolUnavailableError when the disk or the limit does not allow it, SpoolDamagedError when the file is no good.
        """
        packed = [pack(record) for record in records]
        with self._translated():
            connection = self._require_in_place()
            with _transaction(connection):
                newest = self._put_last(connection, self._newest, packed)
            self._newest = newest
            self._write_mark()
            self._measure(connection, len(records), 0)

    def check(self) -> None:
        """Find out whether the file could be written to, while nothing has to be written. Raises as ``write`` does."""
        with self._translated():
            self._require_in_place()
            self._write_mark()

    def probe(self) -> None:
        """Write PROBE_BYTES to the disk and remove them again: two fsyncs. Raises as ``write`` does when there is no room for them."""
        with self._translated() as connection:
            connection.execute(statement("create_probe"))
            with _transaction(connection):
                connection.execute(statement("write_probe"), {"bytes": PROBE_BYTES})
            with self._beyond_the_limit(connection), _transaction(connection):
                connection.execute(statement("remove_probe"))

    def read(self, number: int, max_bytes: int, first: int = 0) -> list[Spooled]:
        """The oldest records from a sequence on: ``number`` at most, and no more than ``max_bytes`` of them, but one at least; none
        when there are none. Raises as ``write`` does."""
        found: list[Spooled] = []
        size = 0
        with self._translated() as connection:
            for sequence, kind, data in connection.execute(
                statement("read_journal"), {"first": first, "number": number}
            ):
                if sequence < first or not isinstance(data, bytes):
                    raise SpoolDamagedError(f"{self.path}: a row is not what was written")
                first, size = sequence + 1, size + len(data)
                if found and size > max_bytes:
                    break
                found.append(Spooled(sequence, unpack_if_readable(kind, data)))
            if not found and not first and self.size.events:
                # Sequences are contiguous only as long as nobody else deletes rows.
                self._measure(connection, -self.size.events, 0)
        return found

    def remove(self, last: int, refused: Sequence[Refusal] = ()) -> None:
        """Take everything up to a sequence out of the journal, because it has been appended, or refused, and then it is kept.
        Raises as ``write`` does."""
        with self._translated() as connection:
            with self._beyond_the_limit(connection), _transaction(connection):
                kept = [
                    {"kind": kind, "record": data, "reason": refusal.reason}
                    for refusal in refused
                    for sequence, kind, data in connection.execute(
                        statement("read_journal"), {"first": refusal.sequence, "number": 1}
                    )
                    if sequence == refusal.sequence
                ]
                removed = connection.execute(statement("remove_from_journal"), {"last": last}).rowcount
                connection.execute(statement("move_state"), {"last": min(last, self._newest)})
                connection.executemany(statement("refuse_record"), kept)
            self._removed = max(self._removed, min(last, self._newest))
            self._measure(connection, -removed, len(kept))
            self._write_mark()

    def retry_refused(self) -> None:
        """Put what was refused at the journal's end again. Raises as ``write`` does."""
        if self.size.refused:
            with self._translated() as connection:
                newest = self._newest
                with self._beyond_the_limit(connection), _transaction(connection):
                    # A few at a time, and out before in: there may be no more room than they take.
                    while rows := connection.execute(
                        statement("read_refused"), {"first": 0, "number": _MOVED_AT_A_TIME}
                    ).fetchall():
                        connection.execute(statement("remove_refused"), {"last": rows[-1][0]})
                        newest = self._put_last(connection, newest, [(kind, data) for _, kind, data in rows])
                self._newest = newest
                self._measure(connection, self.size.refused, -self.size.refused)
                self._write_mark()

    def shrink(self) -> None:
        """Give the space of an empty journal back. Does nothing when there is little. Raises as ``write`` does."""
        with self._translated() as connection:
            if not self.size.events and self.path.stat().st_size + self._wal.stat().st_size > _SHRINK_BYTES:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._measure(connection, 0, 0)

    def close(self) -> None:
        """Let go of the file; what is in it stays. One that was found damaged, and has been renamed, stays as it is, with its WAL:
        SQLite writes nothing on closing a database that is no longer in its place."""
        connections, self._connection, self._damaged = (self._connection, self._damaged), None, None
        self._mark.close()
        for connection in connections:
            if connection is not None:
                # What it could not put in order, the next one that opens the file will.
                with suppress(sqlite3.Error):
                    connection.close()

    def delete(self) -> None:
        """Delete the file with all that is in it. Raises SpoolUnavailableError."""
        self.close()
        try:
            mark = self._mark.read()
            if mark is not None:
                # Nothing is missed from now on, wherever this is interrupted.
                self._mark.write(mark._replace(removed=mark.newest, refused=0))
            # Before the WAL: a WAL without its file says nothing, a file without its WAL may be a lie.
            self.path.unlink(missing_ok=True)
            self._wal.unlink(missing_ok=True)
            self._mark.delete()
        except OSError as error:
            raise SpoolUnavailableError(f"{self.path}: {error}") from error
        self.size = SpoolSize()

    @property
    def _wal(self) -> Path:
        return self.path.with_name(self.path.name + spool_wal.SUFFIX)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            _make_directory(self.path.parent)
            mark = self._mark.read()
            # An older mark would not show what was lost: then the WAL is read, once.
            is_certain = self._is_verified or (mark is not None and mark.is_of_this_boot)
            verify_files(self.path, mark, reads_wal=not is_certain)
            self._is_verified = True
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                for setting in _SETTINGS:
                    connection.execute(setting)
                verify_contents(connection, self.path, mark)
                self._begin(connection, mark)
            except BaseException as error:
                if isinstance(error, SpoolDamagedError) or (isinstance(error, sqlite3.Error) and is_damage(error)):
                    # Closed after the file has been renamed: SQLite would write to it.
                    self._damaged = connection
                else:
                    connection.close()
                raise
            self._connection = connection
        return self._connection

    def _begin(self, connection: sqlite3.Connection, mark: Mark | None) -> None:
        """Make what is missing of the tables and the mark, and read the size."""
        self._limit(connection, self.max_bytes)
        for table in ("create_journal", "create_refused", "create_state"):
            connection.execute(statement(table))
        connection.execute(statement("begin_state"), {"removed": mark.newest if mark else 0})
        events, refused, newest, removed = connection.execute(statement("measure_journal")).fetchone()
        self.size = SpoolSize()
        self._newest, self._removed = max(self._newest, newest), removed
        self._measure(connection, events, refused)
        if mark is None:
            self._mark.create(Mark(self._newest, self._removed, refused))
        if read_user_version(connection) != MARKED:
            connection.execute(f"PRAGMA user_version = {MARKED}")
            # Into the file itself, where the loss of the WAL does not undo it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._files = self._inodes()

    def _require_in_place(self) -> sqlite3.Connection:
        """The connection to the file that has this path now. What is in a file that was moved or deleted while it was open is still
        drained, but nothing is added to it. Raises SpoolUnavailableError."""
        connection = self._open()
        if self._inodes() == self._files:
            return connection
        if self.size.events or self.size.refused:
            # Not closed: with the connection would go what is in the file.
            raise SpoolUnavailableError(
                f"{self.path}: it was moved or deleted while in use; the {self.size.events} events in it are drained"
            )
        self.close()
        return self._open()

    def _inodes(self) -> tuple[int, ...]:
        try:
            return self.path.stat().st_ino, self._wal.stat().st_ino
        except OSError:
            return ()

    def _write_mark(self) -> None:
        self._mark.write(Mark(self._newest, self._removed, self.size.refused))

    def _put_last(self, connection: sqlite3.Connection, newest: int, packed: Sequence[tuple[str, bytes]]) -> int:
        """Put packed records at the journal's end, behind this sequence. Returns the last one's."""
        connection.executemany(
            statement("write_journal"),
            [
                {"sequence": sequence, "kind": kind, "record": data}
                for sequence, (kind, data) in enumerate(packed, newest + 1)
            ],
        )
        return newest + len(packed)

    @contextmanager
    def _beyond_the_limit(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Let the file grow for a moment: what moves within it needs a page at its new place before it frees one at the old."""
        self._limit(connection, self.max_bytes + _MOVING_BYTES)
        try:
            yield
        finally:
            self._limit(connection, self.max_bytes)

    def _limit(self, connection: sqlite3.Connection, size: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {max(size // PAGE_BYTES, 16)}")

    def _measure(self, connection: sqlite3.Connection, more_events: int, more_refused: int) -> None:
        """Sizes are kept by addition: counting would read the whole file."""
        events, refused = self.size.events + more_events, self.size.refused + more_refused
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        self.size = SpoolSize(events, refused, (pages - free) * PAGE_BYTES if events or refused else 0)

    @contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        """The connection; after a failure it is closed, because its state is unknown, and the failure is one of ours. That of a damaged
        file is left to ``close``."""
        try:
            yield self._open()
        except (sqlite3.Error, OSError) as error:
            if is_damage(error):
                raise SpoolDamagedError(f"{self.path}: {error}") from error
            self.close()
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error | OSError) -> SpoolUnavailableError:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL:
            return SpoolUnavailableError(f"{self.path}: {error}")
        # SQLite says the same of its limit and of the disk.
        try:
            has_room = shutil.disk_usage(self.path.parent).free > _MOVING_BYTES
        except OSError:
            has_room = False
        if has_room:
            return SpoolFullError(
                f"the spool is full ({self.size.bytes} of {self.max_bytes} bytes): callbacks are refused until the database is back"
            )
        return SpoolUnavailableError(f"{self.path}: the disk is full")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


def _make_directory(directory: Path) -> None:
    """Callbacks hold phone numbers: the directory is its owner's alone. SQLite makes what it creates in there last; that the
    directory itself does is up to us."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
