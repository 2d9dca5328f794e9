"""Proof files (C2SP tlog-proof): an inclusion proof and the checkpoint it leads to, in one text file."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from tracker.evidence.checkpoint import Checkpoint, parse_checkpoint
from tracker.evidence.errors import ProofError
from tracker.evidence.note import Verifier, verify_note
from tracker.evidence.proofs import verify_inclusion
from tracker.evidence.tree import HASH_BYTES

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES: Final = 1_000_000
_MAX_HASHES: Final = 63
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


class TlogProof(msgspec.Struct, frozen=True):
    """A parsed proof file. Nothing is verified yet."""

    index: int
    """Of the leaf, from 0: its position minus 1."""
    hashes: tuple[bytes, ...]
    """From the leaf's sibling to the root's child."""
    checkpoint: str
    """The signed checkpoint, verbatim."""
    extra: bytes | None = None
    """Bytes that nothing authenticates."""

    def format(self) -> str:
        """The file's text."""
        extra = "" if self.extra is None else f"extra {_encode(self.extra)}\n"
        hashes = "".join(f"{_encode(each)}\n" for each in self.hashes)
        return f"{HEADER}\n{extra}index {self.index}\n{hashes}\n{self.checkpoint}"

    def verify(self, leaf_hash: bytes, origin: str, verifiers: Iterable[Verifier]) -> Checkpoint:
        """Check the signatures, the origin and the path. Returns the checkpoint. Raises NoteError or ProofError."""
        note, _ = verify_note(self.checkpoint, verifiers)
        checkpoint = parse_checkpoint(note.text)
        if checkpoint.origin != origin:
            raise ProofError("the checkpoint is of another log")
        verify_inclusion(leaf_hash, self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def parse_tlog_proof(text: str) -> TlogProof:
    """A proof from its file's text. Raises ProofError for any other form."""
    if len(text) > MAX_PROOF_BYTES:
        raise ProofError("the proof file is too long")
    head, blank, checkpoint = text.partition("\n\n")
    if not blank or not checkpoint:
        raise ProofError("the proof file has no checkpoint")
    lines = head.split("\n")
    if lines.pop(0) != HEADER:
        raise ProofError(f"the proof file does not begin with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _decode(lines.pop(0).removeprefix("extra "))
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None:
        raise ProofError("the proof file has no index")
    if len(lines) > _MAX_HASHES:
        raise ProofError(f"a proof has at most {_MAX_HASHES} hashes")
    hashes = tuple(_decode(line) for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
    return TlogProof(int(found[1]), hashes, checkpoint, extra)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError("the proof file has a line that is not base64") from error
    if _encode(data) != encoded:
        raise ProofError("the proof file has a line that is not in canonical base64")
    return data
