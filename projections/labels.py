"""Bounded values for labels and groups: whatever a callback says, it cannot multiply series or rows without end."""

import re
from functools import lru_cache
from typing import Final

from tracker.twilio.error_codes import OTHER
from tracker.twilio.statuses import PHASES

CHANNELS: Final = frozenset({"sms", "mms", "whatsapp", "rcs", "messenger"})
"""Channels that Twilio documents."""

UNKNOWN_COUNTRY: Final = "unknown"
"""Stands for a country that cannot be told."""

_ERROR_CODE: Final = re.compile(r"[1-9][0-9]{4}")
_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")


def channel_label(channel: str) -> str:
    """The channel, or ``other``."""
    return channel if channel in CHANNELS else OTHER


def country_label(country: str | None) -> str:
    """The country, or ``unknown``. Countries are bounded where they are told."""
    return UNKNOWN_COUNTRY if country is None else country


def status_label(status: str) -> str:
    """The status, or ``other`` for one that we do not know."""
    return status if status in PHASES else OTHER


@lru_cache(maxsize=4096)
def error_code_group(error_code: str | None) -> str:
    """The code, one that our dictionary lacks too; ``other`` for a text that is no code of Twilio's shape, empty for none."""
    if not error_code:
        return ""
    return error_code if _ERROR_CODE.fullmatch(error_code) else OTHER


@lru_cache(maxsize=4096)
def service_group(messaging_service_sid: str | None) -> str:
    """The messaging service; ``other`` for a text that is no SID of one, empty for none."""
    if not messaging_service_sid:
        return ""
    return messaging_service_sid if _SERVICE_SID.fullmatch(messaging_service_sid) else OTHER
