"""The parameters of a status callback, and what they say.

Source: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status. Only the documented ones are read; the body keeps
them all.
"""

import re
from typing import Final

import msgspec

MESSAGE_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
"""Shape of a message SID."""

MAX_STATUS: Final = 64
"""Longest status that is taken for one, in characters; the longest known one has 19."""

_COLUMN_LIMIT: Final = 256
"""Characters of any other value that go into a column; the body keeps all of it."""


class Callback(msgspec.Struct, frozen=True, gc=False):
    """What a status callback says, read from its parameters."""

    account_sid: str | None
    message_sid: str
    status: str
    """As Twilio sent it."""
    error_code: str | None
    raw_dlr_done_date: str | None
    channel: str
    """``sms``, ``mms``, ``whatsapp``, ``rcs``, ``messenger`` … or another prefix that Twilio gave."""
    from_address: str | None
    to_address: str | None
    messaging_service_sid: str | None
    error_message: str | None = None


def read_callback(params: dict[str, str]) -> Callback | str:
    """What a verified callback says, or the reason why it is not about a message: ``no_message_sid``,
    ``invalid_message_sid``, ``no_status``, ``invalid_status`` (the quarantine's words)."""
    get = params.get
    message_sid = get("MessageSid") or get("SmsSid")
    if not message_sid:
        return "no_message_sid"
    if MESSAGE_SID.fullmatch(message_sid) is None:
        return "invalid_message_sid"
    status = get("MessageStatus") or get("SmsStatus")
    if not status or not status.strip():
        return "no_status"
    if len(status) > MAX_STATUS or "\0" in status:
        return "invalid_status"
    from_address, to_address = _column(get("From")), _column(get("To"))
    return Callback(
        _column(get("AccountSid")),
        message_sid,
        status,
        _column(get("ErrorCode")),
        _column(get("RawDlrDoneDate")),
        _channel(message_sid, get("ChannelPrefix"), from_address, to_address),
        from_address,
        to_address,
        _column(get("MessagingServiceSid")),
    )


def _column(value: str | None) -> str | None:
    """A bounded value that PostgreSQL takes as text; None for an absent or empty one."""
    if not value:
        return None
    if len(value) > _COLUMN_LIMIT:
        value = value[:_COLUMN_LIMIT]
    return value if "\0" not in value else value.replace("\0", "\ufffd")


def _channel(message_sid: str, prefix: str | None, from_address: str | None, to_address: str | None) -> str:
    """Twilio's channel name; without one, the SID's kind tells SMS from MMS."""
    for address in (from_address, to_address):
        if address and not address.startswith("+"):
            scheme, colon, _ = address.partition(":")
            if colon and _is_channel_name(scheme):
                return scheme.lower()
    if prefix and _is_channel_name(prefix):
        return prefix.lower()
    return "mms" if message_sid.startswith("MM") else "sms"


def _is_channel_name(text: str) -> bool:
    return len(text) <= 32 and text.isascii() and text.replace("_", "").isalnum()  # noqa: PLR2004  # a bound, no meaning
