"""The country of a phone number, from the numbering plan.

``phonenumbers`` (Google's libphonenumber) knows it, at some 100 microseconds a number. Most calling codes belong to one country,
so its table answers those at once; where countries share one (+1, +7, +44 …), a number's first digits decide, and the answer is
remembered for them.
"""

from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException

_DECIDING_DIGITS: Final = 8
"""Digits after the plus that are looked at where countries share a calling code. libphonenumber tells such countries apart by
leading digits or by ranges of area codes and exchanges, none longer than this (a property test compares whole numbers)."""

_DECIDING_DIGITS_OF_AREA: Final = 5
"""The same for +1, where most numbers are: the area code, and whether an exchange may begin so."""

_DECIDING_DIGITS_OF_FIVE: Final = 7
"""The same for +1 5xx, where personal numbers lie between area codes and begin at some exchanges only."""

_NON_GEOGRAPHICAL: Final = "001"
"""libphonenumber's region of satellite and other supranational numbers."""


def country_of(address: str | None) -> str | None:
    """ISO 3166 code of the country that ``address`` belongs to; None when it cannot be told.

    address: E.164, or a channel address around it (``whatsapp:+15558675310``). Short codes, alphanumeric senders, masked and
    malformed numbers, and supranational numbers have no country. Never raises.
    """
    if not address:
        return None
    number = address if address[0] == "+" else address[address.rfind(":") + 1 :]
    digits = number[1:]
    if number[:1] != "+" or not (digits.isascii() and digits.isdigit()):
        return None
    country, deciding = _calling_code(digits[:3])
    return _shared_code_country(digits[:deciding], len(digits)) if deciding else country


@lru_cache(maxsize=1024)
def _calling_code(first_digits: str) -> tuple[str | None, int]:
    """The country of the numbers that start with these three digits, or, where several share the calling code, how many digits decide;
    0 where they need not be looked at."""
    for length in (1, 2, 3):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(first_digits[:length] or 0))
        if regions:
            if len(regions) == 1:
                return (None if regions[0] == _NON_GEOGRAPHICAL else regions[0]), 0
            return None, _deciding_digits(first_digits)
    return None, 0


def _deciding_digits(digits: str) -> int:
    if not digits.startswith("1") or digits.startswith("11"):
        # A second 1 is dialled by mistake and ignored, so the area code comes one digit later.
        return _DECIDING_DIGITS
    return _DECIDING_DIGITS_OF_FIVE if digits.startswith("15") else _DECIDING_DIGITS_OF_AREA


@lru_cache(maxsize=65536)
def _shared_code_country(first_digits: str, length: int) -> str | None:
    """The country of the numbers that start so and have this many digits."""
    try:
        number = phonenumbers.parse("+" + first_digits.ljust(length, "2"))
    except NumberParseException:
        return None
    return phonenumbers.region_code_for_number(number)
