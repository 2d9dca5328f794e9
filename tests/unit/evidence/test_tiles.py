"""Tiles and entry bundles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evidence.trees import defined_root, numbered_leaves
from tracker.evidence.errors import EvidenceError
from tracker.evidence.proofs import prove_inclusion, range_root, verify_inclusion
from tracker.evidence.tiles import (
    ENTRIES,
    Tile,
    decode_bundle,
    encode_bundle,
    parse_path,
    split_hashes,
    subtree_reader,
    tile_at,
    tiles_of,
)
from tracker.evidence.tree import hash_subtree


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "0/x001/x234/067"),
        (Tile(0, 0), "0/000"),
        (Tile(0, 1000), "0/x001/000"),
        (Tile(2, 0, 1), "2/000.p/1"),
        (Tile(ENTRIES, 273, 112), "entries/273.p/112"),
    ],
)
def test_path_of_a_tile(tile: Tile, path: str) -> None:
    """A tile's number stands in groups of three digits, and the width of a partial tile behind it."""
    assert tile.path() == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/0", "0/0000", "00/000", "0/x000/000", "0/001/000", "0/000.p/256", "0/000.p/0", "0/000.p/01", "6/000", "-1/000", "0/000/",
     "entries/", "0/" + "x001/" * 20 + "000", "０/000"],
)  # fmt: skip
def test_another_spelling_of_a_path_is_refused(path: str) -> None:
    """One tile has one path: leading groups of zeros, other widths, and levels that no tree has are refused."""
    with pytest.raises(EvidenceError):
        parse_path(path)


@given(st.integers(-1, 5), st.integers(0, 10**9), st.integers(1, 256))
def test_a_path_is_read_back(level: int, number: int, width: int) -> None:
    """Every tile is read back from its path."""
    assert parse_path(Tile(level, number, width).path()) == Tile(level, number, width)


def test_tiles_of_a_tree_of_seventy_thousand_leaves() -> None:
    """70,000 leaves have 273 full tiles and one of 112 at level 0, one full tile and one of 17 at level 1, and one of 1 at level 2."""
    tiles = list(tiles_of(70_000))
    assert [tile for tile in tiles if not tile.is_full] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [sum(tile.level == level and tile.is_full for tile in tiles) for level in range(3)] == [273, 1, 0]


def test_tiles_of_a_tree_of_256_leaves() -> None:
    """256 leaves fill one tile of level 0, whose root is alone in one of level 1."""
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert tile_at(0, 1, 256) is None


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 600, 65_537])
def test_proofs_are_made_from_tiles(size: int) -> None:
    """Root and proofs that are read from tiles are those of the leaves, and no hash beyond the tree is asked for."""
    leaves = numbered_leaves(size)
    levels = [leaves]
    while len(levels[-1]) >= 256:
        last = levels[-1]
        levels.append([hash_subtree(last[start : start + 256]) for start in range(0, len(last) // 256 * 256, 256)])

    def read_tile(level: int, number: int, count: int) -> bytes:
        hashes = levels[level][number * 256 : (number + 1) * 256]
        assert count <= len(hashes)
        return b"".join(hashes)

    read = subtree_reader(read_tile, size)
    root = range_root(read, 0, size)
    assert root == defined_root(leaves)
    for index in {0, size // 2, size - 1}:
        verify_inclusion(leaves[index], index, size, prove_inclusion(read, index, size), root)
    with pytest.raises(EvidenceError):
        read(0, size)


@pytest.mark.parametrize("data", [b"\0", bytes(31), bytes(33), bytes(257 * 32)])
def test_what_is_no_tile_is_refused(data: bytes) -> None:
    """A tile has whole hashes, and at most 256."""
    with pytest.raises(EvidenceError):
        split_hashes(data)


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_is_read_back(entries: list[bytes]) -> None:
    """Entries come out of a bundle as they went in, empty ones too."""
    assert decode_bundle(encode_bundle(entries)) == entries


@pytest.mark.parametrize("bundle", [b"\0", b"\0\1", b"\0\2a", bytes(2 * 257)])
def test_a_bundle_that_ends_inside_an_entry_is_refused(bundle: bytes) -> None:
    """A bundle has whole entries, and at most 256; an entry of 65,536 bytes does not fit into one."""
    with pytest.raises(EvidenceError):
        decode_bundle(bundle)
    with pytest.raises(EvidenceError):
        encode_bundle([bytes(65_536)])
    assert len(encode_bundle([bytes(65_535)])) == 65_537
