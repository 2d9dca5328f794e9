"""Proof files and policies."""

import pytest

from tests.unit.evidence.test_note import NOTE, ORIGIN, SIGNER, VKEY
from tracker.evidence.checkpoint import Checkpoint
from tracker.evidence.errors import EvidenceError, NoteError, ProofError
from tracker.evidence.note import Cosigner, Note, Signer, parse_vkey, sign_note
from tracker.evidence.policy import parse_policy
from tracker.evidence.tlog_proof import parse_tlog_proof
from tracker.evidence.tree import hash_leaf

PROOF = f"""c2sp.org/tlog-proof@v1
index 1
0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=
Zx8UbF5HHooag6PCFM5LqQe486WIjRTMjNPOdbsS75Q=

{NOTE}"""
"""That "two" is the second of the leaves one, two, three."""

WITNESSES = [Cosigner(f"witness-{number}.example.com", bytes([10 + number]) * 32) for number in range(3)]


def test_vector_of_a_proof_file() -> None:
    """The published proof verifies for its leaf and log, is written as it was read, and fails for another leaf, log or key."""
    proof = parse_tlog_proof(PROOF)
    assert proof.format() == PROOF
    assert proof.verify(hash_leaf(b"two"), ORIGIN, [parse_vkey(VKEY)]).size == 3
    with pytest.raises(ProofError, match="does not lead"):
        proof.verify(hash_leaf(b"one"), ORIGIN, [parse_vkey(VKEY)])
    with pytest.raises(ProofError, match="another log"):
        proof.verify(hash_leaf(b"two"), "elsewhere.example.com/log", [parse_vkey(VKEY)])
    with pytest.raises(NoteError):
        proof.verify(hash_leaf(b"two"), ORIGIN, [Signer(ORIGIN, bytes([1]) * 32).verifier])


def test_extra_data_is_carried() -> None:
    """A proof file may carry data that nothing authenticates."""
    with_extra = PROOF.replace("index 1", "extra aGVsbG8=\nindex 1")
    proof = parse_tlog_proof(with_extra)
    assert proof.extra == b"hello"
    assert proof.format() == with_extra


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"), ("index 1", "index 01"), ("index 1\n", ""), ("index 1", "index -1"), ("0Nc2", "0Nc"), ("+ek=", "+el="), ("\n\n", "\n"),
        ("index 1", "index 1\n" + "A" * 43 + "=" + ("\n" + "A" * 43 + "=") * 63), ("0Nc2", "!!!!"),
    ],
)  # fmt: skip
def test_what_is_no_proof_file_is_refused(old: str, new: str) -> None:
    """A file with another version, index, or hashes that are not canonical base64 of 32 bytes is refused."""
    with pytest.raises(EvidenceError):
        parse_tlog_proof(PROOF.replace(old, new, 1))


def _policy(*lines: str) -> str:
    witnesses = [
        f"witness w{number} {each.verifier.vkey} https://w{number}.example.com" for number, each in enumerate(WITNESSES)
    ]
    return "\n".join(["# who we trust", "", f"log {VKEY} https://tracker.example.com", *witnesses, *lines])


def _cosigned(*numbers: int) -> str:
    text = Checkpoint(ORIGIN, 1, bytes(32)).text()
    return Note(text, (SIGNER.sign(text), *(WITNESSES[number].sign(text, 1) for number in numbers))).format()


@pytest.mark.parametrize(
    ("lines", "enough", "too_few"),
    [
        (("quorum w0",), (0,), (1, 2)),
        (("group g any w0 w1", "quorum g"), (1,), (2,)),
        (("group g all w0 w1", "quorum g"), (0, 1), (0, 2)),
        (("group g 2 w0 w1 w2", "quorum g"), (0, 2), (1,)),
        (("group g any w0 w1", "group h all g w2", "quorum h"), (1, 2), (0, 1)),
    ],
)
def test_a_quorum_is_met_or_not(lines: tuple[str, ...], enough: tuple[int, ...], too_few: tuple[int, ...]) -> None:
    """A witness, any, all, a number of a group, and groups of groups decide as the policy says."""
    policy = parse_policy(_policy(*lines))
    policy.verify(_cosigned(*enough))
    with pytest.raises(NoteError, match="quorum"):
        policy.verify(_cosigned(*too_few))


def test_a_quorum_of_none_needs_the_log_alone() -> None:
    """Without a quorum the log's own signature is enough; witnesses without the log are not."""
    policy = parse_policy(_policy("quorum none"))
    policy.verify(_cosigned())
    text = Checkpoint(ORIGIN, 1, bytes(32)).text()
    with pytest.raises(NoteError, match="no signature of a log"):
        policy.verify(Note(text, (WITNESSES[0].sign(text, 1),)).format())
    with pytest.raises(NoteError):
        policy.verify(sign_note(text, [Signer("other", bytes([9]) * 32)]))


@pytest.mark.parametrize(
    "lines",
    [
        (), ("quorum none", "quorum none"), ("quorum nobody",), ("group g any", "quorum g"), ("group g 3 w0 w1", "quorum g"), ("group g 0 w0", "quorum g"),
        ("group g any w0 w0", "quorum g"), ("group g any h", "group h any w0", "quorum g"), ("group w0 any w1", "quorum w0"), ("group none any w1", "quorum none"),
        (f"witness w9 {VKEY}", "quorum none"), ("quorum none more",), ("nonsense", "quorum none"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(lines: tuple[str, ...]) -> None:
    """A policy has one quorum, names that are defined once and before their use, thresholds that can be met, and keys of the right type."""
    with pytest.raises(NoteError):
        parse_policy(_policy(*lines))
