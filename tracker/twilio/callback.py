"""The parameters of a status callback, and what they say.

Source: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status. Only the documented ones are read; the body keeps
them all.
"""

import re
from typing import Final, Literal

import msgspec

MESSAGE_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
"""Shape of a message SID."""

_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-f]{32}", re.IGNORECASE | re.ASCII)

MAX_STATUS: Final = 64
"""Longest status that is taken for one, in characters; the longest known one has 19."""

_COLUMN_LIMIT: Final = 256
"""Characters of any other value that go into a column; the body keeps all of it."""


class Callback(msgspec.Struct, frozen=True, gc=False):
    """What a status callback says, read from its parameters."""

    account_sid: str | None
    """In canonical case: of the body, else of the key that verified it; None when neither names one."""
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
    """Twilio's own words for the error; None where it gave none."""


QuarantineReason = Literal[
    "no_message_sid", "invalid_message_sid", "no_status", "invalid_status", "ambiguous", "opt_out"
]
"""Why a verified callback is kept in the quarantine instead of the log."""

QUARANTINE_REASONS: Final[tuple[QuarantineReason, ...]] = (
    *("no_message_sid", "invalid_message_sid", "no_status", "invalid_status"),
    *("ambiguous", "opt_out"),
)


def read_callback(params: dict[str, str], key_account_sid: str | None = None) -> Callback | QuarantineReason:
    """What a verified callback states, or the reason why it states nothing about a message. Never ``ambiguous``, which depends on
    what was signed.

    params: first value of each name. key_account_sid: account of the key that verified it, for a body that names none.

    An inbound message (``SmsStatus=received``, no MessageStatus) is read like any other callback that has only the legacy name.
    """
    get = params.get
    if "OptOutType" in params and "MessageStatus" not in params:
        # Advanced Opt-Out reports an inbound STOP or START, not the status of a message (https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out).
        return "opt_out"
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
    # Most callbacks have none of these: no call for what is absent.
    error_code, error_message = get("ErrorCode"), get("ErrorMessage")
    done_date, service_sid = get("RawDlrDoneDate"), get("MessagingServiceSid")
    account_sid = get("AccountSid") or key_account_sid
    if account_sid != key_account_sid:
        account_sid = _column(canonical_account_sid(account_sid or ""))
    return Callback(
        account_sid,
        message_sid,
        status,
        _column(error_code) if error_code else None,
        _column(done_date) if done_date else None,
        _channel(message_sid, get("ChannelPrefix"), from_address, to_address),
        from_address,
        to_address,
        _column(service_sid) if service_sid else None,
        _column(error_message) if error_message else None,
    )


def canonical_account_sid(account_sid: str) -> str:
    """An account SID as Twilio spells it: ``AC`` and 32 hexadecimal digits in small letters. Any other text is returned unchanged."""
    return f"AC{account_sid[2:].lower()}" if _ACCOUNT_SID.fullmatch(account_sid) else account_sid


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
        if address and address[0] != "+":
            scheme, colon, _ = address.partition(":")
            if colon and _is_channel_name(scheme):
                return scheme.lower()
    if prefix and _is_channel_name(prefix):
        return prefix.lower()
    return "mms" if message_sid.startswith("MM") else "sms"


def _is_channel_name(text: str) -> bool:
    return len(text) <= 32 and text.isascii() and text.replace("_", "").isalnum()  # noqa: PLR2004  # a bound, no meaning
