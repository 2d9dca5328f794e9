"""Signed notes and checkpoints."""

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tracker.evidence.checkpoint import Checkpoint, parse_checkpoint
from tracker.evidence.errors import NoteError
from tracker.evidence.note import Cosigner, Note, Signer, parse_note, parse_vkey, sign_note, verify_note
from tracker.evidence.tree import Frontier, hash_leaf

ORIGIN = "tracker.example.com/log"
SIGNER = Signer(ORIGIN, bytes(32))
VKEY = "tracker.example.com/log+056f7cfc+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
NOTE = """tracker.example.com/log
3
Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=

— tracker.example.com/log BW98/JyT5J9Q1xS80ZIhrGGhwYnXrh6DvWjCkhQFfu+3yB6/0Ntvj4FSW6Qk45kcCXZ5JC2963VJ7aMp1pZPUQnwGQY=
"""
"""Leaves one, two, three, signed with a seed of 32 zero bytes; checked with openssl and tlog-scales."""


def test_vector_of_a_signed_checkpoint() -> None:
    """Three leaves and a key of zero bytes give the published checkpoint, to the byte."""
    frontier = Frontier()
    for leaf in (b"one", b"two", b"three"):
        frontier.append(hash_leaf(leaf))
    assert sign_note(Checkpoint(ORIGIN, 3, frontier.root()).text(), [SIGNER]) == NOTE
    assert SIGNER.verifier.vkey == VKEY


@pytest.mark.parametrize(
    "vkey",
    [
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
    ],
)
def test_published_keys_are_read(vkey: str) -> None:
    """The keys of C2SP's signed-note document and of Tessera's test log are read and written unchanged."""
    assert parse_vkey(vkey).vkey == vkey


def test_a_note_verifies_for_those_who_know_a_key_of_it() -> None:
    """Signatures of unknown keys are ignored; a note without a known key, or with a known key's bad signature, is refused."""
    other = Signer("other.example.com", bytes([1]) * 32)
    text = "hello\n\nworld\n"
    note = sign_note(text, [other, SIGNER])
    parsed, signed = verify_note(note, [parse_vkey(VKEY)])
    assert (parsed.text, signed) == (text, (SIGNER.verifier,))
    with pytest.raises(NoteError, match="no signature of a known key"):
        verify_note(note, [Signer("third.example.com", bytes([2]) * 32).verifier])
    forged = Note(text, (other.sign(text), SIGNER.sign("something else\n"))).format()
    with pytest.raises(NoteError, match="does not verify"):
        verify_note(forged, [SIGNER.verifier, other.verifier])


def test_sixteen_signatures_are_accepted() -> None:
    """A verifier accepts at least sixteen signature lines, and no more than a hundred."""
    signers = [Signer(f"key-{number}", bytes([number]) * 32) for number in range(101)]
    verify_note(sign_note("text\n", signers[:16]), [signers[15].verifier])
    verify_note(sign_note("text\n", signers[:100]), [signers[0].verifier])
    with pytest.raises(NoteError, match="more than 100"):
        parse_note(sign_note("text\n", signers))


@pytest.mark.parametrize("step", [640, pytest.param(40, marks=pytest.mark.long)])
def test_every_one_bit_mutation_of_a_thousand_notes_is_refused(step: int) -> None:
    """Of 1,000 signed checkpoints, none verifies to the same log and key with one bit of it changed."""
    chance = random.Random(8032)
    accepted: list[tuple[int, int]] = []
    for number in range(1000):
        note = sign_note(Checkpoint(ORIGIN, number + 1, chance.randbytes(32)).text(), [SIGNER]).encode()
        # Every bit of each byte in so many, from another start each time: all bytes come round.
        for place in range(number % step, len(note), step):
            for bit in range(8):
                changed = bytearray(note)
                changed[place] ^= 1 << bit
                try:
                    verify_note(changed.decode(), [SIGNER.verifier])
                except (NoteError, UnicodeDecodeError):
                    continue
                accepted.append((number, place))
    assert accepted == []


