"""The API of the quarantine: callbacks that were set aside. Reading only; ``tracker quarantine accept`` appends one to the log."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, NotFoundException
from litestar.openapi.spec import Example
from litestar.params import PathParameter

from tracker.queries.history_reader import off_loop
from tracker.queries.quarantine import (
    EvidenceRow,
    Place,
    QuarantinedCallback,
    QuarantinedEvidence,
    QuarantineFilters,
    QuarantineRow,
    list_quarantined,
    read_quarantined,
)
from tracker.queries.reads import Connection, Pool, ask
from tracker.queries.times import parse_time
from tracker.settings import Settings
from tracker.twilio.callback import QUARANTINE_REASONS
from tracker.web.access.tokens import token_guards
from tracker.web.api.message_parameters import DEFAULT_LIMIT, Limit, moment, optional
from tracker.web.api.parameters import only, read_choice, read_flag, read_range
from tracker.web.problems import documented
from tracker.web.safe_json import SafeJsonResponse

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

QuarantineId = Annotated[
    str,
    PathParameter(
        description="The callback's `quarantine_id`.",
        examples=[Example(value="0196a0b8-7c3e-7000-8000-000000000000")],
        schema_extra={"format": "uuid"},
    ),
]
ReasonText = Annotated[
    str | None,
    optional("Only callbacks that were set aside for this reason.", "no_status", enum=list(QUARANTINE_REASONS)),
]
SinceText = Annotated[str | None, moment("Only callbacks that reached us then or later.", "2026-03-01T00:00:00Z")]
UntilText = Annotated[str | None, moment("Only callbacks that reached us before.", "2026-04-01T00:00:00Z")]
AcceptedText = Annotated[
    str | None,
    optional("`true`: only those that a person accepted; `false`: only those that wait.", enum=["true", "false"]),
]
CursorText = Annotated[
    str | None, optional("`next_cursor` of the page before, with the same filters; without it, the newest callbacks.")
]


class QuarantinePage(msgspec.Struct, frozen=True):
    """A part of the quarantine, newest first."""

    callbacks: Sequence[QuarantinedCallback]
    next_cursor: Annotated[
        str | None, msgspec.Meta(description="Give it as `cursor` for what follows; null: nothing follows.")
    ]


@get(
    "/quarantine",
    tags=["quarantine"],
    summary="Quarantined callbacks, newest first",
    description="Signed callbacks that are no message status, or that can be read in more than one way. They change no message until "
    "a person accepts one with `tracker quarantine accept`.",
    guards=[only(["reason", "since", "until", "accepted", "limit", "cursor"])],
    responses=documented(400, 401, 503),
)
async def get_quarantine(
    pool: NamedDependency[Pool],
    reason: ReasonText = None,
    since: SinceText = None,
    until: UntilText = None,
    accepted: AcceptedText = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> QuarantinePage:
    """A page of the callbacks that pass all filters."""
    return await find_quarantined(pool, read_filters(reason, since, until, accepted), cursor, limit)


@get(
    "/quarantine/{quarantine_id:str}",
    tags=["quarantine"],
    summary="A quarantined callback",
    description="With its evidence, and what it states when the first value of each name counts.",
    guards=[only([])],
    responses=documented(400, 401, 404, 503),
)
async def get_quarantined(quarantine_id: QuarantineId, pool: NamedDependency[Pool]) -> QuarantinedEvidence:
    """One callback."""
    return await find_callback(pool, quarantine_id)


def quarantine_router(settings: Settings) -> Router:
    """The API of the quarantine under ``/api``. Needs the dependency ``pool``."""
    return Router(
        "/api",
        route_handlers=[get_quarantine, get_quarantined],
        guards=token_guards(settings.api_token),
        security=None if settings.api_token is None else [{"bearer": []}],
        response_class=SafeJsonResponse,
    )


def read_filters(
    reason: str | None,
    since: str | None,
    until: str | None,
    accepted: str | None,
    parse: Callable[[str], datetime] = parse_time,
) -> QuarantineFilters:
    """The filters in the parameters. parse: reads a time. Raises ClientException."""
    first, end = read_range(since, until, parse)
    return QuarantineFilters(
        reason=read_choice("reason", reason, QUARANTINE_REASONS),
        since=first,
        until=end,
        accepted=read_flag("accepted", accepted),
    )


async def find_quarantined(pool: Pool, filters: QuarantineFilters, cursor: str | None, limit: int) -> QuarantinePage:
    """A page of the quarantine. Raises ClientException, and as ``ask`` does."""
    after = None if cursor is None else decode(cursor)

    async def read(connection: Connection) -> list[QuarantineRow]:
        return await list_quarantined(connection, filters, after, limit + 1)

    found = await ask(pool, read)
    following = encode(found[limit - 1].place) if len(found) > limit else None
    return QuarantinePage(await off_loop(lambda: [row.summary() for row in found[:limit]]), following)


async def find_callback(pool: Pool, quarantine_id: str) -> QuarantinedEvidence:
    """The callback of that identity. Raises ClientException, NotFoundException, and as ``ask`` does."""
    try:
        identity = UUID(quarantine_id)
    except ValueError:
        raise ClientException(detail="This is no quarantine_id: expected a UUID.") from None

    async def read(connection: Connection) -> EvidenceRow | None:
        return await read_quarantined(connection, identity)

    row = await ask(pool, read)
    if row is None:
        raise NotFoundException(detail=f"There is no quarantined callback {identity}.")
    return await off_loop(row.evidence)


def encode(place: Place) -> str:
    """The place as a text that needs no escaping in a URL."""
    microseconds = (place.received_at - _EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(microseconds.to_bytes(8, "big", signed=True) + place.quarantine_id.bytes).decode()


def decode(text: str) -> Place:
    """The place in a cursor. Raises ClientException."""
    try:
        data = urlsafe_b64decode(text)
        received_at = _EPOCH + timedelta(microseconds=int.from_bytes(data[:8], "big", signed=True))
        place = Place(received_at, UUID(bytes=data[8:]))
    except (ValueError, OverflowError, binascii.Error):
        place = None
    if place is None or encode(place) != text:
        raise ClientException(detail="cursor: is no next_cursor of this list; start again without it.")
    return place
