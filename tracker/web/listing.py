"""The list of messages: a page of the projection ``message_state``, newest first."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, kwargs_row

from tracker.database.queries import query
from tracker.messages.answers import MessageState
from tracker.twilio.done_date import parse_done_date
from tracker.web.cursor import Place


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are wanted. None, and no statuses: all of them."""

    statuses: Sequence[str] = ()
    """Any of these, each once, in small letters."""
    error_code: str | None = None
    account_sid: str | None = None
    to_address: str | None = None
    from_address: str | None = None
    since: datetime | None = None
    """First received at this time or later."""
    until: datetime | None = None
    """First received before this time."""


async def read_messages(
    connection: AsyncConnection[TupleRow], filters: Filters, after: Place | None, limit: int
) -> list[MessageState]:
    """At most ``limit`` messages, newest first, from the one that follows ``after`` on; None: from the newest.

    Raises psycopg.Error.
    """
    parameters = msgspec.structs.asdict(filters)
    statuses = parameters.pop("statuses") or (None,)
    place = {"before": after and after.first_received_at, "before_sid": after and after.message_sid}
    pages = [parameters | place | {"status": status, "limit": limit} for status in statuses]
    if len(pages) == 1:
        return await _read_page(connection, pages[0])
    # Asked for "status = ANY", the server would walk through all newer messages of other statuses, or through the whole
    # table for statuses that are rare. A page of each, merged, costs no more than the pages.
    async with connection.transaction():
        await connection.execute(query("read_one_snapshot"))
        found = [await _read_page(connection, page) for page in pages]
    return sorted(chain.from_iterable(found), key=_place, reverse=True)[:limit]


async def _read_page(connection: AsyncConnection[TupleRow], parameters: Mapping[str, object]) -> list[MessageState]:
    async with connection.cursor(binary=True, row_factory=kwargs_row(_state)) as cursor:
        # A prepared statement would be given one plan for all filters.
        await cursor.execute(query("list_messages"), parameters, prepare=False)
        return await cursor.fetchall()


def _place(state: MessageState) -> Place:
    return Place(state.first_received_at, state.message_sid)


def _state(**columns: Any) -> MessageState:
    for name in ("first_received_at", "last_received_at", "sent_at", "delivered_at"):
        moment: datetime | None = columns[name]
        columns[name] = moment and moment.astimezone(UTC)
    return MessageState(carrier_done_at=parse_done_date(columns["raw_dlr_done_date"]), **columns)
