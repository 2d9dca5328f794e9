"""Tiles (C2SP tlog-tiles): how a tree's hashes are stored and addressed.

A tile of level L holds up to 256 hashes, each the root of a complete subtree of 256**L leaves. Full tiles never change. The
right edge of the tree is partial, and its width is part of its path.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from tracker.evidence.errors import EvidenceError
from tracker.evidence.leaf import MAX_ENTRY_BYTES
from tracker.evidence.proofs import SubtreeRoot
from tracker.evidence.tree import HASH_BYTES, hash_subtree

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_LEVEL: Final = 5
"""Highest level that a tree in use reaches: level 5 covers 256**6 leaves, which is 2.8 × 10**14."""

_PATH: Final = re.compile(
    r"(?:(?P<level>0|[1-9][0-9]?)|(?P<entries>entries))/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_LENGTH_BYTES: Final = 2


class Tile(msgspec.Struct, frozen=True, order=True):
    """Address of a tile."""

    level: int
    """From 0; -1 for a bundle of entries."""
    number: int
    width: int = TILE_WIDTH
    """Hashes in it, 1 to 256."""

    @property
    def is_full(self) -> bool:
        """Whether it has all its hashes and never changes."""
        return self.width == TILE_WIDTH

    def path(self) -> str:
        """The path below ``/tile/``: ``0/x001/x234/067`` or ``entries/000.p/17``."""
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"{level}/{'/'.join(groups)}" + ("" if self.is_full else f".p/{self.width}")


ENTRIES: Final = -1
"""Level of entry bundles, which have the numbers and widths of level 0."""


def parse_path(path: str) -> Tile:
    """The tile of a path below ``/tile/``. Raises EvidenceError for any other spelling of it."""
    found = _PATH.fullmatch(path)
    if found is None or len(path) > 64:  # noqa: PLR2004  # far beyond any real path
        raise EvidenceError("no path of a tile")
    level = ENTRIES if found["entries"] else int(found["level"])
    number = int("".join(part.removeprefix("x") for part in found["number"].split("/")))
    tile = Tile(level, number, int(found["width"] or TILE_WIDTH))
    if level > MAX_LEVEL or tile.path() != path:
        raise EvidenceError("no path of a tile")
    return tile


def tile_at(level: int, number: int, size: int) -> Tile | None:
    """The tile with this level and number in a tree of ``size`` leaves; None when the tree has no such tile."""
    hashes = size >> (TILE_HEIGHT * level)
    width = min(TILE_WIDTH, hashes - number * TILE_WIDTH)
    return Tile(level, number, width) if width > 0 else None


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of a tree of ``size`` leaves, level by level, full ones first."""
    level = 0
    while hashes := size >> (TILE_HEIGHT * level):
        for number in range(-(-hashes // TILE_WIDTH)):
            tile = tile_at(level, number, size)
            assert tile is not None
            yield tile
        level += 1


def subtree_reader(read_tile: Callable[[int, int, int], bytes], size: int) -> SubtreeRoot:
    """A reader of subtree roots for provers.

    read_tile: (level, number, at least so many hashes) → the tile's hashes, concatenated. size: of the tree that proofs are made for; hashes
    beyond it are never asked for.
    """

    def read(level: int, number: int) -> bytes:
        tile_level, inside = divmod(level, TILE_HEIGHT)
        first = number << inside
        tile_number, offset = divmod(first, TILE_WIDTH)
        count = 1 << inside
        if ((number + 1) << level) > size:
            raise EvidenceError(f"no complete subtree {level}/{number} in a tree of {size} leaves")
        data = read_tile(tile_level, tile_number, offset + count)
        hashes = split_hashes(data)[offset : offset + count]
        if len(hashes) != count:
            raise EvidenceError(f"tile {tile_level}/{tile_number} is too short")
        return hash_subtree(hashes)

    return read


def split_hashes(tile: bytes) -> list[bytes]:
    """The hashes of a tile. Raises EvidenceError when its length is no multiple of 32, or more than 256 hashes."""
    if len(tile) % HASH_BYTES or len(tile) > TILE_WIDTH * HASH_BYTES:
        raise EvidenceError("a tile is a sequence of at most 256 hashes")
    return [tile[start : start + HASH_BYTES] for start in range(0, len(tile), HASH_BYTES)]


def encode_bundle(entries: list[bytes]) -> bytes:
    """A bundle of entries: each with its length as a 16-bit number before it. Raises EvidenceError for an entry that is too long."""
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise EvidenceError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def decode_bundle(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises EvidenceError when it ends inside an entry, or has more than 256."""
    entries: list[bytes] = []
    start = 0
    while start < len(bundle):
        end = start + _LENGTH_BYTES + int.from_bytes(bundle[start : start + _LENGTH_BYTES], "big")
        if end > len(bundle) or start + _LENGTH_BYTES > len(bundle) or len(entries) == TILE_WIDTH:
            raise EvidenceError("not a bundle of at most 256 whole entries")
        entries.append(bundle[start + _LENGTH_BYTES : end])
        start = end
    return entries
