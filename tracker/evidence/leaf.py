"""``tracker-leaf/1``: the entry that the tree holds for one event of the log.

An entry is canonical JSON (RFC 8785) whose values are strings or null. It holds no personal data. ``evidence`` is a salted commitment to the URL,
the body, the signature and the idempotency token, so an erased event keeps its leaf. Version 1 never changes.
"""

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from tracker.evidence.errors import EvidenceError

VERSION: Final = "tracker-leaf/1"
SALT_BYTES: Final = 32

MAX_ENTRY_BYTES: Final = 65_535
"""Longest entry that the format of entry bundles can hold: its length is a 16-bit number (C2SP tlog-tiles)."""

_EVIDENCE_PREFIX: Final = b"tracker-evidence/1\n"
_POSITION: Final = re.compile(r"[1-9][0-9]{0,18}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_EVIDENCE: Final = re.compile(r"[0-9a-f]{64}")


class Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. The fields stand in the order of the canonical form, which sorts keys."""

    account_sid: str | None
    channel: str
    error_code: str | None
    event_id: str
    """A UUID in lower case."""
    evidence: str
    """64 lower-case hexadecimal digits, see ``commit_evidence``."""
    key_id: str | None
    message_sid: str
    messaging_service_sid: str | None
    position: str
    """Decimal, from 1."""
    raw_dlr_done_date: str | None
    received_at: str
    """``2026-11-24T20:37:10.123456Z``: UTC, always six decimals. The same for ``recorded_at``."""
    recorded_at: str
    source: str
    status: str
    v: str = VERSION


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Leaf)


def commit_evidence(
    salt: bytes, url: str | None, body: bytes | None, signature: str | None, idempotency_token: str | None
) -> str:
    """Salted commitment to the evidence of an event, as 64 hexadecimal digits. None and empty differ."""
    return sha256(evidence_bytes(salt, url, body, signature, idempotency_token)).hexdigest()


def evidence_bytes(
    salt: bytes, url: str | None, body: bytes | None, signature: str | None, idempotency_token: str | None
) -> bytes:
    """The bytes that the commitment hashes: prefix, salt, then each field as 00 for None, else 01, a 32-bit length and the bytes."""
    if len(salt) != SALT_BYTES:
        raise EvidenceError(f"a salt has {SALT_BYTES} bytes")
    fields = (
        None if url is None else url.encode(),
        body,
        None if signature is None else signature.encode(),
        None if idempotency_token is None else idempotency_token.encode(),
    )
    return _EVIDENCE_PREFIX + salt + b"".join(_field(each) for each in fields)


def encode_leaf(leaf: Leaf) -> bytes:
    """The entry: UTF-8, keys sorted, no white space, no newline at the end. Raises EvidenceError for an entry over 65,535 bytes."""
    entry = _encoder.encode(leaf)
    if len(entry) > MAX_ENTRY_BYTES:
        raise EvidenceError(
            f"the entry of position {leaf.position} has {len(entry)} bytes, more than {MAX_ENTRY_BYTES}"
        )
    return entry


def parse_leaf(entry: bytes) -> Leaf:
    """The leaf of an entry. Raises EvidenceError unless the entry is exactly what ``encode_leaf`` makes of it."""
    try:
        leaf = _decoder.decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EvidenceError(f"the entry is no {VERSION}: {str(error)[:200]}") from error
    if leaf.v != VERSION:
        raise EvidenceError(f"the entry's version is {leaf.v[:40]!r}, not {VERSION}")
    shapes = (
        ("position", _POSITION, leaf.position),
        ("received_at", _TIME, leaf.received_at),
        ("recorded_at", _TIME, leaf.recorded_at),
        ("evidence", _EVIDENCE, leaf.evidence),
    )
    for name, shape, value in shapes:
        if shape.fullmatch(value) is None:
            raise EvidenceError(f"the entry's {name} has the wrong form")
    if _encoder.encode(leaf) != entry:
        raise EvidenceError("the entry is not in canonical form")
    return leaf


def format_time(moment: datetime) -> str:
    """A moment with a zone, in UTC with six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def format_event_id(event_id: UUID) -> str:
    """A UUID in lower case."""
    return str(event_id)


def _field(value: bytes | None) -> bytes:
    return b"\0" if value is None else b"\1" + len(value).to_bytes(4, "big") + value
