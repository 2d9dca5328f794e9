"""Inclusion and consistency proofs (RFC 9162, sections 2.1.3 and 2.1.4).

Provers read subtree roots through a function, so they work on hashes in memory, on tiles in a table and on tiles over
HTTP alike. Verifiers recompute the root from the proof and compare; they check sizes, indexes and lengths before they hash anything.
"""

from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final

from tracker.evidence.errors import ProofError
from tracker.evidence.tree import EMPTY_ROOT, HASH_BYTES, hash_node, split_point

MAX_SIZE: Final = 1 << 62
"""Largest tree size that is accepted. It bounds the length of a proof to 124 hashes."""

SubtreeRoot = Callable[[int, int], bytes]
"""Root of the complete subtree of 2**level leaves that starts at leaf ``number << level``: (level, number) → 32 bytes."""


def range_root(read: SubtreeRoot, start: int, end: int) -> bytes:
    """Root over the leaves ``start`` to ``end`` (exclusive), as a tree of its own. start: a multiple of the largest power of two
    that is at most ``end - start``. The root of the whole tree is ``range_root(read, 0, size)``."""
    size = end - start
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    middle = start + split_point(size)
    return hash_node(range_root(read, start, middle), range_root(read, middle, end))


def prove_inclusion(read: SubtreeRoot, index: int, size: int) -> list[bytes]:
    """Hashes from the leaf's sibling up to the root's child. Raises ProofError when the index is not in the tree."""
    _check_size(size)
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            proof.append(range_root(read, middle, end))
            end = middle
        else:
            proof.append(range_root(read, start, middle))
            start = middle
    proof.reverse()
    return proof


def prove_consistency(read: SubtreeRoot, old_size: int, size: int) -> list[bytes]:
    """Hashes that show that the first ``old_size`` leaves of the tree are the older tree. Empty when the sizes are equal, or the older
    tree is empty. Raises ProofError for sizes that do not fit."""
    _check_size(size)
    if not 0 <= old_size <= size:
        raise ProofError(f"a tree of {old_size} leaves is no prefix of one of {size}")
    if old_size in {0, size}:
        return []
    proof: list[bytes] = []
    start, end = 0, size
    while start + split_point(end - start) != old_size and end != old_size:
        middle = start + split_point(end - start)
        if old_size < middle:
            proof.append(range_root(read, middle, end))
            end = middle
        else:
            proof.append(range_root(read, start, middle))
            start = middle
    if end == old_size:
        proof.append(range_root(read, start, end))
    else:
        middle = start + split_point(end - start)
        proof.append(range_root(read, middle, end))
        # The old tree is a complete subtree from leaf 0 on: a verifier knows its root already.
        if start != 0:
            proof.append(range_root(read, start, middle))
    proof.reverse()
    return proof


def root_from_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Root that an inclusion proof leads to (RFC 9162, section 2.1.3.2). Raises ProofError when the proof has the wrong form."""
    _check_size(size)
    _check_hashes([leaf_hash, *proof])
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        raise ProofError(f"the proof has {len(proof)} hashes, not {inner + border}")
    root = leaf_hash
    for level, sibling in enumerate(proof[:inner]):
        root = hash_node(sibling, root) if index >> level & 1 else hash_node(root, sibling)
    for sibling in proof[inner:]:
        root = hash_node(sibling, root)
    return root


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf is at ``index`` of the tree with this size and root. Raises ProofError."""
    if not compare_digest(root_from_inclusion(leaf_hash, index, size, proof), root):
        raise ProofError("the inclusion proof does not lead to the root")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the older tree is a prefix of the newer one (RFC 9162, section 2.1.4.2). Raises ProofError."""
    _check_size(size)
    _check_hashes([old_root, root, *proof])
    if not 0 <= old_size <= size:
        raise ProofError(f"a tree of {old_size} leaves is no prefix of one of {size}")
    if old_size in {0, size}:
        if proof:
            raise ProofError(f"the proof from {old_size} to {size} leaves must be empty")
        if not compare_digest(old_root, root if old_size else EMPTY_ROOT):
            raise ProofError("the older root is not the root of that size")
        return
    old, new = _roots_from_consistency(old_size, old_root, size, proof)
    if not (compare_digest(old, old_root) and compare_digest(new, root)):
        raise ProofError("the consistency proof does not lead to both roots")


def _roots_from_consistency(old_size: int, old_root: bytes, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Both roots that a proof leads to, for 0 < old_size < size. Raises ProofError when the proof has the wrong length."""
    inner = ((old_size - 1) ^ (size - 1)).bit_length()
    border = ((old_size - 1) >> inner).bit_count()
    shift = (old_size & -old_size).bit_length() - 1
    # A complete old tree is its own first subtree: the proof leaves its root out.
    path = list(proof) if old_size != 1 << shift else [old_root, *proof]
    if len(path) != 1 + inner - shift + border:
        raise ProofError(f"the consistency proof has {len(proof)} hashes, which does not fit the sizes")
    old = new = path[0]
    for level, sibling in enumerate(path[1 : 1 + inner - shift], start=shift):
        if (old_size - 1) >> level & 1:
            old, new = hash_node(sibling, old), hash_node(sibling, new)
        else:
            new = hash_node(new, sibling)
    for sibling in path[1 + inner - shift :]:
        old, new = hash_node(sibling, old), hash_node(sibling, new)
    return old, new


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise ProofError("the tree size is out of range")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
