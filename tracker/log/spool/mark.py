"""The mark of a spool: how many records it has acknowledged, in a small file beside it.

SQLite recovers what is valid of a write-ahead log (WAL) and drops the rest without an error: a WAL that was damaged, cut, emptied or
deleted looks like one to which nothing was ever written. So the highest sequence that was acknowledged is also written here, after each
commit. A spool that opens with a lower one has lost records.

Cost: one ``pwrite`` of 76 bytes per batch, without waiting for the disk, and at most one ``fdatasync`` per SYNC_SECONDS. The mark survives
a kill of the process exactly. After a power cut it may be some seconds old, which can hide a loss and never invents one; for that case
the WAL itself is checked (``spool_wal``).
"""

import os
import struct
import time
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from tracker.errors import SpoolDamagedError

SUFFIX: Final = "-mark"
"""Behind the name of the spool file."""

SYNC_SECONDS: Final = 1.0
"""Time between two writes to the disk while records are acknowledged."""

_SLOT_BYTES: Final = 512
"""Two slots are written in turn, each in a sector of its own, so that an interrupted write leaves the other one."""

_MAGIC: Final = b"spool-1\n"
_SLOT: Final = Struct("!8sQQQQ32s")
_CHECKSUM: Final = Struct("!I")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Mark(NamedTuple):
    """What a spool holds according to its mark. Sequences start at 1."""

    newest: int = 0
    """The highest sequence that was acknowledged."""
    removed: int = 0
    """Everything up to this sequence is in the database, or refused by it."""
    refused: int = 0
    """Records that the database refused and the spool keeps."""
    is_of_this_boot: bool = False
    """Whether the machine has run since it was written, so that it cannot be older than the last acknowledgement."""

    @property
    def held(self) -> int:
        """Records that are in the spool and nowhere else."""
        return self.newest - self.removed + self.refused


class MarkFile:
    """The mark of one spool file. It is opened when it is first needed."""

    def __init__(self, spool: Path) -> None:
        self.path = spool.with_name(spool.name + SUFFIX)
        self._descriptor: int | None = None
        self._generation = 0
        self._synced_at = 0.0
        self._boot = _read_boot_id()

    def read(self) -> Mark | None:
        """The mark; None when there is no file. Raises SpoolDamagedError when it is unreadable, OSError."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [slot for place in (0, 1) if (slot := _unpack(content[place * _SLOT_BYTES :])) is not None]
        if not slots:
            raise SpoolDamagedError(f"{self.path}: the mark is unreadable")
        self._generation, newest, removed, refused, boot = max(slots)
        return Mark(newest, removed, refused, any(boot) and boot == self._boot)

    def create(self, mark: Mark) -> None:
        """Make the file, whole or not at all, and synchronise it with the disk. Raises OSError."""
        self.close()
        draft = self.path.with_name(f"{self.path.name}.draft")
        self._generation = 1
        slot = _pack(self._generation, mark, self._boot)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # The space of both slots is taken now: later writes succeed on a full disk too.
            os.write(descriptor, slot.ljust(_SLOT_BYTES, b"\0") + slot.ljust(_SLOT_BYTES, b"\0"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(self.path)
        _sync_directory(self.path.parent)

    def write(self, mark: Mark) -> None:
        """Replace the mark. Raises OSError."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY)
        self._generation += 1
        os.pwrite(self._descriptor, _pack(self._generation, mark, self._boot), self._generation % 2 * _SLOT_BYTES)
        now = time.monotonic()
        if now - self._synced_at >= SYNC_SECONDS:
            self._synced_at = now
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def delete(self) -> None:
        """Delete the file. Raises OSError."""
        self.close()
        self.path.unlink(missing_ok=True)


def _pack(generation: int, mark: Mark, boot: bytes) -> bytes:
    packed = _SLOT.pack(_MAGIC, generation, mark.newest, mark.removed, mark.refused, boot)
    return packed + _CHECKSUM.pack(crc32(packed))


def _unpack(slot: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Generation, newest, removed, refused, boot; None when it is not what was written."""
    try:
        magic, generation, newest, removed, refused, boot = _SLOT.unpack_from(slot)
        (checksum,) = _CHECKSUM.unpack_from(slot, _SLOT.size)
    except struct.error:
        return None
    if magic != _MAGIC or checksum != crc32(slot[: _SLOT.size]):
        return None
    return generation, newest, removed, refused, boot


def _read_boot_id() -> bytes:
    """32 hexadecimal digits, new with every boot of the machine; 32 zero bytes where the system has none."""
    try:
        found = _BOOT_ID.read_bytes().strip().replace(b"-", b"")
    except OSError:
        found = b""
    return found[:32].ljust(32, b"\0")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
