"""A cursor comes back as the place it was made of, or not at all."""

import base64
from datetime import UTC, datetime
from struct import pack
from urllib.parse import quote
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.queries.cursor import InvalidCursorError, Place, decode, encode

SID = "SM" + "0" * 31 + "7"


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store the text: UTF-8 without NUL."""
    return "\0" not in text and text.isprintable()


PLACES = st.builds(
    Place,
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    st.from_regex("(?:SM|MM)[0-9a-fA-F]{32}", fullmatch=True),
    st.just("") | st.from_regex("AC[0-9a-f]{32}", fullmatch=True) | st.text(max_size=40).filter(is_storable),
)


@given(PLACES)
def test_a_cursor_gives_its_place_back(place: Place) -> None:
    """To the microsecond, and needs no escaping in a URL."""
    cursor = encode(place)
    assert decode(cursor) == place
    assert quote(cursor, safe="") == cursor


@given(st.one_of(st.text(max_size=70), st.text("ABCDEFabcdef0123456789-_=+/", min_size=58, max_size=110)))
def test_no_text_breaks_it(text: str) -> None:
    """What nobody made is refused."""
    with pytest.raises(InvalidCursorError):
        decode(text)


@given(PLACES, st.data())
def test_every_change_of_a_character_is_noticed(place: Place, data: st.DataObject) -> None:
    """Also where base64 would read two texts as the same bytes."""
    cursor = encode(place)
    index = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_+/").filter(lambda character: character != cursor[index]))
    with pytest.raises(InvalidCursorError):
        decode(cursor[:index] + other + cursor[index + 1 :])


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(pack("!q34s", 1_000_000, SID.encode()), id="without an account, as older versions gave it"),
        pytest.param(pack("!Bq34s", 1, 1_000_000, SID.encode()), id="of another version"),
        pytest.param(pack("!Bq34s2s", 2, 1_000_000, SID.encode(), b"A\0"), id="an account that no row can have"),
        pytest.param(pack("!Bq34s2s", 2, 1_000_000, SID.encode(), b"A\xff"), id="an account that is no UTF-8"),
        pytest.param(pack("!Bq34s", 2, 1_000_000, b"XX" + SID[2:].encode()), id="no message SID"),
        pytest.param(pack("!Bq34s", 2, 2**63 - 1, SID.encode()), id="a time that no calendar has"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_cursor_of_another_kind_is_refused(packed: bytes) -> None:
    """Although its check bytes are right."""
    text = base64.urlsafe_b64encode(packed + crc32(packed).to_bytes(4, "big")[:3]).decode().rstrip("=")
    with pytest.raises(InvalidCursorError):
        decode(text)


def test_a_usual_cursor_is_short() -> None:
    """107 characters with an account."""
    assert len(encode(Place(datetime(2026, 11, 25, tzinfo=UTC), SID, "AC" + "0" * 32))) == 107
