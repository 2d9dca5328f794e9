"""Events as our edge makes them, before they have a position."""

from uuid import UUID

import uuid_utils

from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.twilio.callback import Callback

ACCOUNT_SID = "AC" + "1" * 32

RECEIVED_AT = 1_795_435_200_123_456
"""2026-11-23 12:00:00.123456 UTC in microseconds."""

EVIDENCE = Evidence(
    url="https://example.com/webhooks/twilio/status",
    body=b"MessageSid=SM1&MessageStatus=sent",
    signature="c2lnbmF0dXJl",
    idempotency_token="8f2e5a0e-6a5b-4b9e-9d0a-1c2d3e4f5a6b",
    key_id=f"{ACCOUNT_SID}/01234567",
)


def message_sid(number: int) -> str:
    """The SID of the message with this number."""
    return f"SM{number:032x}"


def new_event(
    number: int = 1,
    status: str = "sent",
    *,
    event_id: bytes | None = None,
    error_code: str | None = None,
    raw_dlr_done_date: str | None = None,
    evidence: Evidence = EVIDENCE,
    received_at: int = RECEIVED_AT,
) -> NewEvent:
    """An event of the message with this number, with an identity of its own unless one is given."""
    callback = Callback(
        ACCOUNT_SID,
        message_sid(number),
        status,
        error_code,
        raw_dlr_done_date,
        "sms",
        "+15017122661",
        "+14155238886",
        None,
    )
    return NewEvent(event_id or uuid_utils.uuid7().bytes, received_at, callback, evidence)


def new_events(count: int, start: int = 1) -> list[NewEvent]:
    """One event each of so many messages."""
    return [new_event(number) for number in range(start, start + count)]


def quarantined(reason: str = "no_message_sid") -> Quarantined:
    """A signed request that is no message status."""
    return Quarantined(uuid_utils.uuid7().bytes, RECEIVED_AT, reason, EVIDENCE)


def uuid_of(event: NewEvent) -> UUID:
    """The event's identity as psycopg returns it."""
    return UUID(bytes=event.event_id)
