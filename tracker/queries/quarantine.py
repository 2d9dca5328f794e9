"""The quarantine for people: signed callbacks that are no message status, or ambiguous, and how one becomes an event after all."""

import base64
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from tracker.control_characters import escape_json
from tracker.postgres.sql_files import query
from tracker.queries.schemas import parameters, signature_fingerprint, text_of
from tracker.twilio.addresses import canonical_sid
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import first_values, parse_form

MAX_REASON: Final = 1000
"""Characters of the reason of an acceptance."""

_LISTED_BODY: Final = 4096
"""Bytes of a body that a list still reads; longer ones are read one at a time. Twilio's callbacks have 300 to 1,500."""

_KEY_ACCOUNT: Final = re.compile(r"(AC[0-9a-fA-F]{32})/.*", re.ASCII | re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"AC[0-9a-f]{32}", re.IGNORECASE)

MEANINGS: Final[dict[str, str]] = {
    "no_message_sid": "names no message",
    "invalid_message_sid": "names a message by what is no SID",
    "no_status": "names no status",
    "invalid_status": "has a status that cannot be one",
    "ambiguous": "can be read in more than one way under the same signature",
    "opt_out": "is an Advanced Opt-Out notice",
}
"""What each reason says of a callback."""


class Waiting(NamedTuple):
    """Callbacks that nobody has accepted."""

    callbacks: int
    at_least: bool
    """Whether older ones were not counted."""


class Place(NamedTuple):
    """A callback's place in the list, which is ordered by both."""

    received_at: datetime
    quarantine_id: UUID


class QuarantineFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which callbacks are wanted. None: all of them."""

    reason: str | None = None
    since: datetime | None = None
    """Received at this time or later."""
    until: datetime | None = None
    """Received before this time."""
    accepted: bool | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a body states when the first value of each name counts: the columns of the event that an acceptance would append."""

    account_sid: Annotated[str | None, msgspec.Meta(description="The body's, else that of the key that verified it.")]
    message_sid: str
    status: str
    error_code: str | None
    raw_dlr_done_date: str | None
    channel: str
    from_address: str | None = msgspec.field(name="from")
    to_address: str | None = msgspec.field(name="to")
    messaging_service_sid: str | None
    error_message: str | None


class Acceptance(msgspec.Struct, frozen=True):
    """When, by whom and why a callback was appended to the log."""

    accepted_at: datetime
    accepted_by: Annotated[str, msgspec.Meta(description="User name on the machine where the command ran.")]
    reason: str
    event_id: Annotated[str, msgspec.Meta(description="The event that it became.")]


class QuarantinedCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A signed callback that was set aside. Times are RFC 3339 in UTC."""

    quarantine_id: Annotated[str, msgspec.Meta(description="UUIDv7, given when it was received.")]
    reason: Annotated[
        str, msgspec.Meta(description="Why it was set aside.", examples=["no_message_sid", "no_status", "ambiguous"])
    ]
    received_at: Annotated[datetime, msgspec.Meta(description="When it reached us.")]
    recorded_at: Annotated[datetime, msgspec.Meta(description="When the database took it.")]
    key_id: Annotated[str, msgspec.Meta(description="Names the key that verified the signature.")]
    body_bytes: Annotated[int, msgspec.Meta(description="Length of the body.")]
    reading: Annotated[
        Reading | None,
        msgspec.Meta(
            description="The first value of each name as sent. A callback is ambiguous because its signature fits other "
            "readings too. Null: it names no message or no status, or, in a list, its body has more than 4096 bytes."
        ),
    ]
    acceptance: Annotated[Acceptance | None, msgspec.Meta(description="Null: nobody has accepted it.")]


class QuarantinedEvidence(QuarantinedCallback, frozen=True, kw_only=True):
    """A quarantined callback with its evidence."""

    params: Annotated[
        dict[str, str | list[str]],
        msgspec.Meta(description="Every parameter as sent; all values, in order, where a name is repeated."),
    ]
    url: Annotated[str, msgspec.Meta(description="The URL that was signed.")]
    body: Annotated[str | None, msgspec.Meta(description="The exact body; null when it is not UTF-8.")]
    body_base64: Annotated[str, msgspec.Meta(description="The exact bytes of the body.")]
    signature_fingerprint: Annotated[
        str | None,
        msgspec.Meta(description="First 16 hexadecimal digits of SHA-256 over X-Twilio-Signature, which is secret."),
    ]
    idempotency_token: Annotated[
        str | None, msgspec.Meta(description="I-Twilio-Idempotency-Token; null when there was none.")
    ]

    def as_json(self) -> str:
        """Indented, without characters that steer a terminal."""
        return escape_json(msgspec.json.format(msgspec.json.encode(self), indent=2).decode())


class QuarantineRow(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantined callback as the database has it. Its body has not been read yet, which may take milliseconds."""

    quarantine_id: UUID
    reason: str
    received_at: datetime
    recorded_at: datetime
    key_id: str
    body_bytes: int
    body: bytes | None
    """None: too long for the list."""
    accepted_at: datetime | None
    accepted_by: str | None
    acceptance_reason: str | None
    event_id: UUID | None

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.received_at, self.quarantine_id)

    def summary(self) -> QuarantinedCallback:
        """The callback as a list shows it."""
        return QuarantinedCallback(**self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "quarantine_id": str(self.quarantine_id),
            "reason": self.reason,
            "received_at": self.received_at.astimezone(UTC),
            "recorded_at": self.recorded_at.astimezone(UTC),
            "key_id": self.key_id,
            "body_bytes": self.body_bytes,
            "reading": None if self.body is None else read_body(self.body, self.key_id),
            "acceptance": self._acceptance(),
        }

    def _acceptance(self) -> Acceptance | None:
        if self.accepted_at is None or self.accepted_by is None or self.acceptance_reason is None:
            return None
        return Acceptance(
            self.accepted_at.astimezone(UTC), self.accepted_by, self.acceptance_reason, str(self.event_id)
        )


