"""Checkpoints (C2SP tlog-checkpoint): the text that a log signs: origin, tree size, root hash."""

import base64
import binascii
import re
from typing import Final

import msgspec

from tracker.evidence.errors import NoteError
from tracker.evidence.proofs import MAX_SIZE
from tracker.evidence.tree import HASH_BYTES

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES: Final = 3


class Checkpoint(msgspec.Struct, frozen=True):
    """The state of a log at one size."""

    origin: str
    """Names the log. No white space and no ``+``, so that it can name the log's key too."""
    size: int
    root: bytes

    def text(self) -> str:
        """The text to be signed: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint from its text. Extension lines are refused: this log writes none. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) != _LINES + 1 or lines[-1] != "":
        raise NoteError("a checkpoint has three lines")
    origin, size, root = lines[:_LINES]
    if not origin:
        raise NoteError("the checkpoint has no origin")
    if _SIZE.fullmatch(size) is None or int(size) > MAX_SIZE:
        raise NoteError("the checkpoint's size is no number of leaves")
    try:
        digest = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("the checkpoint's root is not in base64") from error
    checkpoint = Checkpoint(origin, int(size), digest)
    if len(digest) != HASH_BYTES or checkpoint.text() != text:
        raise NoteError("the checkpoint's root is not a SHA-256 hash in canonical base64")
    return checkpoint
