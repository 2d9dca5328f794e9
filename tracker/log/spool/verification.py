"""Verifies a spool when it is opened: whether the file, its write-ahead log (WAL) and its mark agree.

SQLite itself finds pages that are damaged, and drops the rest of a damaged WAL without a word; this finds what is missing then.
"""

import sqlite3
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import SpoolDamagedError
from tracker.log.spool import wal as spool_wal
from tracker.log.spool.mark import Mark
from tracker.log.spool.sqlite import MARKED, PAGE_BYTES, read_user_version, statement

_log = structlog.get_logger()

_TABLES: Final = 3
"""Of a spool that has a mark."""


def verify_files(path: Path, mark: Mark | None, *, reads_wal: bool) -> None:
    """What can be seen before SQLite opens the file: it deletes a WAL beside an empty file.

    reads_wal: whether to read the whole WAL, up to a second for its usual 4 MB. Raises SpoolDamagedError, OSError.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory")
    if _size(path) == 0:
        held = mark.held if mark else 0
        if held or (mark is None and _size(_wal(path)) > spool_wal.HEADER_BYTES):
            raise SpoolDamagedError(f"{path}: the file is missing or empty; {held} records were in it")
    elif reads_wal:
        _verify_wal(path)


def verify_contents(connection: sqlite3.Connection, path: Path, mark: Mark | None) -> None:
    """Compare what SQLite has recovered with the mark. Writes nothing. Raises SpoolDamagedError, sqlite3.Error."""
    if mark is None:
        if read_user_version(connection) == MARKED:
            # As when a file was brought from another machine without it. What the file has lost, if anything, cannot be found out.
            _log.warning("spool.mark_missing", file=str(path))
        return
    newest = 0
    if connection.execute(statement("count_tables")).fetchone()[0] == _TABLES:
        *_, newest, _ = connection.execute(statement("measure_journal")).fetchone()
    if newest < mark.newest and not (newest == 0 and mark.held == 0):
        # Says more, if it is the WAL.
        _verify_wal(path)
        raise SpoolDamagedError(
            f"{path}: the last {mark.newest - newest} of {mark.newest} records are missing; its WAL is cut or gone"
        )


def _verify_wal(path: Path) -> None:
    found = spool_wal.find_damage(_wal(path), PAGE_BYTES)
    if found is not None:
        raise SpoolDamagedError(f"{path}: {found}")


def _wal(path: Path) -> Path:
    return path.with_name(path.name + spool_wal.SUFFIX)


def _size(path: Path) -> int:
    """In bytes; 0 for a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
