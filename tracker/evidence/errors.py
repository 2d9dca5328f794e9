"""Why evidence is refused. Every message names what is wrong and never quotes more than a bounded part of the input."""


class EvidenceError(ValueError):
    """Bytes are not in the format they claim to be in."""


class NoteError(EvidenceError):
    """A signed note is malformed, or its signatures do not satisfy the verifier."""


class ProofError(EvidenceError):
    """A proof is malformed, or does not lead to the expected root."""
