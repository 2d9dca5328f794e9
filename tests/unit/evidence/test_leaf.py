"""Leaves and commitments."""

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.evidence.errors import EvidenceError
from tracker.evidence.leaf import Leaf, commit_evidence, encode_leaf, evidence_bytes, format_time, parse_leaf

LEAF = Leaf(
    account_sid="AC" + "0" * 32,
    channel="sms",
    error_code=None,
    event_id="01932f6e-0000-7000-8000-000000000001",
    evidence="0" * 64,
    key_id="AC/1",
    message_sid="SM" + "0" * 32,
    messaging_service_sid=None,
    position="1",
    raw_dlr_done_date=None,
    received_at="2026-11-24T20:37:10.123456Z",
    recorded_at="2026-11-24T20:37:10.123457Z",
    source="callback",
    status="delivered",
)
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
OPTIONAL = st.none() | TEXT


@settings(max_examples=500)
@given(TEXT, OPTIONAL, OPTIONAL, TEXT)
def test_an_entry_is_canonical_json(channel: str, account: str | None, code: str | None, status: str) -> None:
    """Whatever texts an event has, the entry is what RFC 8785 and Python's own encoder make of it, and is read back."""
    leaf = msgspec.structs.replace(LEAF, channel=channel, account_sid=account, error_code=code, status=status)
    entry = encode_leaf(leaf)
    fields = msgspec.to_builtins(leaf)
    assert entry == rfc8785.dumps(fields)
    assert entry == json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    assert parse_leaf(entry) == leaf


def test_the_keys_of_version_1() -> None:
    """Version 1 has exactly these keys, for ever."""
    assert list(json.loads(encode_leaf(LEAF))) == [
        "account_sid", "channel", "error_code", "event_id", "evidence", "key_id", "message_sid", "messaging_service_sid", "position",
        "raw_dlr_done_date", "received_at", "recorded_at", "source", "status", "v",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position", "01"), ("position", "0"), ("position", 1), ("received_at", "2026-11-24T20:37:10Z"), ("recorded_at", "2026-11-24T20:37:10.123456+00:00"),
        ("evidence", "A" * 64), ("evidence", "0" * 63), ("v", "tracker-leaf/2"), ("status", None), ("more", "x"),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused(field: str, value: object) -> None:
    """An entry with another key, type, version or spelling is refused."""
    entry = json.dumps({**json.loads(encode_leaf(LEAF)), field: value}, separators=(",", ":"), sort_keys=True).encode()
    with pytest.raises(EvidenceError):
        parse_leaf(entry)


def test_an_entry_has_one_spelling() -> None:
    """White space, a newline at the end, or missing bytes make another entry, which is refused."""
    entry = encode_leaf(LEAF)
    for changed in (entry + b"\n", entry.replace(b",", b", "), entry[:-1], b"\xff"):
        with pytest.raises(EvidenceError):
            parse_leaf(changed)


def test_an_entry_fits_into_a_bundle() -> None:
    """An entry over 65,535 bytes is refused."""
    room = 65_535 - len(encode_leaf(LEAF)) + len(LEAF.status)
    assert len(encode_leaf(msgspec.structs.replace(LEAF, status="x" * room))) == 65_535
    with pytest.raises(EvidenceError):
        encode_leaf(msgspec.structs.replace(LEAF, status="x" * (room + 1)))


def test_bytes_of_a_commitment() -> None:
    """The commitment hashes the prefix, the salt, and each field with its presence and length."""
    salt = bytes(range(32))
    expected = b"tracker-evidence/1\n" + salt + b"\1\0\0\0\3url" + b"\1\0\0\0\0" + b"\0" + b"\1\0\0\0\2" + "é".encode()
    assert evidence_bytes(salt, "url", b"", None, "é") == expected
    assert commit_evidence(salt, "url", b"", None, "é") == sha256(expected).hexdigest()
    with pytest.raises(EvidenceError):
        commit_evidence(salt[:-1], None, None, None, None)


@given(
    st.lists(st.none() | st.binary(max_size=6), min_size=4, max_size=4),
    st.lists(st.none() | st.binary(max_size=6), min_size=4, max_size=4),
)
def test_different_evidence_has_different_bytes(one: list[bytes | None], other: list[bytes | None]) -> None:
    """No two different sets of fields hash the same bytes: an absent field is not an empty one, and no byte can move between fields."""

    def of(fields: list[bytes | None]) -> bytes:
        url, body, signature, token = fields
        texts = [None if each is None else each.hex() for each in (url, signature, token)]
        return evidence_bytes(bytes(32), texts[0], body, texts[1], texts[2])

    assert (of(one) == of(other)) == (one == other)


def test_times_are_in_utc_with_six_decimals() -> None:
    """A moment in another zone is written in UTC, a whole second with zeros."""
    assert (
        format_time(datetime(2026, 11, 24, 22, 37, 10, tzinfo=timezone(timedelta(hours=2))))
        == "2026-11-24T20:37:10.000000Z"
    )
    assert format_time(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"
