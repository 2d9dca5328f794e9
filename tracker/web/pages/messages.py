"""The page of the list of messages, with the filters of the API."""

import re
from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.exceptions import ClientException
from litestar.params import FromQuery
from litestar.response import Redirect

from tracker.queries.cursor import encode
from tracker.queries.message_list import Filters, NoSuchValueError, place_of, read_messages
from tracker.queries.reads import Connection, Pool, ask
from tracker.queries.schemas import MessageState
from tracker.web.api.parameters import only, read_address, read_cursor, read_error_code, read_sid, read_statuses
from tracker.web.pages.message import tone
from tracker.web.pages.rendering import page

PAGE_MESSAGES: Final = 50

_SID: Final = re.compile(r"\s*((?:SM|MM)[0-9a-f]{32})\s*", re.IGNORECASE | re.ASCII)


@get(
    "/messages",
    media_type=MediaType.HTML,
    guards=[only(["search", "status", "had_error_code", "to", "from", "cursor"])],
)
async def show_messages(  # one per query parameter
    request: Request[Any, Any, Any],
    pool: NamedDependency[Pool],
    search: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
    had_error_code: FromQuery[str | None] = None,
    to: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[Any]:
    """The newest messages that pass the filters; an empty field of the form is no filter. A SID leads to its message."""
    sid = _SID.fullmatch(search or "")
    if sid is not None:
        return Redirect(f"messages/{read_sid(sid[1])}")
    to = to or search
    sender = request.query_params.get("from")
    filters = Filters(
        statuses=read_statuses([status] if status else None),
        had_error_code=read_error_code("had_error_code", had_error_code or None),
        to_address=read_address("to", to or None),
        from_address=read_address("from", sender or None),
    )
    after = read_cursor(cursor)

    async def read(connection: Connection) -> list[MessageState]:
        return await read_messages(connection, filters, after, PAGE_MESSAGES + 1)

    try:
        found = await ask(pool, read)
    except NoSuchValueError as error:
        raise ClientException(detail=str(error)) from None
    shown = found[:PAGE_MESSAGES]
    following = len(found) > PAGE_MESSAGES
    last = place_of(shown[-1]) if following else None
    kept = {"status": status, "had_error_code": had_error_code, "to": to, "from": sender}
    return page(
        request,
        "messages.html",
        messages=shown,
        asked=kept,
        next_page=None
        if last is None
        else {name: each for name, each in kept.items() if each} | {"cursor": encode(last)},
        cursor=cursor,
        status_tone=tone,
    )
