"""An event: one fact about one message, as we received it."""

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from tracker.twilio.callback import Callback

Source = Literal["callback", "event_stream", "api", "reconciliation", "alert"]
"""How a fact reached us."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What proves, years later and to anyone with the token, that Twilio said it."""

    url: str
    """In the form that was signed."""
    body: bytes
    """The exact bytes."""
    signature: str
    idempotency_token: str | None
    key_id: str
    """Of the key that verified the signature."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has no position yet. Made at our edge, where it also gets its identity."""

    event_id: bytes
    """UUIDv7, 16 bytes."""
    received_at: int
    """Microseconds since the Unix epoch, UTC; when it reached our edge."""
    callback: Callback
    evidence: Evidence
    source: Source = "callback"


class Quarantined(msgspec.Struct, frozen=True, gc=False):
    """A verified request that is no message status, or an ambiguous one, kept whole."""

    quarantine_id: bytes
    received_at: int
    reason: str
    """One of QUARANTINE_REASONS. Any text, so that a spool file of another version can be read."""
    evidence: Evidence


class Event(msgspec.Struct, frozen=True):
    """An event of the log, whole, as an auditor sees it."""

    position: int
    event_id: UUID
    source: Source
    account_sid: str | None
    message_sid: str
    status: str
    error_code: str | None
    raw_dlr_done_date: str | None
    channel: str
    from_address: str | None
    to_address: str | None
    messaging_service_sid: str | None
    received_at: datetime
    recorded_at: datetime
    url: str | None
    body: bytes
    signature: str | None
    idempotency_token: str | None
    key_id: str | None
    error_message: str | None = None
    """Twilio's text about a failure; None when there was none."""


def from_microseconds(received_at: int) -> datetime:
    """A UTC time from microseconds since the Unix epoch."""
    return _EPOCH + timedelta(microseconds=received_at)
