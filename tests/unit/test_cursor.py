"""A cursor comes back as the place it was made of, or not at all."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.queries.cursor import InvalidCursorError, Place, decode, encode

PLACES = st.builds(
    Place,
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    st.from_regex("(?:SM|MM)[0-9a-fA-F]{32}", fullmatch=True),
)


@given(PLACES)
def test_a_cursor_gives_its_place_back(place: Place) -> None:
    """To the microsecond, and needs no escaping in a URL."""
    cursor = encode(place)
    assert decode(cursor) == place
    assert quote(cursor, safe="") == cursor


@given(st.one_of(st.text(max_size=70), st.text("ABCDEFabcdef0123456789-_=+/", min_size=58, max_size=62)))
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
