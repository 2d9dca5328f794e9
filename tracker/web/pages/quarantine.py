"""The pages of the quarantine: what was set aside, and one callback with its evidence."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath, FromQuery

from tracker.queries.quarantine import MEANINGS
from tracker.queries.reads import Pool
from tracker.queries.times import parse_shown_time
from tracker.web.api.parameters import only
from tracker.web.api.quarantine import find_callback, find_quarantined, read_filters
from tracker.web.pages.rendering import page

PAGE_CALLBACKS = 50


@get(
    "/quarantine",
    media_type=MediaType.HTML,
    guards=[only(["reason", "since", "until", "accepted", "cursor"])],
)
async def show_quarantine(
    request: Request[Any, Any, Any],
    pool: NamedDependency[Pool],
    reason: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    accepted: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[str]:
    """The newest callbacks that pass the filters; an empty field of the form is no filter."""
    filters = read_filters(reason or None, since or None, until or None, accepted or None, parse_shown_time)
    found = await find_quarantined(pool, filters, cursor, PAGE_CALLBACKS)
    given = {"reason": reason, "since": since, "until": until, "accepted": accepted}
    kept = {name: value for name, value in given.items() if value}
    return page(
        request,
        "quarantine.html",
        callbacks=found.callbacks,
        filters=filters,
        meanings=MEANINGS,
        filtered=bool(kept),
        next_page=None if found.next_cursor is None else kept | {"cursor": found.next_cursor},
        cursor=cursor,
    )


@get("/quarantine/{quarantine_id:str}", media_type=MediaType.HTML, guards=[only([])])
async def show_quarantined(
    request: Request[Any, Any, Any], quarantine_id: FromPath[str], pool: NamedDependency[Pool]
) -> Response[str]:
    """One callback."""
    callback = await find_callback(pool, quarantine_id)
    return page(request, "quarantined.html", callback=callback, meanings=MEANINGS)
