"""Roots of RFC 6962 trees."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evidence.trees import defined_root, numbered_leaves, subtree_reader
from tracker.evidence.proofs import range_root
from tracker.evidence.tree import Frontier, hash_leaf, hash_subtree

CT_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""Leaves of the reference tree of Certificate Transparency."""

CT_ROOTS = [
    ("6e340b9c", "fa01d"), ("fac54203", "3c125"), ("aeb6bcfe", "06e77"), ("d37ee418", "614b7"),
    ("4e3bbb1f", "264d4"), ("76e67dad", "087ef"), ("ddb89be4", "74c8c"), ("5dc9da79", "04328"),
]  # fmt: skip
"""First and last hexadecimal digits of the roots over its first 1 … 8 leaves."""

TESSERA_LEAVES = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eit",
    "nain",
    "ten",
    "ileven",
    "twelf",
    "threeten",
    "fourten",
    "fivten",
]
TESSERA_ROOT = "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs="


@pytest.mark.parametrize(("size", "digits"), list(enumerate(CT_ROOTS, start=1)))
def test_root_of_the_reference_tree(size: int, digits: tuple[str, str]) -> None:
    """The roots over Certificate Transparency's reference leaves are the published ones."""
    root = hash_subtree([hash_leaf(leaf) for leaf in CT_LEAVES[:size]]).hex()
    assert (root[: len(digits[0])], root[-len(digits[1]) :]) == digits


def test_root_of_the_tessera_test_log() -> None:
    """The root over the fifteen leaves of Tessera's test log is the one in its checkpoint."""
    frontier = Frontier()
    for leaf in TESSERA_LEAVES:
        frontier.append(hash_leaf(leaf.encode()))
    assert base64.b64encode(frontier.root()).decode() == TESSERA_ROOT


@given(st.integers(0, 300))
def test_every_way_to_a_root_agrees_with_the_definition(size: int) -> None:
    """A growing frontier, pairing level by level, and reading subtrees give the root of the recursive definition."""
    leaves = numbered_leaves(size)
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    assert frontier.root() == defined_root(leaves)
    assert range_root(subtree_reader(leaves), 0, size) == defined_root(leaves)
    if leaves:
        assert hash_subtree(leaves) == defined_root(leaves)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_frontier_resumes_from_its_peaks(size: int, more: int) -> None:
    """A frontier made from size and peaks goes on as the one that they were taken from."""
    leaves = numbered_leaves(size + more)
    first = Frontier()
    for leaf in leaves[:size]:
        first.append(leaf)
    resumed = Frontier(first.size, first.peaks)
    for leaf in leaves[size:]:
        resumed.append(leaf)
    assert resumed.root() == defined_root(leaves)


def test_a_frontier_refuses_peaks_that_do_not_fit() -> None:
    """A size with two bits set needs two peaks."""
    with pytest.raises(ValueError, match="2 complete subtrees"):
        Frontier(3, [b"\0" * 32])
