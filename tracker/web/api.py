"""The API: the state of a message, its history, and the list of messages."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import Example, OpenAPIType, Schema
from litestar.params import PathParameter, QueryParameter

from tracker.log.event import Event
from tracker.log.reader import read_history
from tracker.messages.answers import SID_PATTERN, MessageEvents, MessageState
from tracker.messages.as_of import Clock
from tracker.messages.history import state, tell, why_nothing
from tracker.settings import Settings
from tracker.web.auth import token_guards
from tracker.web.cursor import Place, encode
from tracker.web.listing import Filters, read_messages
from tracker.web.parameters import (
    MAX_TEXT,
    only,
    read_account,
    read_address,
    read_as_of,
    read_cursor,
    read_moment,
    read_sid,
    read_statuses,
    read_text,
)
from tracker.web.problems import documented
from tracker.web.reads import Connection, Pool, ask

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000


def _optional(description: str, example: str | None = None, name: str | None = None, **schema: Any) -> QueryParameter:
    """A parameter that may be left out; given, it is a text, never the null that the type alone suggests."""
    return QueryParameter(
        name=name,
        description=description,
        examples=None if example is None else [Example(value=example)],
        schema_extra={"type": "string", "oneOf": None, **schema},
    )


def _moment(description: str, example: str, name: str | None = None) -> QueryParameter:
    return _optional(f"{description} RFC 3339, with an offset.", example, name, format="date-time")


def _filter(description: str, example: str, name: str | None = None) -> QueryParameter:
    return _optional(description, example, name, minLength=1, maxLength=MAX_TEXT)


Sid = Annotated[
    str,
    PathParameter(
        description="Twilio's SID of the message, SM… or MM….",
        examples=[Example(value="SM0123456789abcdef0123456789abcdef")],
        schema_extra={"pattern": SID_PATTERN},
    ),
]
AsOfText = Annotated[str | None, _moment("Answer as of this moment; without it, now.", "2026-03-01T12:00:00Z")]
ClockText = Annotated[
    str | None,
    _optional(
        "When an event counts. `known` (default): it had reached us at `as_of`. `happened`: it was done at `as_of` by "
        "the carrier's done date where that can be believed (to the minute, read as UTC), else it had reached us.",
        enum=list(Clock),
    ),
]
StatusTexts = Annotated[
    list[str] | None,
    QueryParameter(
        name="status",
        description="Only messages in this status. Repeated, or several separated by commas: in any of them.",
        examples=[Example(value=["failed", "undelivered"])],
        schema_extra={"type": "array", "items": Schema(type=OpenAPIType.STRING), "oneOf": None},
    ),
]
ErrorCodeText = Annotated[str | None, _filter("Only messages with this error code.", "30003")]
AccountText = Annotated[str | None, _optional("Only messages of this account.", pattern="^AC[0-9a-fA-F]{32}$")]
ToText = Annotated[str | None, _filter("Only messages to this address, exactly.", "+15558675310")]
FromText = Annotated[str | None, _filter("Only messages from this address, exactly.", "+15557122661", "from")]
SinceText = Annotated[
    str | None, _moment("Only messages whose first event reached us then or later.", "2026-03-01T00:00:00Z")
]
UntilText = Annotated[str | None, _moment("Only messages whose first event reached us before.", "2026-04-01T00:00:00Z")]
Limit = Annotated[int, QueryParameter(description="Messages in one answer at most.", ge=1, le=MAX_LIMIT)]
CursorText = Annotated[
    str | None, _optional("`next_cursor` of the page before, with the same filters; without it, the newest messages.")
]


class MessagePage(msgspec.Struct, frozen=True):
    """A part of the list of messages, newest first."""

    messages: Sequence[MessageState]
    next_cursor: Annotated[
        str | None, msgspec.Meta(description="Give it as `cursor` for what follows; null: nothing follows.")
    ]


@get(
    "/messages/{message_sid:str}",
    tags=["messages"],
    summary="The state of a message",
    description="Folded from the whole history in the log, so it never lags behind `/events`.",
    guards=[only(["as_of", "clock"])],
    responses=documented(400, 401, 404, 503),
)
async def get_message(
    message_sid: Sid, pool: NamedDependency[Pool], as_of: AsOfText = None, clock: ClockText = None
) -> MessageState:
    """What is known of a message, now or as of a moment."""
    sid, moment = read_sid(message_sid), read_as_of(as_of, clock)
    events = await history_of(pool, sid)
    message = state(events, moment)
    if message is None:
        raise NotFoundException(detail=why_nothing(sid, events, moment))
    return MessageState.of(message)


@get(
    "/messages/{message_sid:str}/events",
    tags=["messages"],
    summary="The history of a message",
    description="Every event with its evidence, by position. `effect` is what the event did when it was appended; "
    "`as_of` leaves events out and changes no effect.",
    guards=[only(["as_of", "clock"])],
    responses=documented(400, 401, 404, 503),
)
async def get_message_events(
    message_sid: Sid, pool: NamedDependency[Pool], as_of: AsOfText = None, clock: ClockText = None
) -> MessageEvents:
    """Every event of a message that counts, now or as of a moment."""
    sid, moment = read_sid(message_sid), read_as_of(as_of, clock)
    events = await history_of(pool, sid)
    history = tell(events, moment)
    if history is None:
        raise NotFoundException(detail=why_nothing(sid, events, moment))
    return MessageEvents.of(history)


@get(
    "/messages",
    tags=["messages"],
    summary="Messages, newest first",
    description="By the time when the first event of each reached us, from the table that the projector keeps: it may "
    "trail the log by a moment. Following `next_cursor` gives every message once, whatever arrives meanwhile.",
    guards=[only(["error_code", "account_sid", "to", "from", "since", "until", "limit", "cursor"], ["status"])],
    responses=documented(400, 401, 503),
)
async def list_messages(  # one a query parameter
    pool: NamedDependency[Pool],
    statuses: StatusTexts = None,
    error_code: ErrorCodeText = None,
    account_sid: AccountText = None,
    to: ToText = None,
    from_address: FromText = None,
    since: SinceText = None,
    until: UntilText = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> MessagePage:
    """A page of the messages that pass all filters."""
    filters = Filters(
        statuses=read_statuses(statuses),
        error_code=read_text("error_code", error_code),
        account_sid=read_account(account_sid),
        to_address=read_address("to", to),
        from_address=read_address("from", from_address),
        since=read_moment("since", since),
        until=read_moment("until", until),
    )
    after = read_cursor(cursor)

    async def read(connection: Connection) -> list[MessageState]:
        # One more than asked for tells whether anything follows.
        return await read_messages(connection, filters, after, limit + 1)

    found = await ask(pool, read)
    last = found[limit - 1] if len(found) > limit else None
    return MessagePage(found[:limit], None if last is None else encode(Place(last.first_received_at, last.message_sid)))


def api_router(settings: Settings) -> Router:
    """The API under ``/api``. Needs the dependency ``pool``."""
    return Router(
        "/api",
        route_handlers=[get_message, get_message_events, list_messages],
        guards=token_guards(settings.api_token),
        security=None if settings.api_token is None else [{"bearer": []}],
    )


async def history_of(pool: Pool, message_sid: str) -> list[Event]:
    """A message's events, by position. Raises as ``ask`` does."""

    async def read(connection: Connection) -> list[Event]:
        return await read_history(connection, message_sid)

    return await ask(pool, read)
