"""The list of messages: a page of the projection ``message_state``, newest first."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, product
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, kwargs_row

from projections.fold.lifecycle import EFFECT_BITS, Effect
from tracker.postgres.sql_files import query
from tracker.queries.cursor import Place
from tracker.queries.schemas import MessageState, wall_clock
from tracker.twilio.addresses import Address
from tracker.twilio.statuses import INBOUND_STATUSES, PHASES, Direction, direction_of

CHANNELS: Final = frozenset({"sms", "mms", "whatsapp", "rcs", "messenger"})
"""Channels that may have no message yet; any other is a typing error as long as it has none."""


class NoSuchValueError(ValueError):
    """No message has the value of a filter, and the value looks mistyped. The text gives advice to people."""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are wanted. None, and no statuses: all of them."""

    statuses: Sequence[str] = ()
    """Any of these, each once, in small letters."""
    error_code: str | None = None
    had_error_code: str | None = None
    """A code that was reported at any time."""
    account_sid: str | None = None
    to_address: Address | None = None
    from_address: Address | None = None
    channel: str | None = None
    country: str | None = None
    messaging_service_sid: str | None = None
    effect: Effect | None = None
    """What any of its events did."""
    has_conflict: bool | None = None
    direction: Direction | None = None
    since: datetime | None = None
    """First received at this time or later."""
    until: datetime | None = None
    """First received before this time."""


async def read_messages(
    connection: AsyncConnection[TupleRow], filters: Filters, after: Place | None, limit: int
) -> list[MessageState]:
    """At most ``limit`` messages, newest first, from the one that follows ``after`` on; None: from the newest.

    Raises NoSuchValueError, psycopg.Error.
    """
    parameters: dict[str, object] = {
        "error_code": filters.error_code,
        "had_error_code": filters.had_error_code,
        "account_sid": filters.account_sid,
        "channel": filters.channel,
        "country": filters.country,
        "messaging_service_sid": filters.messaging_service_sid,
        "effect": None if filters.effect is None else EFFECT_BITS[filters.effect],
        "has_conflict": filters.has_conflict,
        "other_than": sorted(INBOUND_STATUSES) if filters.direction == "outbound" else None,
        "since": filters.since,
        "until": filters.until,
        "before": after and after.first_received_at,
        "before_sid": after and after.message_sid,
        "before_account": after and after.account_sid,
        "limit": limit,
    }
    # Asked for "status = ANY", the server would walk through all newer messages of other statuses, or through the whole
    # table for statuses that are rare. A page of each, merged, costs no more than the pages. The same goes for the forms of an address.
    async with connection.transaction():
        await connection.execute(query("read_one_snapshot"))
        choices = await _choose(connection, filters)
        pages = [
            parameters | {"status": status, "to_address": to_address, "from_address": from_address}
            for status, to_address, from_address in product(*choices)
        ]
        found = [await _read_page(connection, page) for page in pages]
    return found[0] if len(found) == 1 else sorted(chain.from_iterable(found), key=place_of, reverse=True)[:limit]


async def _choose(connection: AsyncConnection[TupleRow], filters: Filters) -> list[Sequence[str | None]]:
    """Statuses, recipients and senders that a page is read for, each combination by itself; (None,) where all are wanted."""
    to, sender = filters.to_address, filters.from_address
    statuses = _statuses(filters)
    used = await _find_used(connection, filters, statuses or ())
    for name, address in (("to", to), ("from", sender)):
        if address is not None and address.advice is not None and not used[name]:
            raise NoSuchValueError(f"{name}: no message has this address; {address.advice}.")
    return [
        (None,) if statuses is None else [each for each in statuses if each in used["status"]],
        (None,) if to is None else [each for each in to.forms if each in used["to"]],
        (None,) if sender is None else [each for each in sender.forms if each in used["from"]],
    ]


def _statuses(filters: Filters) -> Sequence[str] | None:
    """The statuses that are wanted; None: all."""
    if filters.direction is None or (filters.direction == "outbound" and not filters.statuses):
        return filters.statuses or None
    return [each for each in filters.statuses or sorted(INBOUND_STATUSES) if direction_of(each) == filters.direction]


async def _find_used(
    connection: AsyncConnection[TupleRow], filters: Filters, statuses: Sequence[str]
) -> dict[str, set[str]]:
    """Which of the wanted values any message has, by kind. Raises NoSuchValueError."""
    used: dict[str, set[str]] = {"to": set(), "from": set(), "status": set(), "channel": set()}
    odd_channel = filters.channel is not None and filters.channel not in CHANNELS
    wanted = {
        "to_addresses": list(filters.to_address.forms) if filters.to_address else [],
        "from_addresses": list(filters.from_address.forms) if filters.from_address else [],
        "statuses": list(statuses),
        "channels": [filters.channel] if odd_channel else [],
    }
    if any(wanted.values()):
        cursor = await connection.execute(query("find_list_values"), wanted)
        for kind, value in await cursor.fetchall():
            used[kind].add(value)
    odd = sorted(set(filters.statuses) - PHASES.keys() - used["status"])
    if odd and set(odd) <= set(statuses):
        raise NoSuchValueError(f"status: no message has “{odd[0]}”; Twilio's are {', '.join(PHASES)}.")
    if odd_channel and not used["channel"]:
        raise NoSuchValueError(f"channel: no message has “{filters.channel}”; usual are {', '.join(sorted(CHANNELS))}.")
    return used


async def _read_page(connection: AsyncConnection[TupleRow], parameters: Mapping[str, object]) -> list[MessageState]:
    async with connection.cursor(binary=True, row_factory=kwargs_row(_state)) as cursor:
        # A prepared statement would be given one plan for all filters.
        await cursor.execute(query("list_messages"), parameters, prepare=False)
        return await cursor.fetchall()


def place_of(state: MessageState) -> Place:
    """The message's place in the order of the list."""
    return Place(state.first_received_at, state.message_sid, state.account_sid or "")


def _state(**columns: Any) -> MessageState:
    for name in ("first_received_at", "last_received_at", "sent_at", "delivered_at"):
        moment: datetime | None = columns[name]
        columns[name] = moment and moment.astimezone(UTC)
    return MessageState(
        carrier_done_at=wall_clock(columns["raw_dlr_done_date"]), direction=direction_of(columns["status"]), **columns
    )
