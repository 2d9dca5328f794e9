"""Signed notes (C2SP signed-note): a text, an empty line, and signature lines.

A key is known by its name and its four-byte key id. A verifier ignores signatures of keys that it does not know. A signature that carries the
name and id of a known key must verify, otherwise the whole note is refused.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tracker.evidence.errors import NoteError

ED25519: Final = 0x01
"""Signature type of Ed25519 over the note's text."""

COSIGNATURE_V1: Final = 0x04
"""Signature type of a timestamped Ed25519 cosignature (C2SP tlog-cosignature)."""

MAX_NOTE_BYTES: Final = 1_000_000
MAX_SIGNATURES: Final = 100

_SIGNATURE_BYTES: Final = 64
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_NAME: Final = re.compile(r"[^\s+]{1,255}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH: Final = "\u2014 "


class Verifier(msgspec.Struct, frozen=True):
    """A public key under a name."""

    name: str
    key_id: bytes
    signature_type: int
    public_key: bytes

    @property
    def vkey(self) -> str:
        """The key in text form: ``name+hex(key id)+base64(type and key)``."""
        return f"{self.name}+{self.key_id.hex()}+{_encode(bytes([self.signature_type]) + self.public_key)}"

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether ``signature``, without its key id, is this key's over the note's text."""
        if self.signature_type == COSIGNATURE_V1:
            if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
                return False
            message = cosigned_message(int.from_bytes(signature[:_TIME_BYTES], "big"), text)
            signature = signature[_TIME_BYTES:]
        else:
            message = text.encode()
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signature(msgspec.Struct, frozen=True):
    """One signature line."""

    name: str
    key_id: bytes
    blob: bytes
    """The signature without the key id."""

    @property
    def time(self) -> int:
        """Seconds since 1970 that a cosignature claims. Only for signatures of type ``COSIGNATURE_V1``."""
        return int.from_bytes(self.blob[:_TIME_BYTES], "big")

    def line(self) -> str:
        """The line with its newline."""
        return f"{_DASH}{self.name} {_encode(self.key_id + self.blob)}\n"


class Note(msgspec.Struct, frozen=True):
    """A parsed note. Nothing is verified yet."""

    text: str
    """Ends in a newline."""
    signatures: tuple[Signature, ...]

    def format(self) -> str:
        """The note as it was parsed."""
        return self.text + "\n" + "".join(each.line() for each in self.signatures)


class Signer:
    """A private Ed25519 key under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        """seed: 32 bytes. Raises NoteError for a name that a note cannot carry."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = make_verifier(name, ED25519, self._key.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """Sign a note's text, which ends in a newline. Raises NoteError for a text that a note cannot carry."""
        check_text(text)
        return Signature(self.verifier.name, self.verifier.key_id, self._key.sign(text.encode()))


class Cosigner:
    """A witness's private key under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = make_verifier(name, COSIGNATURE_V1, self._key.public_key().public_bytes_raw())

    def sign(self, text: str, time: int) -> Signature:
        """Cosign a checkpoint's text at a time, in seconds since 1970."""
        check_text(text)
        signed = self._key.sign(cosigned_message(time, text))
        return Signature(self.verifier.name, self.verifier.key_id, time.to_bytes(_TIME_BYTES, "big") + signed)


def cosigned_message(time: int, text: str) -> bytes:
    """The bytes that a cosignature signs."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def make_verifier(name: str, signature_type: int, public_key: bytes) -> Verifier:
    """A verifier with its key id computed. Raises NoteError for a name that a note cannot carry, or a key of the wrong size."""
    if _NAME.fullmatch(name) is None:
        raise NoteError("a key's name has 1 to 255 characters, no white space and no “+”")
    if len(public_key) != _KEY_BYTES:
        raise NoteError(f"an Ed25519 key has {_KEY_BYTES} bytes")
    if signature_type not in {ED25519, COSIGNATURE_V1}:
        raise NoteError(f"signature type {signature_type} is not supported")
    key_id = sha256(name.encode() + b"\n" + bytes([signature_type]) + public_key).digest()[:_KEY_ID_BYTES]
    return Verifier(name, key_id, signature_type, public_key)


def parse_vkey(vkey: str) -> Verifier:
    """A verifier from its text form. Raises NoteError, also when the key id does not belong to the key."""
    parts = vkey.strip().split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004  # name, key id, key
        raise NoteError("a verifier key has the form name+key id+key")
    name, key_id, encoded = parts
    data = _decode(encoded, "the verifier key")
    if not data:
        raise NoteError("the verifier key is empty")
    verifier = make_verifier(name, data[0], data[1:])
    if verifier.key_id.hex() != key_id:
        raise NoteError("the verifier key's id does not belong to the key")
    return verifier


def parse_note(note: str) -> Note:
    """Split a note into text and signatures. Raises NoteError for anything that is not a note."""
    if len(note) > MAX_NOTE_BYTES or len(note.encode("utf-8", "replace")) > MAX_NOTE_BYTES:
        raise NoteError("the note is too long")
    head, blank, tail = note.rpartition("\n\n")
    if not blank:
        raise NoteError("the note has no empty line before its signatures")
    text = head + "\n"
    check_text(text)
    if not tail.endswith("\n"):
        raise NoteError("the note does not end in a newline")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"the note has more than {MAX_SIGNATURES} signatures")
    return Note(text, tuple(_parse_line(line) for line in lines))


def verify_note(note: str, verifiers: Iterable[Verifier]) -> tuple[Note, tuple[Verifier, ...]]:
    """The note, and the known keys that signed it, in order of the lines. Raises NoteError when it is malformed, when a signature of a known key
    does not verify, or when no known key signed."""
    parsed = parse_note(note)
    known = {(each.name, each.key_id): each for each in verifiers}
    signed: list[Verifier] = []
    for signature in parsed.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            continue
        if not verifier.verify(parsed.text, signature.blob):
            raise NoteError(f"the signature of {signature.name} does not verify")
        if verifier not in signed:
            signed.append(verifier)
    if not signed:
        raise NoteError("no signature of a known key")
    return parsed, tuple(signed)


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """A note over the text with one signature per signer."""
    return Note(text, tuple(signer.sign(text) for signer in signers)).format()


def check_text(text: str) -> None:
    """Raises NoteError for a text that a note cannot carry: one without a newline at its end, or with other control characters."""
    if not text.endswith("\n"):
        raise NoteError("the note's text does not end in a newline")
    if _CONTROL.search(text) is not None:
        raise NoteError("the note's text has control characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NoteError("the note's text is no valid Unicode") from error


def _parse_line(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise NoteError("a signature line does not start with an em dash and a space")
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not space or _NAME.fullmatch(name) is None:
        raise NoteError("a signature line has no key name, or one that is not allowed")
    blob = _decode(encoded, "a signature")
    if len(blob) <= _KEY_ID_BYTES:
        raise NoteError("a signature is too short")
    return Signature(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(encoded: str, what: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not in base64") from error
    if _encode(data) != encoded:
        # Bits behind the last whole byte would make two spellings of one signature.
        raise NoteError(f"{what} is not in canonical base64")
    return data
