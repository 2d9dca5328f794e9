"""``RawDlrDoneDate``: the carrier's own clock, passed through by Twilio.

Callbacks have the form YYMMDDhhmm: minute precision, no time zone ("the timezone offset varies between carrier partners and even
within the same carrier"), absent from many messages. Event Streams also have ISO 8601, with up to nanoseconds. A date without a time
zone is read as UTC, so it may be wrong by up to 14 hours, and two of them by up to 26 hours relative to each other.
Source: https://twilio.com/en-us/changelog/addition-of-rawdlrdonedate-to-delivered-and-undelivered-status-webhooks
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

INCOMPARABLE: Final = timedelta(hours=26)
"""Two dates that differ by no more than this may be the same moment in two time zones (UTC-12 and UTC+14)."""

MAX_AHEAD: Final = timedelta(hours=15)
"""A credible date lies no further than this after the moment at which it was received: the easternmost zone, and an hour for clocks."""

MAX_BEFORE: Final = INCOMPARABLE
"""A credible date lies no further than this before the moment at which the first event of the message was received."""

_CALLBACK: Final = re.compile(r"[0-9]{10}")
_ISO_8601: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


@lru_cache(maxsize=16384)
def parse_done_date(raw: str | None) -> datetime | None:
    """Parses a done date as an aware datetime in UTC; one without a time zone is read as UTC, two digits of a year as of this century.

    Returns None when it is absent or no date. Never raises.
    """
    parsed = _parse(raw)
    try:
        if parsed is None:
            return None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        return None


def wall_clock_of(raw: str | None) -> str | None:
    """Renders a done date as the wall clock that it shows, ``2026-11-24T20:53``, without a time zone.

    Seconds follow where the date has them. Returns None when it is absent or no date. Never raises.
    """
    parsed = _parse(raw)
    if parsed is None:
        return None
    local = parsed.replace(tzinfo=None, microsecond=0)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def happened_at(raw: str | None, received_at: datetime) -> datetime:
    """When an event happened: the earlier of its done date, read as UTC, and ``received_at``; ``received_at`` where it has no date.

    Nothing happened after it was reported.
    """
    done_at = parse_done_date(raw)
    return received_at if done_at is None or done_at > received_at else done_at


def credible_from(done_at: datetime) -> datetime | None:
    """From which ``received_at`` on a date is credible on the word of that event alone: MAX_AHEAD before it.

    Returns None when it always is, because the date lies at the beginning of the calendar. done_at: aware.
    """
    try:
        return done_at - MAX_AHEAD
    except OverflowError:
        return None


def latest_start(done_at: datetime) -> datetime | None:
    """Until which ``received_at`` of a message's first event a date is credible: MAX_BEFORE after it.

    Returns None when it always is, because the date lies at the end of the calendar. done_at: aware.
    """
    try:
        return done_at + MAX_BEFORE
    except OverflowError:
        return None


def _parse(raw: str | None) -> datetime | None:
    """The date with its time zone, or naive where it has none; None when it is absent or no date."""
    if raw is None:
        return None
    try:
        if _CALLBACK.fullmatch(raw):
            return datetime.fromisoformat(f"20{raw[:2]}-{raw[2:4]}-{raw[4:6]}T{raw[6:8]}:{raw[8:]}")
        match = _ISO_8601.fullmatch(raw)
        if match is None:
            return None
        day_text, minute_text, second, fraction, zone = match.groups(default="")
        # Digits beyond the microsecond are dropped.
        text = f"{day_text}T{minute_text}:{second or '00'}.{fraction[:6].ljust(6, '0')}{zone.upper()}"
        return datetime.fromisoformat(text)
    except ValueError:
        return None
