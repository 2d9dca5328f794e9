"""The API: the state of a message, its history, and the list of messages."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, HTTPException, NotFoundException

from tracker.queries.as_of import AsOf
from tracker.queries.cursor import encode
from tracker.queries.history import History
from tracker.queries.history_reader import (
    INLINE_EVENTS,
    PAGE_EVENTS,
    Answer,
    NothingKnownError,
    SeveralAccountsError,
    off_loop,
    read_message,
)
from tracker.queries.message_list import Filters, NoSuchValueError, place_of, read_messages
from tracker.queries.reads import Connection, Pool, ask
from tracker.queries.schemas import MessageEvents, MessageState
from tracker.settings import Settings
from tracker.web.access.tokens import token_guards
from tracker.web.api.message_parameters import (
    DEFAULT_LIMIT,
    AccountText,
    After,
    AsOfText,
    ChannelText,
    ClockText,
    ConflictText,
    CountryText,
    CursorText,
    DirectionText,
    EffectText,
    ErrorCodeText,
    EventLimit,
    FromText,
    HadErrorCodeText,
    Limit,
    OwnerText,
    ServiceText,
    Sid,
    SinceText,
    StatusTexts,
    ToText,
    UntilText,
)
from tracker.web.api.parameters import (
    DIRECTIONS,
    EFFECTS,
    only,
    read_account,
    read_address,
    read_as_of,
    read_channel,
    read_choice,
    read_country,
    read_cursor,
    read_error_code,
    read_flag,
    read_range,
    read_service,
    read_sid,
    read_statuses,
)
from tracker.web.problems import ACCOUNTS, documented
from tracker.web.safe_json import SafeJsonResponse


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
    guards=[only(["as_of", "clock", "account_sid"])],
    responses=documented(400, 401, 404, 409, 503),
)
async def get_message(
    message_sid: Sid,
    pool: NamedDependency[Pool],
    as_of: AsOfText = None,
    clock: ClockText = None,
    account_sid: OwnerText = None,
) -> MessageState:
    """What is known of a message, now or as of a moment."""
    sid, moment, account = read_sid(message_sid), read_as_of(as_of, clock), read_account(account_sid, none=True)
    history = await find_history(pool, sid, account, moment, limit=0)
    return MessageState.of(history.message)


@get(
    "/messages/{message_sid:str}/events",
    tags=["messages"],
    summary="The history of a message",
    description="Its events with their evidence, by position, a page at a time. `effect` is what the event did when it was appended; "
    "`as_of` leaves events out and changes no effect. A page ends early where bodies are long.",
    guards=[only(["as_of", "clock", "account_sid", "after", "limit"])],
    responses=documented(400, 401, 404, 409, 503),
)
async def get_message_events(
    message_sid: Sid,
    pool: NamedDependency[Pool],
    as_of: AsOfText = None,
    clock: ClockText = None,
    account_sid: OwnerText = None,
    after: After = 0,
    limit: EventLimit = PAGE_EVENTS,
) -> MessageEvents:
    """A page of the events of a message that count, now or as of a moment."""
    sid, moment, account = read_sid(message_sid), read_as_of(as_of, clock), read_account(account_sid, none=True)
    history = await find_history(pool, sid, account, moment, after=after, limit=limit)
    return await build(history, lambda: MessageEvents.of(history))


@get(
    "/messages",
    tags=["messages"],
    summary="Messages, newest first",
    description="By the time when the first event of each reached us, from the table that the projector keeps: it may "
    "trail the log by a moment. Following `next_cursor` gives every message once, whatever arrives meanwhile.",
    guards=[
        only(
            [
                *("error_code", "had_error_code", "account_sid", "to", "from", "channel", "country"),
                *("messaging_service_sid", "effect", "has_conflict", "direction", "since", "until", "limit", "cursor"),
            ],
            ["status"],
        )
    ],
    responses=documented(400, 401, 503),
)
async def list_messages(  # one a query parameter
    pool: NamedDependency[Pool],
    statuses: StatusTexts = None,
    error_code: ErrorCodeText = None,
    had_error_code: HadErrorCodeText = None,
    account_sid: AccountText = None,
    to: ToText = None,
    from_address: FromText = None,
    channel: ChannelText = None,
    country: CountryText = None,
    messaging_service_sid: ServiceText = None,
    effect: EffectText = None,
    has_conflict: ConflictText = None,
    direction: DirectionText = None,
    since: SinceText = None,
    until: UntilText = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> MessagePage:
    """A page of the messages that pass all filters."""
    first, end = read_range(since, until)
    filters = Filters(
        statuses=read_statuses(statuses),
        error_code=read_error_code("error_code", error_code),
        had_error_code=read_error_code("had_error_code", had_error_code),
        account_sid=read_account(account_sid),
        to_address=read_address("to", to),
        from_address=read_address("from", from_address),
        channel=read_channel(channel),
        country=read_country(country),
        messaging_service_sid=read_service(messaging_service_sid),
        effect=read_choice("effect", effect, EFFECTS),
        has_conflict=read_flag("has_conflict", has_conflict),
        direction=read_choice("direction", direction, DIRECTIONS),
        since=first,
        until=end,
    )
    after = read_cursor(cursor)

    async def read(connection: Connection) -> list[MessageState]:
        # One more than asked for tells whether anything follows.
        return await read_messages(connection, filters, after, limit + 1)

    try:
        found = await ask(pool, read)
    except NoSuchValueError as error:
        raise ClientException(detail=str(error)) from None
    last = found[limit - 1] if len(found) > limit else None
    return MessagePage(found[:limit], None if last is None else encode(place_of(last)))


def api_router(settings: Settings) -> Router:
    """The API under ``/api``. Needs the dependency ``pool``."""
    return Router(
        "/api",
        route_handlers=[get_message, get_message_events, list_messages],
        guards=token_guards(settings.api_token),
        security=None if settings.api_token is None else [{"bearer": []}],
        response_class=SafeJsonResponse,
    )


async def find_history(
    pool: Pool, sid: str, account_sid: str | None, as_of: AsOf | None, *, after: int = 0, limit: int = PAGE_EVENTS
) -> History:
    """A message's state and a page of its history. Raises HTTPException 404 and 409, and as ``ask`` does; 409 carries ``ACCOUNTS``."""

    def ask_pool(question: Callable[[Connection], Awaitable[Answer]]) -> Awaitable[Answer]:
        return ask(pool, question)

    try:
        return await read_message(ask_pool, sid, account_sid, as_of, after=after, limit=limit)
    except NothingKnownError as error:
        raise NotFoundException(detail=str(error)) from None
    except SeveralAccountsError as error:
        raise HTTPException(status_code=409, detail=str(error), extra={ACCOUNTS: error.accounts}) from None


async def build(history: History, make: Callable[[], Answer]) -> Answer:
    """What ``make`` makes of a history; of a long one, or of long bodies, off the event loop."""
    heavy = sum(len(entry.event.body) for entry in history.entries) > INLINE_EVENTS * 100
    return await off_loop(make) if heavy else make()