def test_a_cosignature_covers_its_time() -> None:
    """A witness's cosignature verifies over time and text, names its time, and fails for another time."""
    witness = Cosigner("witness.example.com", bytes([7]) * 32)
    text = Checkpoint(ORIGIN, 1, bytes(32)).text()
    signature = witness.sign(text, 1_700_000_000)
    note = Note(text, (SIGNER.sign(text), signature)).format()
    parsed, signed = verify_note(note, [parse_vkey(witness.verifier.vkey)])
    assert signed == (witness.verifier,)
    assert parsed.signatures[1].time == 1_700_000_000
    public = Ed25519PublicKey.from_public_bytes(witness.verifier.public_key)
    public.verify(signature.blob[8:], b"cosignature/v1\ntime 1700000000\n" + text.encode())
    moved = signature.blob[:7] + bytes([signature.blob[7] ^ 1]) + signature.blob[8:]
    with pytest.raises(NoteError, match="does not verify"):
        verify_note(
            Note(text, (type(signature)(signature.name, signature.key_id, moved),)).format(), [witness.verifier]
        )


@pytest.mark.parametrize(
    "note",
    [
        "", "text\n", "text\n\n", "no newline\n\n— a AAAAAAA=", "t\x00\n\n— a AAAAAAA=\n", "t\r\n\n— a AAAAAAA=\n",
        "t\n\n- a AAAAAAA=\n", "t\n\n— a\n", "t\n\n—  AAAAAAA=\n", "t\n\n— a+b AAAAAAA=\n", "t\n\n— a b AAAAAAA=\n",
        "t\n\n— a AAAA\n", "t\n\n— a !!!!\n", "t\n\n— a AAAAAAB=\n", "t\n\n— a AAAAAAA\n", "t\n\n— a AAAAAAA=\n\n", "x" * 1_000_001,
        "\ud800\n\n— a AAAAAAA=\n",
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: str) -> None:
    """A note without a text, an empty line, a final newline, or with a malformed signature line is refused with a reason."""
    with pytest.raises(NoteError):
        parse_note(note)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a",
        "a+b",
        "a+00000000+AQ==",
        VKEY[:-1],
        VKEY.replace("056f7cfc", "056f7cfd"),
        VKEY.replace("+AT", "+Aj"),
        "a b" + VKEY[23:],
    ],
)
def test_what_is_no_key_is_refused(vkey: str) -> None:
    """A key with a wrong id, of another type, of the wrong size, or with an impossible name is refused."""
    with pytest.raises(NoteError):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "x" * 256])
def test_a_name_that_a_note_cannot_carry_is_refused(name: str) -> None:
    """A key's name has no white space of any script and no plus sign."""
    with pytest.raises(NoteError):
        Signer(name, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "", "o\n3\n", f"{ORIGIN}\n3\n" + "A" * 43 + "=\nextension\n", f"{ORIGIN}\n03\n" + "A" * 43 + "=\n", f"{ORIGIN}\n-1\n" + "A" * 43 + "=\n",
        f"{ORIGIN}\n{2**63}\n" + "A" * 43 + "=\n", f"{ORIGIN}\n3\nAAAA\n", f"{ORIGIN}\n3\n" + "A" * 42 + "B=\n", f"\n3\n{'A' * 43}=\n",
        f"{ORIGIN}\n3\n{'A' * 43}=",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """A checkpoint has an origin, a size without leading zeros, and a hash in canonical base64; nothing else."""
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    """Size 0 and the largest size are read back, with their roots."""
    for size in (0, 1, 2**62):
        checkpoint = Checkpoint(ORIGIN, size, random.Random(size).randbytes(32))
        assert parse_checkpoint(checkpoint.text()) == checkpoint
    assert base64.b64encode(parse_checkpoint(NOTE.partition("\n\n")[0] + "\n").root).decode() in NOTE
