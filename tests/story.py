"""Events for tests, written down briefly, taken in as the webhook takes them, appended to a real log, and projected."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from uuid_utils import uuid7

from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.projector import become_active
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.event_store import EventStore
from tracker.postgres.roles import Role, conninfo
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import first_values, parse_form

ACCOUNT = "AC" + "a" * 32
SID = "SM" + "1" * 32
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When stories begin."""


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


def quarantined(
    reason: str,
    body: str | bytes,
    seconds: float = 0,
    *,
    identity: UUID | None = None,
    key_id: str = f"{ACCOUNT}/0123abcd",
) -> Quarantined:
    """A signed callback that was set aside so long after the beginning."""
    octets = body.encode() if isinstance(body, str) else body
    evidence = Evidence("https://status.example.com/webhooks/twilio/status", octets, "c2lnbmF0dXJl", None, key_id)
    return Quarantined(
        uuid7().bytes if identity is None else identity.bytes,
        int(at(seconds).timestamp() * 1_000_000),
        reason,
        evidence,
    )


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


def project(database_url: str) -> None:
    """Bring every projection up to date."""
    with psycopg.connect(
        conninfo(database_url, role=Role.PROJECTOR, application="tests"), autocommit=True
    ) as connection:
        runner = Runner(connection, PROJECTIONS)
        become_active(runner)
        while runner.run_once():
            pass
