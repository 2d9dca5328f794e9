"""Events for tests, as our edge makes them, and a real log to append them to.

``event`` takes Twilio's parameters and reads them as the webhook does; ``new_event`` is by number, for tests to which the parameters
do not matter.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from uuid_utils import uuid7

from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.event_store import EventStore
from tracker.postgres.roles import Role, conninfo
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import first_values, parse_form

ACCOUNT = "AC" + "a" * 32
SID = "SM" + "1" * 32
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When ``event`` begins to count."""

ACCOUNT_SID = "AC" + "1" * 32
"""Account of numbered events."""

RECEIVED_AT = 1_795_435_200_123_456
"""When numbered events were received: 2026-11-23 12:00:00.123456 UTC in microseconds."""

EVIDENCE = Evidence(
    url="https://example.com/webhooks/twilio/status",
    body=b"MessageSid=SM1&MessageStatus=sent",
    signature="c2lnbmF0dXJl",
    idempotency_token="8f2e5a0e-6a5b-4b9e-9d0a-1c2d3e4f5a6b",
    key_id=f"{ACCOUNT_SID}/01234567",
)


def message_sid(number: int, prefix: str = "SM") -> str:
    """The SID of the message with this number."""
    return f"{prefix}{number:032x}"


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return START + timedelta(seconds=seconds)


def event(
    status: str,
    seconds: float = 0,
    sid: str = SID,
    *,
    body: bytes | None = None,
    token: str | None = None,
    **parameters: str | None,
) -> NewEvent:
    """A callback that said ``status`` and reached us so long after the beginning.

    parameters: of the callback, by Twilio's names; None leaves out one that is there by default.
    body: instead of all of that.
    """
    if body is None:
        given = {
            "AccountSid": ACCOUNT,
            "MessageSid": sid,
            "MessageStatus": status,
            "From": "+15557122661",
            "To": "+15558675310",
        }
        body = urlencode({name: value for name, value in (given | parameters).items() if value is not None}).encode()
    callback = read_callback(first_values(parse_form(body)))
    assert isinstance(callback, Callback), callback
    evidence = Evidence(
        "https://status.example.com/webhooks/twilio/status?tenant=7", body, "c2lnbmF0dXJl", token, f"{ACCOUNT}/0123abcd"
    )
    return NewEvent(uuid7().bytes, int(at(seconds).timestamp() * 1_000_000), callback, evidence)


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
    return NewEvent(event_id or uuid7().bytes, received_at, callback, evidence)


def new_events(count: int, start: int = 1) -> list[NewEvent]:
    """One event each of so many messages."""
    return [new_event(number) for number in range(start, start + count)]


def quarantined(
    reason: str = "no_message_sid",
    body: str | bytes | None = None,
    seconds: float | None = None,
    *,
    identity: UUID | None = None,
    key_id: str | None = None,
) -> Quarantined:
    """A signed callback that was set aside, so long after START where seconds are given, else at RECEIVED_AT.

    body, key_id: those of EVIDENCE by default.
    """
    octets = body.encode() if isinstance(body, str) else body or EVIDENCE.body
    evidence = Evidence(EVIDENCE.url, octets, EVIDENCE.signature, EVIDENCE.idempotency_token, key_id or EVIDENCE.key_id)
    return Quarantined(
        uuid7().bytes if identity is None else identity.bytes,
        RECEIVED_AT if seconds is None else int(at(seconds).timestamp() * 1_000_000),
        reason,
        evidence,
    )


def uuid_of(event: NewEvent) -> UUID:
    """The event's identity as psycopg returns it."""
    return UUID(bytes=event.event_id)


def append(database_url: str, events: Iterable[NewEvent | Quarantined]) -> None:
    """Put the events into the log, and callbacks into the quarantine, in this order."""
    asyncio.run(append_async(database_url, list(events)))


async def append_async(database_url: str, events: Sequence[NewEvent | Quarantined]) -> None:
    """The same inside a running loop."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application="tests"), 10)
    try:
        await store.append(events)
    finally:
        await store.close()
