"""Countries: whatever is drawn belongs where it is said to belong."""

import random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.simulate.world.countries import COUNTRIES, RANDOM_DIGITS
from tracker.simulate.world.life_cycles import CHANNELS


@pytest.mark.parametrize("code", COUNTRIES)
@given(data=st.data())
def test_every_number_of_a_range_is_valid_and_of_its_country(code: str, data: st.DataObject) -> None:
    """Google's numbering plans agree for any prefix and any digits, so a tracker can tell the country."""
    prefix = data.draw(st.sampled_from(COUNTRIES[code].mobile_prefixes))
    digits = data.draw(st.integers(0, 10**RANDOM_DIGITS - 1))
    number = phonenumbers.parse(f"+{prefix}{digits:0{RANDOM_DIGITS}d}")
    assert phonenumbers.is_valid_number(number)
    assert phonenumbers.region_code_for_number(number) == code


@pytest.mark.parametrize("code", COUNTRIES)
def test_numbers_are_drawn_from_the_ranges_in_e164(code: str) -> None:
    """A plus, one of the prefixes, and six digits, leading zeros kept."""
    rng = random.Random(1)
    for _ in range(200):
        number = COUNTRIES[code].draw_number(rng)
        assert number.startswith("+")
        assert number[1:-RANDOM_DIGITS] in COUNTRIES[code].mobile_prefixes


def test_every_channel_goes_somewhere_and_most_messages_go_to_the_united_states() -> None:
    """The shares make a plausible account."""
    assert {channel for country in COUNTRIES.values() for channel in country.channels} == set(CHANNELS)
    assert max(COUNTRIES.values(), key=lambda country: country.weight).code == "US"
