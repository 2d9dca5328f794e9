"""SQLite's write-ahead log (WAL) of a spool, read without SQLite: whether it is damaged, and what can be recovered of it.

Format (https://www.sqlite.org/fileformat2.html#the_write_ahead_log): a header of 32 bytes, then frames of 24 bytes and a page each. The
checksum in a frame covers its page and continues that of the frame before, so SQLite stops at the first frame that is damaged and drops
all frames after it. But the *stored* checksum of a damaged frame lets the next one be verified by itself.
"""

import array
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

SUFFIX: Final = "-wal"

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24

_HEADER: Final = Struct(">8I")
"""Magic number, version, page size, checkpoint sequence, two salts, two checksums."""
_FRAME: Final = Struct(">6I")
"""Page number, size of the database in pages after a commit or 0, two salts, two checksums."""
_MAGIC: Final = 0x377F0682
"""Its last bit: checksums read their words as big-endian."""
_VERSION: Final = 3_007_000
_WORD: Final = 0xFFFFFFFF

_Sums = tuple[int, int]


class _Frame(NamedTuple):
    """A frame of the generation that the WAL has now; older ones are left over from before a checkpoint."""

    header: bytes
    page: bytes
    is_commit: bool
    is_chained: bool
    """Whether it continues the checksum that SQLite has computed so far."""
    is_intact: bool
    """Whether it continues the checksum that is stored in the frame before."""


def find_damage(wal: Path, page_bytes: int) -> str | None:
    """What is wrong with a WAL, None when nothing is. A write that was interrupted is no damage: it leaves at most one commit behind
    the last valid frame. Raises OSError."""
    content = _read(wal)
    if len(content) <= HEADER_BYTES:
        return None
    if not _is_header(content, page_bytes):
        return "the header of its WAL is damaged"
    broken_at = None
    commits_behind = 0
    for number, frame in enumerate(_frames(content, page_bytes), 1):
        if broken_at is None and not frame.is_chained:
            broken_at = number
        if broken_at is not None:
            commits_behind += frame.is_commit
    if commits_behind > 1:
        return f"frame {broken_at} of its WAL is damaged, and {commits_behind} commits follow"
    return None


def repair(wal: Path, repaired: Path, page_bytes: int) -> tuple[int, int]:
    """Write a WAL of all intact frames, from which SQLite reads more than from the damaged one. Returns the numbers of frames that were
    written and left out. Raises OSError.

    A page that is left out has the content of an earlier commit; what was in it and not in a later frame is lost.
    """
    content = _read(wal)
    frames = list(_frames(content, page_bytes))
    kept = [frame for frame in frames if frame.is_intact]
    while kept and not kept[-1].is_commit:
        kept.pop()
    salts = kept[0].header[8:16] if kept else bytes(8)
    header = _HEADER.pack(_MAGIC | 1, _VERSION, page_bytes, 0, *Struct(">2I").unpack(salts), 0, 0)[:24]
    sums = _checksum(header, (0, 0), is_big=True)
    with repaired.open("wb") as file:
        file.write(header + Struct(">2I").pack(*sums))
        for frame in kept:
            sums = _checksum(frame.header[:8] + frame.page, sums, is_big=True)
            file.write(frame.header[:16] + Struct(">2I").pack(*sums) + frame.page)
    return len(kept), len(frames) - len(kept)


def _read(wal: Path) -> bytes:
    try:
        return wal.read_bytes()
    except FileNotFoundError:
        return b""


def _is_header(content: bytes, page_bytes: int) -> bool:
    magic, version, size, _, _, _, *sums = _HEADER.unpack_from(content)
    return (
        magic | 1 == _MAGIC | 1
        and version == _VERSION
        and size == page_bytes
        and _checksum(content[:24], (0, 0), is_big=bool(magic & 1)) == tuple(sums)
    )


def _frames(content: bytes, page_bytes: int) -> Iterator[_Frame]:
    """All frames of the current generation. The header may be damaged: then the first frame tells the generation."""
    size = FRAME_HEADER_BYTES + page_bytes
    if len(content) < HEADER_BYTES + size:
        return
    has_header = _is_header(content, page_bytes)
    magic, *_, first, second = _HEADER.unpack_from(content)
    is_big = bool(magic & 1) if magic | 1 == _MAGIC | 1 else sys.byteorder == "big"
    salts = content[16:24] if has_header else content[HEADER_BYTES + 8 : HEADER_BYTES + 16]
    computed: _Sums | None = (first, second) if has_header else None
    stored: _Sums = (first, second)
    for at in range(HEADER_BYTES, len(content) - size + 1, size):
        header, page = content[at : at + FRAME_HEADER_BYTES], content[at + FRAME_HEADER_BYTES : at + size]
        _, commit, _, _, *sums = _FRAME.unpack(header)
        if header[8:16] != salts:
            # The rest of an older generation, or a frame whose header is damaged: then its stored checksum is as good as none.
            computed = None
            stored = (sums[0], sums[1])
            continue
        is_chained = computed is not None and _checksum(header[:8] + page, computed, is_big) == tuple(sums)
        is_intact = is_chained or _checksum(header[:8] + page, stored, is_big) == tuple(sums)
        stored = (sums[0], sums[1])
        computed = stored if is_chained else None
        yield _Frame(header, page, commit > 0, is_chained, is_intact)


def _checksum(data: bytes, sums: _Sums, is_big: bool) -> _Sums:
    """Continue a checksum over data, whose length is a multiple of eight bytes."""
    words = array.array("I", data)
    assert words.itemsize == 4  # noqa: PLR2004  # bytes; as on every system with SQLite
    if is_big != (sys.byteorder == "big"):
        words.byteswap()
    first, second = sums
    pairs = iter(words)
    for one, other in zip(pairs, pairs, strict=True):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return first, second
