"""Statistics of messages over time, from the projection ``delivery_stats``."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row

from projections.delivery_stats import COUNTS
from projections.latency_digest import RELATIVE_ERROR, seconds_of
from tracker.postgres.sql_files import query

Dimension = Literal["channel", "country", "messaging_service_sid", "error_code"]

DIMENSIONS: Final[tuple[Dimension, ...]] = ("channel", "country", "messaging_service_sid", "error_code")
"""What messages may be told apart by, in the order of the answer."""

MAX_ROWS: Final = 10_000
"""Points of one answer at most, over all series."""


class TooMuchError(Exception):
    """The answer would have more than MAX_ROWS points."""


class Question(msgspec.Struct, frozen=True):
    """What is asked. Times are whole minutes in UTC."""

    start: datetime
    end: datetime
    """The first moment that does not count any more."""
    step: timedelta
    group_by: Sequence[Dimension]


class Latency(msgspec.Struct, frozen=True):
    """From the first sent received to the first delivered received, in seconds."""

    p50: float
    p95: float
    p99: float


_NOT_BY_CODE: Final = "Null when grouped by error code."


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that were first said to be so in a time, each once a status. A message whose outcome was corrected is in both.

    Grouped by error code, only ``errors`` is counted and all else is null: most callbacks carry no code, so the other counts would be of
    callbacks with that code, and not of messages that had it.
    """

    messages: Annotated[int | None, msgspec.Meta(description="Heard of for the first time. " + _NOT_BY_CODE)]
    sent: Annotated[int | None, msgspec.Meta(description=_NOT_BY_CODE)]
    delivered: Annotated[
        int | None,
        msgspec.Meta(description="Said to be delivered; or read, where that was not said before. " + _NOT_BY_CODE),
    ]
    undelivered: Annotated[int | None, msgspec.Meta(description=_NOT_BY_CODE)]
    failed: Annotated[int | None, msgspec.Meta(description=_NOT_BY_CODE)]
    read: Annotated[int | None, msgspec.Meta(description=_NOT_BY_CODE)]
    errors: Annotated[
        int,
        msgspec.Meta(
            description="Messages that were first said to have an error code, counted once for each code. Grouped by error code, the "
            "messages that had the group's code."
        ),
    ]
    corrected: Annotated[
        int | None, msgspec.Meta(description="A final outcome was changed by a later word. " + _NOT_BY_CODE)
    ]
    delivery_rate: Annotated[
        float | None,
        msgspec.Meta(
            description="delivered / (delivered + undelivered + failed); null: there were none. " + _NOT_BY_CODE
        ),
    ]
    latency_seconds: Annotated[
        Latency | None,
        msgspec.Meta(description="Of the deliveries, within `relative_error`; null: there were none. " + _NOT_BY_CODE),
    ]


class Point(Counts, frozen=True, kw_only=True):
    """A step of time in which something happened."""

    at: Annotated[datetime, msgspec.Meta(description="Its beginning.")]


class Series(msgspec.Struct, frozen=True):
    """One group."""

    group: Annotated[
        dict[str, str | None],
        msgspec.Meta(description="By `group_by`. null: no country can be told, no messaging service."),
    ]
    total: Counts
    points: Annotated[list[Point], msgspec.Meta(description="By time. Steps in which nothing happened are left out.")]


class Statistics(msgspec.Struct, frozen=True, rename={"start": "from", "end": "until"}):
    """An answer."""

    start: Annotated[datetime, msgspec.Meta(description="Of the range; a whole minute.")]
    end: Annotated[datetime, msgspec.Meta(description="Of the range; the first minute that does not count.")]
    step_seconds: int
    group_by: Sequence[Dimension]
    relative_error: Annotated[
        float, msgspec.Meta(description="A percentile is off by no more than this share of itself.")
    ]
    series: list[Series]


async def read_statistics(connection: AsyncConnection[TupleRow], question: Question) -> Statistics:
    """Answer a question. Raises TooMuchError, psycopg.Error."""
    parameters: dict[str, Any] = {
        "from": question.start,
        "until": question.end,
        "step": question.step,
        "limit": MAX_ROWS + 1,
    }
    parameters |= {f"by_{dimension}": dimension in question.group_by for dimension in DIMENSIONS}
    async with connection.cursor(row_factory=dict_row) as cursor:
        # A prepared statement would be given one plan for an hour and for a year.
        await cursor.execute(query("read_delivery_stats"), parameters, prepare=False)
        rows = await cursor.fetchall()
        if len(rows) > MAX_ROWS:
            raise TooMuchError
        latencies: dict[tuple[Any, ...], Latency] = {}
        if "error_code" not in question.group_by:
            await cursor.execute(query("read_delivery_latency"), parameters, prepare=False)
            latencies = {_key(row): _latency(row) for row in await cursor.fetchall()}
    return Statistics(
        question.start,
        question.end,
        int(question.step.total_seconds()),
        question.group_by,
        RELATIVE_ERROR,
        _series(rows, latencies, question.group_by),
    )


def _series(
    rows: Sequence[dict[str, Any]], latencies: dict[tuple[Any, ...], Latency], group_by: Sequence[Dimension]
) -> list[Series]:
    """Rows come by group, each group's total first."""
    series: list[Series] = []
    by_code = "error_code" in group_by
    for row in rows:
        if by_code and not (row["error_code"] and row["errors"]):
            continue
        counts: dict[str, Any] = {name: None if by_code and name != "errors" else row[name] for name in COUNTS}
        finished = row["delivered"] + row["undelivered"] + row["failed"]
        counts["delivery_rate"] = row["delivered"] / finished if finished and not by_code else None
        counts["latency_seconds"] = latencies.get(_key(row))
        if row["at"] is None:
            series.append(Series({name: row[name] or None for name in group_by}, Counts(**counts), []))
        else:
            series[-1].points.append(Point(at=row["at"].astimezone(UTC), **counts))
    return series


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["at"], row["channel"], row["country"], row["messaging_service_sid"]


def _latency(row: dict[str, Any]) -> Latency:
    return Latency(*(round(seconds_of(row[name]), 3) for name in ("p50", "p95", "p99")))
