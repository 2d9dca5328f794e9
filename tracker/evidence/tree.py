"""The Merkle tree of RFC 6962: SHA-256, with one prefix byte for leaves and another for interior nodes.

A tree of n leaves is defined by recursion: the left subtree has the largest power of two below n, the right one the rest.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of a tree without leaves (RFC 6962, section 2.1)."""


def hash_leaf(entry: bytes) -> bytes:
    """Hash of a leaf: SHA-256 of 0x00 and the entry."""
    return sha256(b"\0" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node: SHA-256 of 0x01 and both children."""
    return sha256(b"\1" + left + right).digest()


def hash_subtree(hashes: list[bytes]) -> bytes:
    """Root over the given node hashes of one level, at least one; the last subtree may be incomplete."""
    if not hashes:
        raise ValueError("a subtree has at least one hash")
    level = hashes
    while len(level) > 1:
        paired = [hash_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


class Frontier:
    """The roots of the complete subtrees of a growing tree, largest first: enough to append leaves and to compute the root."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """size: leaves so far. peaks: one hash per bit set in ``size``, largest subtree first."""
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} complete subtrees, not {len(self._peaks)}"
            )

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._peaks)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf by its hash."""
        node = leaf_hash
        for _ in range((~self.size & (self.size + 1)).bit_length() - 1):
            node = hash_node(self._peaks.pop(), node)
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = hash_node(peak, root)
        return root


def split_point(size: int) -> int:
    """Leaves in the left subtree of a tree of ``size`` leaves: the largest power of two below it. size: at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
