"""``RawDlrDoneDate``: the carrier's own clock, passed through by Twilio.

Format YYMMDDhhmm, minute precision, no time zone ("the timezone offset varies between carrier partners and even within the same
carrier"), absent from many messages. Source: https://twilio.com/en-us/changelog/addition-of-rawdlrdonedate-to-delivered-and-undelivered-status-webhooks
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

CREDIBLE_AHEAD = timedelta(days=2)
"""How far a done date may lie after the moment we received it. Time zones explain 14 hours; a clock that says 2099 is lying,
and its word must not outweigh every later one."""

_FORMAT = re.compile(r"[0-9]{10}")


@lru_cache(maxsize=16384)
def parse_done_date(raw: str | None) -> datetime | None:
    """``RawDlrDoneDate`` read as UTC in this century; None when it is absent or no date. Never raises."""
    if raw is None or not _FORMAT.fullmatch(raw):
        return None
    year, month, day, hour, minute = (int(raw[start : start + 2]) for start in range(0, 10, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None


def credible_done_date(raw: str | None, received_at: datetime) -> datetime | None:
    """The done date where it may decide between two outcomes; None when it is absent, no date, or in the future."""
    done_at = parse_done_date(raw)
    return None if done_at is None or done_at > received_at + CREDIBLE_AHEAD else done_at
