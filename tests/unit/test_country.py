"""The country of a number, with libphonenumber as the oracle."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException

from tracker.twilio.country import country_of

CALLING_CODES = sorted(COUNTRY_CODE_TO_REGION_CODE)
SHARED_CODES = [code for code in CALLING_CODES if len(COUNTRY_CODE_TO_REGION_CODE[code]) > 1]

numbers = st.builds(
    lambda code, national: f"+{code}{national}",
    st.sampled_from(CALLING_CODES) | st.sampled_from(SHARED_CODES) | st.just(1),
    st.text("0123456789", min_size=2, max_size=13),
)


def oracle(number: str) -> str | None:
    """What libphonenumber says of the whole number."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except NumberParseException:
        return None
    return None if region == "001" else region


@given(numbers)
@settings(max_examples=1000)
@example("+119370354927")
def test_a_number_has_the_country_that_libphonenumber_says(number: str) -> None:
    """Although only its first digits are looked at, whether it is a valid one or not."""
    assert country_of(number) == oracle(number)


@pytest.mark.parametrize("area", ["523", "524"])
def test_personal_numbers_are_told_apart_by_their_exchange(area: str) -> None:
    """+1 5xx numbers of one beginning of five digits: some exchanges have a country, others have none."""
    of_exchanges = {exchange: country_of(f"+1{area}{exchange}2222") for exchange in ("200", "211", "222", "911")}
    assert of_exchanges == {exchange: oracle(f"+1{area}{exchange}2222") for exchange in of_exchanges}
    assert (of_exchanges["200"], of_exchanges["211"]) == ("US", None)


@pytest.mark.parametrize("code", CALLING_CODES)
def test_example_numbers_of_every_region(code: int) -> None:
    """Each kind of number that libphonenumber knows an example of."""
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        for kind in range(11):
            number = (
                phonenumbers.example_number_for_non_geo_entity(code)
                if region == "001"
                else phonenumbers.example_number_for_type(region, kind)
            )
            if number is not None:
                text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
                assert country_of(text) == oracle(text), text


ADDRESSES = {
    "E.164": ("+4915123456789", "DE"),
    "shared code": ("+14165550123", "CA"),
    "WhatsApp": ("whatsapp:+5511987654321", "BR"),
    "RCS": ("rcs:+447400123456", "GB"),
    "absent": (None, None),
    "empty": ("", None),
    "a short code": ("12345", None),
    "an alphanumeric sender": ("ACME", None),
    "an RCS agent": ("rcs:my_agent", None),
    "a masked number": ("whatsapp:+1555867XXXX", None),
    "a plus alone": ("+", None),
    "zero": ("+0", None),
    "zeros": ("+000", None),
    "a code that nobody has": ("+9991234567", None),
    "satellite": ("+881612345678", None),
    "international freephone": ("+80012345678", None),
    "too long": ("+1" + "2" * 300, None),
    "digits of another script": ("+٤٩١٥١٢٣٤٥٦٧٨٩", None),
    "superscripts": ("+¹⁴¹⁶", None),
    "spaces": ("+49 151 23456789", None),
}


@pytest.mark.parametrize(("address", "country"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_countries_of_addresses(address: str | None, country: str | None) -> None:
    """Only a whole number says one."""
    assert country_of(address) == country


@given(st.text() | st.text("+:0123456789"))
def test_an_address_never_raises(address: str) -> None:
    """It is whatever a sender wrote."""
    country = country_of(address)
    assert country is None or (len(country) == 2 and country.isupper())
