"""Trees in memory, and the definition of RFC 6962 written out: the oracle of the proofs' tests."""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256

from tracker.evidence.tree import hash_leaf


def numbered_leaves(count: int) -> list[bytes]:
    """Hashes of the leaves "0", "1", … as decimal text."""
    return [hash_leaf(str(number).encode()) for number in range(count)]


def defined_root(hashes: Sequence[bytes]) -> bytes:
    """Root by the recursive definition (RFC 6962, section 2.1)."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\1" + defined_root(hashes[:split]) + defined_root(hashes[split:])).digest()


def subtree_reader(hashes: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Roots of complete subtrees over leaf hashes in memory."""

    @cache
    def read(level: int, number: int) -> bytes:
        if level == 0:
            return hashes[number]
        return sha256(b"\1" + read(level - 1, 2 * number) + read(level - 1, 2 * number + 1)).digest()

    return read
