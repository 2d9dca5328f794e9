"""Moments as people and programs write them: RFC 3339, and only that."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

EXPECTED: Final = (
    "expected an RFC 3339 time with its offset, such as 2026-03-01T12:00:00Z or 2026-03-01T14:00:00.5+02:00"
)

_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([-+ ])([0-9]{2}):([0-9]{2}))"
)


_UTC_SHOWN: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?(?: ?UTC)?"
)
"""A time as a form's ``datetime-local`` gives it, and as our pages and tables show it: in UTC, without an offset."""


class InvalidTimeError(ValueError):
    """A text is no RFC 3339 time. The message says what is expected, without repeating the text."""


def parse_time(text: str) -> datetime:
    """The moment, in UTC.

    Digits beyond the microsecond are dropped, as is right for "up to this moment": times of the log have none. A leap
    second is the second after it.

    The plus of an offset may be a space: that is what an unescaped plus in a query string becomes.

    Raises InvalidTimeError. Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
    """
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise InvalidTimeError(EXPECTED)
    day, minute, second, fraction, sign, hours, minutes = match.groups(default="0")
    try:
        return (
            datetime.fromisoformat(f"{day}T{minute}:00").replace(tzinfo=UTC)
            + timedelta(seconds=_in_range(second, 60), microseconds=int(fraction[:6].ljust(6, "0")))
            - timedelta(hours=_in_range(hours, 23), minutes=_in_range(minutes, 59)) * (-1 if sign == "-" else 1)
        )
    except (ValueError, OverflowError):
        raise InvalidTimeError(f"there is no such time; {EXPECTED}") from None


def parse_shown_time(text: str) -> datetime:
    """The moment that a person entered: RFC 3339, or a time in UTC as pages and tables show it, seconds optional.

    Raises InvalidTimeError.
    """
    shown = _UTC_SHOWN.fullmatch(text.strip())
    try:
        return parse_time(text) if shown is None else parse_time(f"{shown[1]}T{shown[2]}{shown[3] or ':00'}Z")
    except InvalidTimeError as error:
        raise InvalidTimeError(f"{error}, or a time in UTC such as 2026-03-01 12:00:05") from None


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, with as many digits after the second as there are."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"


def _in_range(digits: str, greatest: int) -> int:
    number = int(digits)
    if number > greatest:
        raise ValueError(digits)
    return number
