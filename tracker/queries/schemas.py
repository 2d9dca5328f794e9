"""The shapes in which the API and ``tracker history --json`` answer."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from projections.fold.lifecycle import Effect
from projections.fold.message import Message
from tracker.control_characters import escape_json
from tracker.log.event import Event, Source
from tracker.queries.history import History
from tracker.twilio.done_date import parse_done_date
from tracker.twilio.form import parse_form
from tracker.twilio.statuses import Direction, direction_of, normalise

SID_PATTERN = "^([Ss][Mm]|[Mm][Mm])[0-9a-fA-F]{32}$"
"""Twilio's SIDs have two capital letters and small hexadecimal digits; others are read as if they had."""

_Sid = Annotated[
    str,
    msgspec.Meta(
        description="Twilio's SID of the message.", pattern=SID_PATTERN, examples=["SM" + "0123456789abcdef" * 2]
    ),
]
_Account = Annotated[
    str | None, msgspec.Meta(description="Twilio's SID of the account, a subaccount's own where one sent.")
]
_Service = Annotated[str | None, msgspec.Meta(description="SID of the Messaging Service; null when none was used.")]
_Channel = Annotated[
    str, msgspec.Meta(description="sms, mms, whatsapp, rcs, messenger, or another prefix that Twilio gave.")
]
_From = Annotated[str | None, msgspec.Meta(description="The sender: E.164, short code, name, or a channel's address.")]
_To = Annotated[
    str | None, msgspec.Meta(description="The recipient; null when no callback named it.", examples=["+15558675310"])
]
_Fingerprint = Annotated[
    str | None,
    msgspec.Meta(
        description="First 16 hexadecimal digits of SHA-256 over X-Twilio-Signature. The signature itself is not shown: it "
        "would verify other bodies, too. Null: there was none.",
        examples=["5f70bf18a0860070"],
    ),
]
_ErrorCode = Annotated[
    str | None, msgspec.Meta(description="Twilio's code, as text; null: no error.", examples=["30003"])
]
_RawDoneDate = Annotated[
    str | None,
    msgspec.Meta(
        description="The carrier's done date as Twilio passed it on, YYMMDDhhmm without time zone.",
        examples=["2603011200"],
    ),
]
_DoneAt = Annotated[
    str | None,
    msgspec.Meta(
        description="raw_dlr_done_date as date and time, without offset: the carrier's wall clock in an unknown time zone. "
        "Null: absent, or no date.",
        examples=["2026-03-01T12:00:00"],
    ),
]
_Direction = Annotated[
    Direction, msgspec.Meta(description="inbound: someone wrote to us; no delivery figure counts such messages.")
]
_ErrorMessage = Annotated[
    str | None, msgspec.Meta(description="Twilio's text about a failure, where it gave one (WhatsApp).")
]


