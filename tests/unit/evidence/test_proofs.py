"""Inclusion and consistency proofs."""

import base64
import itertools
import os
import random
import subprocess
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evidence.trees import defined_root, numbered_leaves, subtree_reader
from tracker.evidence.errors import ProofError
from tracker.evidence.proofs import (
    MAX_SIZE,
    prove_consistency,
    prove_inclusion,
    range_root,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)
from tracker.evidence.tree import EMPTY_ROOT, hash_leaf

GO_ANSWERS = Path(__file__).parent / "go_answers.json"
"""What Go's golang.org/x/mod/sumdb/tlog answered to ``main.go 3000 5000 1``."""

ORACLE = Path(__file__).parents[2] / "evidence_oracle" / "main.go"


class GoAnswers(msgspec.Struct):
    """Output of the oracle."""

    leaves: int
    seed: int
    cases: list[tuple[int, int, int, str, str, str]]
    """Size, index, older size, root, digests of the inclusion and the consistency proof."""


@given(st.data())
def test_every_inclusion_proof_verifies_and_no_other_does(data: st.DataObject) -> None:
    """A proof verifies at its own index, size and root; at a neighbouring index or size, or for another leaf, it is refused."""
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = numbered_leaves(size + 1)
    proof = prove_inclusion(subtree_reader(leaves), index, size)
    root = defined_root(leaves[:size])
    verify_inclusion(leaves[index], index, size, proof, root)
    for other_leaf, other_index, other_size in [
        (leaves[size], index, size),
        (leaves[index], index + 1, size),
        (leaves[index], index - 1, size),
    ]:
        with pytest.raises(ProofError):
            verify_inclusion(other_leaf, other_index, other_size, proof, root)
    with pytest.raises(ProofError):
        verify_inclusion(leaves[index], index, size, [*proof, b"\0" * 32], root)


@given(st.data())
def test_every_consistency_proof_verifies(data: st.DataObject) -> None:
    """A tree is consistent with each of its prefixes, and not with a prefix whose last leaf is another one."""
    size = data.draw(st.integers(0, 200))
    old_size = data.draw(st.integers(0, size))
    leaves = numbered_leaves(size)
    proof = prove_consistency(subtree_reader(leaves), old_size, size)
    old_root, root = defined_root(leaves[:old_size]), defined_root(leaves)
    verify_consistency(old_size, old_root, size, root, proof)
    if old_size:
        forged = defined_root([*leaves[: old_size - 1], hash_leaf(b"forged")])
        with pytest.raises(ProofError):
            verify_consistency(old_size, forged, size, root, proof)


@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_a_proof_that_is_too_short_for_the_size_is_refused(size: int) -> None:
    """The proof from 2 to 3 leaves does not pass for 5 to 8 leaves, which a verifier without RFC 9162's last condition accepts. (For 4
    leaves it has the right length, and RFC 9162 and Go accept it too: the root alone does not tell 3 leaves from 4.)"""
    leaves = numbered_leaves(4)
    proof = prove_consistency(subtree_reader(leaves), 2, 3)
    old_root, root = defined_root(leaves[:2]), defined_root(leaves[:3])
    verify_consistency(2, old_root, 3, root, proof)
    with pytest.raises(ProofError):
        verify_consistency(2, old_root, size, root, proof)


def test_equal_and_empty_trees_need_an_empty_proof() -> None:
    """An empty proof shows a tree consistent with itself and with the empty tree, and nothing else."""
    root = defined_root(numbered_leaves(5))
    verify_consistency(5, root, 5, root, [])
    verify_consistency(0, EMPTY_ROOT, 5, root, [])
    for old_size, old_root, proof in [(5, EMPTY_ROOT, []), (0, root, []), (0, EMPTY_ROOT, [root]), (5, root, [root])]:
        with pytest.raises(ProofError):
            verify_consistency(old_size, old_root, 5, root, proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (0, MAX_SIZE + 1)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    """Prover and verifier refuse an index that the tree does not have, and sizes that no tree has."""
    with pytest.raises(ProofError):
        prove_inclusion(subtree_reader(numbered_leaves(4)), index, size)
    with pytest.raises(ProofError):
        root_from_inclusion(b"\0" * 32, index, size, [])


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_every_one_bit_mutation_of_a_thousand_proofs_is_refused(step: int) -> None:
    """Of 1,000 proofs, no proof with one bit changed verifies: 500 of inclusion, 500 of consistency. Each bit in so many is changed."""
    chance = random.Random(6962)
    leaves = numbered_leaves(16)
    read = subtree_reader(leaves)
    mutations = accepted = 0
    for number in range(1000):
        size = chance.randint(2, 16)
        root = range_root(read, 0, size)
        index = chance.randrange(1, size)
        old_root = range_root(read, 0, index)
        proof = prove_inclusion(read, index, size) if number % 2 else prove_consistency(read, index, size)
        for place, bit in itertools.product(range(len(proof)), range(number % step, 256, step)):
            changed = bytearray(proof[place])
            changed[bit // 8] ^= 1 << bit % 8
            mutated = [*proof[:place], bytes(changed), *proof[place + 1 :]]
            mutations += 1
            try:
                if number % 2:
                    verify_inclusion(leaves[index], index, size, mutated, root)
                else:
                    verify_consistency(index, old_root, size, root, mutated)
            except ProofError:
                continue
            accepted += 1
    assert mutations > 500_000 // step
    assert accepted == 0


def check_answers(answers: GoAnswers) -> None:
    """Roots and proofs are the ones that Go made."""
    leaves = [hash_leaf(str(number).encode()) for number in range(answers.leaves)]
    read = subtree_reader(leaves)
    for size, index, old_size, root, inclusion, consistency in answers.cases:
        assert _base64(range_root(read, 0, size)[:16]) == root
        assert _digest(prove_inclusion(read, index, size)) == inclusion
        assert _digest(prove_consistency(read, old_size, size)) == consistency


def test_answers_of_go() -> None:
    """Proofs and roots agree with 5,000 answers of Go's sumdb/tlog for random sizes, indexes and older sizes."""
    answers = msgspec.json.decode(GO_ANSWERS.read_bytes(), type=GoAnswers)
    assert len(answers.cases) == 5000
    check_answers(answers)


@pytest.mark.long
def test_a_hundred_thousand_answers_of_go(tmp_path: Path) -> None:
    """Proofs and roots agree with 100,000 fresh answers of Go's sumdb/tlog. Needs Debian's golang-go and golang-golang-x-mod-dev."""
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(tmp_path)}
    seed = str(random.SystemRandom().randrange(2**31))
    run = subprocess.run(
        ["go", "run", str(ORACLE), "20000", "100000", seed], env=environment, capture_output=True, check=True
    )
    check_answers(msgspec.json.decode(run.stdout, type=GoAnswers))


def _digest(proof: list[bytes]) -> str:
    return _base64(sha256(b"".join(proof)).digest()[:16])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
