"""Addresses as people type them, and every form in which Twilio may have sent the same address.

A number comes as ``+1 (555) 867-5310`` or ``001 555 8675310`` and is stored as ``+15558675310`` or ``whatsapp:+15558675310``. Other
addresses are compared as they are: short codes, alphanumeric senders, ``whatsapp:US.…``, ``rcs:sender``.
"""

import re
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

CHANNEL_PREFIXES: Final = (
    *("", "whatsapp:", "rcs:", "sms:", "mms:", "messenger:"),
    *("viber:", "telegram:", "line:", "apple:", "instagram:"),
)
"""Prefixes that Twilio puts before an address, and none at all."""

_NUMBERED: Final = frozenset({None, "whatsapp:", "rcs:", "sms:", "mms:"})
"""Prefixes before numbers."""

_PREFIXED: Final = re.compile(r"([A-Za-z0-9_]{1,32}):(.*)", re.DOTALL)
_PUNCTUATION: Final = re.compile("[\\s()./\u00a0\u2010-\u2015\u2060\u00ad-]+")
_NUMBER: Final = re.compile(r"\+[0-9]{4,}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_DIGITS: Final = re.compile(r"[0-9]+")
_INTERNATIONAL: Final = re.compile(r"^(?:00|011)(?=[1-9][0-9]{6})")
"""Dialled before the country code, in most countries and in North America."""

_TRUNK_ZERO: Final = re.compile(r"\(\s*0\s*\)")
_SENDER_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}", re.ASCII)
"""An alphanumeric sender (https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id)."""

_MANY_DIGITS: Final = 7
"""A name with so many digits is a mistyped number."""


class Address(NamedTuple):
    """An address that is looked for."""

    forms: tuple[str, ...]
    """Texts under which it may be stored, likeliest first, each once."""
    advice: str | None
    """What may be wrong with it, for the case that no message has it; None: it is well formed."""


def canonical_sid(sid: str) -> str:
    """Twilio's spelling of a SID: two capital letters, then hexadecimal digits in small letters."""
    return sid[:2].upper() + sid[2:].lower()


def read_address(text: str, *, sender: bool) -> Address:
    """The address in a text.

    sender: whether it may be an alphanumeric sender; a recipient has a number or a channel's own identity. Never raises.
    """
    text = text.strip()
    prefixed = _PREFIXED.fullmatch(text)
    prefix, rest = (prefixed[1].lower() + ":", prefixed[2].strip()) if prefixed else (None, text)
    spelt, advice = _spellings(rest, prefixed=prefix is not None, sender=sender)
    if prefix not in _NUMBERED:
        # Identities of other channels are digits, too.
        advice = None
    prefixes = CHANNEL_PREFIXES if prefix is None else (prefix,)
    forms = [start + each for start in prefixes for each in spelt]
    return Address(tuple(dict.fromkeys([text, *forms])), advice)


def _spellings(text: str, *, prefixed: bool, sender: bool) -> tuple[list[str], str | None]:
    """The same address without prefix in every spelling that may be stored, and advice."""
    plain = _INTERNATIONAL.sub("+", _PUNCTUATION.sub("", _TRUNK_ZERO.sub("", text)))
    if _NUMBER.fullmatch(plain):
        return _number_spellings(plain)
    if _SHORT_CODE.fullmatch(plain):
        return [plain], None
    if _DIGITS.fullmatch(plain):
        return [plain, f"+{plain}"], (
            f"{plain} has no country code, or no plus before it; write it such as +15558675310"
        )
    if prefixed or (sender and _SENDER_NAME.fullmatch(text) and _digits(text) < _MANY_DIGITS):
        return [text], None
    if _digits(text) >= _MANY_DIGITS:
        return [text], "this looks like a number with letters in it; write digits only, such as +15558675310"
    if sender:
        return [text], (
            "expected a number such as +15558675310, a short code, a sender name of at most 11 letters and digits, "
            "or a channel's address such as whatsapp:+15558675310"
        )
    return [text], "expected a number such as +15558675310 or a channel's address such as whatsapp:+15558675310"


def _number_spellings(plain: str) -> tuple[list[str], str | None]:
    """E.164 by the numbering plan, which drops a trunk zero after the country code, and the digits as they are."""
    try:
        number = phonenumbers.parse(plain)
    except NumberParseException:
        return [plain], f"{plain} begins with no country code; write it such as +15558675310"
    written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    reason = phonenumbers.is_possible_number_with_reason(number)
    spelt = list(dict.fromkeys([written, plain]))
    if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
        return spelt, None
    size = {
        phonenumbers.ValidationResult.TOO_SHORT: "too few",
        phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too few",
        phonenumbers.ValidationResult.TOO_LONG: "too many",
    }.get(reason, "a wrong number of")
    return spelt, f"{plain} has {size} digits for a number of country code {number.country_code}"


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)