class MessageState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one message. Times are RFC 3339 in UTC."""

    message_sid: _Sid
    account_sid: _Account
    messaging_service_sid: _Service
    channel: _Channel
    from_address: _From = msgspec.field(name="from")
    to_address: _To = msgspec.field(name="to")
    country: Annotated[
        str | None,
        msgspec.Meta(
            description="ISO 3166 code from the recipient's number; null when it cannot be told.", examples=["US"]
        ),
    ]
    status: Annotated[
        str, msgspec.Meta(description="What the deciding event says, in small letters.", examples=["delivered"])
    ]
    is_final: Annotated[bool, msgspec.Meta(description="Whether an outcome has been reached.")]
    error_code: _ErrorCode
    raw_dlr_done_date: _RawDoneDate
    carrier_done_at: _DoneAt
    decided_by: Annotated[int, msgspec.Meta(description="Position of the event that decides.", ge=1)]
    event_count: Annotated[int, msgspec.Meta(description="Events that count, repetitions included.", ge=1)]
    first_received_at: Annotated[datetime, msgspec.Meta(description="When the first of them reached us.")]
    last_received_at: Annotated[datetime, msgspec.Meta(description="When the last of them reached us.")]
    sent_at: Annotated[
        datetime | None,
        msgspec.Meta(
            description="When the first “sent” reached us, which is not when the message was sent: callbacks come late and out "
            "of order, so it may lie after delivered_at."
        ),
    ]
    delivered_at: Annotated[
        datetime | None,
        msgspec.Meta(
            description="When the first “delivered” reached us, which is not when the message was delivered: callbacks come late "
            "and out of order."
        ),
    ]
    direction: _Direction
    has_conflict: Annotated[bool, msgspec.Meta(description="Whether two different outcomes were reported.")]
    error_codes_seen: Annotated[
        Sequence[str],
        msgspec.Meta(description="Every error code that was ever reported; of many, the 32 smallest.", max_length=32),
    ]
    error_codes_truncated: Annotated[
        bool, msgspec.Meta(description="Whether more codes were reported than error_codes_seen lists.")
    ]
    error_message: _ErrorMessage

    @classmethod
    def of(cls, message: Message) -> "MessageState":
        """The answer that a folded message gives."""
        return cls(
            message_sid=message.message_sid,
            account_sid=message.account_sid or None,
            messaging_service_sid=message.messaging_service_sid,
            channel=message.channel,
            from_address=message.from_address,
            to_address=message.to_address,
            country=message.country,
            status=message.status,
            is_final=message.is_final,
            error_code=message.error_code,
            raw_dlr_done_date=message.raw_dlr_done_date,
            carrier_done_at=wall_clock(message.raw_dlr_done_date),
            decided_by=message.decided_by,
            event_count=message.event_count,
            first_received_at=message.first_received_at.astimezone(UTC),
            last_received_at=message.last_received_at.astimezone(UTC),
            sent_at=_utc(message.sent_at),
            delivered_at=_utc(message.delivered_at),
            direction=message.direction,
            has_conflict=message.has_conflict,
            error_codes_seen=message.error_codes_seen,
            error_codes_truncated=message.error_codes_truncated,
            error_message=message.error_message,
        )


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the log with its evidence. Times are RFC 3339 in UTC."""

    position: Annotated[int, msgspec.Meta(description="Its place in the log: 1, 2, 3 … without gaps.", ge=1)]
    event_id: Annotated[str, msgspec.Meta(description="UUIDv7, given when it was received.")]
    source: Annotated[Source, msgspec.Meta(description="How it reached us.")]
    account_sid: _Account
    message_sid: _Sid
    messaging_service_sid: _Service
    channel: _Channel
    from_address: _From = msgspec.field(name="from")
    to_address: _To = msgspec.field(name="to")
    status: Annotated[str, msgspec.Meta(description="As Twilio sent it.", examples=["delivered"])]
    error_code: _ErrorCode
    raw_dlr_done_date: _RawDoneDate
    carrier_done_at: _DoneAt
    received_at: Annotated[datetime, msgspec.Meta(description="When it reached us.")]
    recorded_at: Annotated[datetime, msgspec.Meta(description="When the database took it.")]
    effect: Annotated[
        Effect,
        msgspec.Meta(
            description="What it did when it was appended, whatever as_of says. "
            "decided: the state became what it says. corrected: the same, and it changed an outcome. "
            "late: something new about what had passed. duplicate: nothing new. "
            "unknown: its status is none that is known."
        ),
    ]
    params: Annotated[
        dict[str, str | list[str]],
        msgspec.Meta(
            description="Every parameter as sent; one that was sent several times has all its values, in order."
        ),
    ]
    url: Annotated[str | None, msgspec.Meta(description="The URL that was signed.")]
    body: Annotated[str | None, msgspec.Meta(description="The exact body; null when it is not UTF-8.")]
    body_base64: Annotated[str, msgspec.Meta(description="The exact bytes of the body.")]
    signature_fingerprint: _Fingerprint
    idempotency_token: Annotated[
        str | None, msgspec.Meta(description="I-Twilio-Idempotency-Token; null when there was none.")
    ]
    key_id: Annotated[str | None, msgspec.Meta(description="Names the key that verified the signature.")]
    direction: _Direction
    error_message: _ErrorMessage

    @classmethod
    def of(cls, event: Event, effect: Effect) -> "EventAnswer":
        """The answer that an event gives."""
        return cls(
            position=event.position,
            event_id=str(event.event_id),
            source=event.source,
            account_sid=event.account_sid,
            message_sid=event.message_sid,
            messaging_service_sid=event.messaging_service_sid,
            channel=event.channel,
            from_address=event.from_address,
            to_address=event.to_address,
            status=event.status,
            error_code=event.error_code,
            raw_dlr_done_date=event.raw_dlr_done_date,
            carrier_done_at=wall_clock(event.raw_dlr_done_date),
            received_at=event.received_at.astimezone(UTC),
            recorded_at=event.recorded_at.astimezone(UTC),
            effect=effect,
            params=parameters(event.body),
            url=event.url,
            body=text_of(event.body),
            body_base64=base64.b64encode(event.body).decode(),
            signature_fingerprint=signature_fingerprint(event.signature),
            idempotency_token=event.idempotency_token,
            key_id=event.key_id,
            direction=direction_of(normalise(event.status)),
            error_message=event.error_message,
        )


class MessageEvents(msgspec.Struct, frozen=True):
    """A page of the history of one message, by position."""

    message_sid: _Sid
    events: Sequence[EventAnswer]
    next_after: Annotated[
        int | None, msgspec.Meta(description="Give it as `after` for the events that follow; null: none follows.")
    ]

    @classmethod
    def of(cls, history: History) -> "MessageEvents":
        """The answer that a history gives."""
        events = [EventAnswer.of(entry.event, entry.effect) for entry in history.entries]
        return cls(history.message.message_sid, events, history.next_after)


class MessageDossier(msgspec.Struct, frozen=True):
    """State and a page of the history together."""

    message_sid: _Sid
    state: MessageState
    events: Sequence[EventAnswer]
    next_after: int | None

    @classmethod
    def of(cls, history: History) -> "MessageDossier":
        """The answer that a history gives."""
        answer = MessageEvents.of(history)
        return cls(answer.message_sid, MessageState.of(history.message), answer.events, answer.next_after)

    def as_json(self) -> str:
        """Indented, without characters that steer a terminal."""
        return escape_json(msgspec.json.format(msgspec.json.encode(self), indent=2).decode())


def parameters(body: bytes) -> dict[str, str | list[str]]:
    """The parameters of a form-encoded body by name, in order of appearance; all values where a name is repeated."""
    values: dict[str, list[str]] = {}
    for name, value in parse_form(body):
        values.setdefault(name, []).append(value)
    return {name: given[0] if len(given) == 1 else given for name, given in values.items()}


def signature_fingerprint(signature: str | None) -> str | None:
    """Identifies a signature without disclosing it; None for none."""
    return None if signature is None else hashlib.sha256(signature.encode()).hexdigest()[:16]


def wall_clock(raw_done_date: str | None) -> str | None:
    """A carrier's done date as date and time without offset, because its time zone is unknown; None when it is no date."""
    done_at = parse_done_date(raw_done_date)
    return None if done_at is None else done_at.replace(tzinfo=None).isoformat()


def text_of(body: bytes) -> str | None:
    """The body as text; None when it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