class EvidenceRow(QuarantineRow, frozen=True, kw_only=True):
    """A quarantined callback with its evidence as the database has it."""

    url: str
    signature: str
    idempotency_token: str | None

    def evidence(self) -> QuarantinedEvidence:
        """The callback with its evidence."""
        body = self.body or b""
        return QuarantinedEvidence(
            **self._fields(),
            params=parameters(body),
            url=self.url,
            body=text_of(body),
            body_base64=base64.b64encode(body).decode(),
            signature_fingerprint=signature_fingerprint(self.signature),
            idempotency_token=self.idempotency_token,
        )


async def list_quarantined(
    connection: AsyncConnection[TupleRow], filters: QuarantineFilters, after: Place | None, limit: int
) -> list[QuarantineRow]:
    """At most ``limit`` callbacks, newest first, from the one that follows ``after`` on; None: from the newest.

    Raises psycopg.Error.
    """
    values = {
        **msgspec.structs.asdict(filters),
        "before": after and after.received_at,
        "before_id": after and after.quarantine_id,
        "max_body": _LISTED_BODY,
        "limit": limit,
    }
    async with connection.cursor(binary=True, row_factory=class_row(QuarantineRow)) as cursor:
        await cursor.execute(query("list_quarantined"), values, prepare=False)
        return await cursor.fetchall()


async def read_quarantined(connection: AsyncConnection[TupleRow], quarantine_id: UUID) -> EvidenceRow | None:
    """One callback with its evidence; None for an unknown identity. Raises psycopg.Error."""
    async with connection.cursor(binary=True, row_factory=class_row(EvidenceRow)) as cursor:
        await cursor.execute(query("read_quarantined"), {"quarantine_id": quarantine_id})
        return await cursor.fetchone()


async def count_waiting(connection: AsyncConnection[TupleRow], looked_at: int) -> Waiting:
    """How many of the newest ``looked_at`` callbacks wait for a person. Raises psycopg.Error."""
    cursor = await connection.execute(query("count_quarantined"), {"limit": looked_at})
    row = await cursor.fetchone()
    assert row is not None
    return Waiting(row[1], at_least=row[0] >= looked_at)


async def accept_quarantined(
    connection: AsyncConnection[TupleRow], callback: QuarantinedCallback, accepted_by: str, reason: str
) -> bool:
    """Append a callback to the log as the event that its reading states. False: it had been accepted before.

    callback: with a reading. Raises psycopg.Error.
    """
    assert callback.reading is not None
    columns = msgspec.structs.asdict(callback.reading)
    cursor = await connection.execute(
        query("accept_quarantined"),
        {"quarantine_id": UUID(callback.quarantine_id), "accepted_by": accepted_by, "reason": reason, **columns},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def read_body(body: bytes, key_id: str) -> Reading | None:
    """What a body states, the first value of each name; None when it names no message or no status."""
    callback = read_callback(first_values(parse_form(body)))
    if not isinstance(callback, Callback):
        return None
    return Reading(
        account_sid=_account(callback.account_sid, key_id),
        message_sid=callback.message_sid,
        status=callback.status,
        error_code=callback.error_code,
        raw_dlr_done_date=callback.raw_dlr_done_date,
        channel=callback.channel,
        from_address=callback.from_address,
        to_address=callback.to_address,
        messaging_service_sid=callback.messaging_service_sid,
        error_message=callback.error_message,
    )


def _account(account_sid: str | None, key_id: str) -> str | None:
    """The account in canonical case: of the body, else the one that the key's identity names."""
    if account_sid is not None:
        return canonical_sid(account_sid) if _ACCOUNT.fullmatch(account_sid) else account_sid
    named = _KEY_ACCOUNT.fullmatch(key_id)
    return None if named is None else canonical_sid(named[1])
