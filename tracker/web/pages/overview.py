"""The page ``/``: delivery rate, volumes, top error codes and the health of the pipeline, over the last hour and the last day."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from markupsafe import Markup
from psycopg.rows import TupleRow

from projections.percentile import percentile
from tracker.postgres.sql_files import query
from tracker.queries.quarantine import Waiting, count_waiting
from tracker.queries.reads import Connection, Pool, ask
from tracker.twilio.error_codes import find
from tracker.web.api.parameters import only
from tracker.web.pages.chart import OBJECTIVE, Volume, draw, fill, total
from tracker.web.pages.message import tone
from tracker.web.pages.rendering import page
from tracker.web.telemetry.metrics import LogHealth, Metrics, query_log_health


class Span(NamedTuple):
    """How far a part of the page looks back."""

    title: str
    step: timedelta
    steps: int

    def since(self, now: datetime) -> datetime:
        """The first step's beginning, such that the last step has ``now`` in it; steps begin at whole multiples of themselves."""
        seconds = int(self.step.total_seconds())
        last = datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)
        return last - self.step * (self.steps - 1)


SPANS: Final = (Span("Last hour", timedelta(minutes=1), 60), Span("Last day", timedelta(minutes=15), 96))


LOOKED_AT: Final = 1_000
"""Quarantined callbacks that are counted at most."""


class TopError(NamedTuple):
    """An error code among the most frequent ones of the longest span."""

    code: str
    messages: Sequence[int]
    """Of each span."""
    label: str
    advice: str


class Part(NamedTuple):
    """What the page shows of one span."""

    title: str
    volume: Volume
    chart: Markup
    errors: Mapping[str, int]
    """Messages by error code."""
    median_seconds: float | None
    p95_seconds: float | None


class Newest(NamedTuple):
    """A message in the list of the newest."""

    message_sid: str
    status: str
    error_code: str | None
    channel: str
    country: str | None
    to_address: str | None
    account_sid: str | None
    first_received_at: datetime


@get("/", media_type=MediaType.HTML, guards=[only([])])
async def show_overview(
    request: Request[Any, Any, Any], pool: NamedDependency[Pool], metrics_registry: NamedDependency[Metrics]
) -> Response[str]:
    """What happened lately, in one database snapshot after the other; nothing here is kept between two requests."""
    now = datetime.now(UTC)

    async def look(connection: Connection) -> tuple[list[Part], list[Newest], LogHealth, Waiting]:
        parts = [await _part(connection, span, now) for span in SPANS]
        newest = [Newest(*row) for row in await _rows(connection, "read_overview_newest", {})]
        return parts, newest, await query_log_health(connection), await count_waiting(connection, LOOKED_AT)

    parts, newest, health, waiting = await ask(pool, look)
    return page(
        request,
        "overview.html",
        parts=parts,
        errors=_top_errors(parts),
        newest=newest,
        health=health,
        waiting=waiting,
        results=metrics_registry.stats.results(),
        now=now,
        objective=OBJECTIVE,
        rate_tone=_rate_tone,
        status_tone=tone,
    )


async def _part(connection: Connection, span: Span, now: datetime) -> Part:
    since = span.since(now)
    rows = await _rows(connection, "read_overview_volumes", {"since": since, "step": span.step})
    volumes = fill([Volume(*row) for row in rows], since, span.step, span.steps)
    errors = await _rows(connection, "read_overview_errors", {"since": since})
    digest: dict[int, int] = dict(await _rows(connection, "read_overview_latencies", {"since": since}))
    return Part(
        span.title,
        total(volumes),
        draw(volumes, f"{span.title}: messages delivered, undelivered and failed, and the delivery rate"),
        dict(errors),
        percentile(digest, 0.5),
        percentile(digest, 0.95),
    )


def _top_errors(parts: Sequence[Part]) -> list[TopError]:
    """The codes of the longest span, most frequent first, and those of the others that are not among them."""
    codes = dict.fromkeys(code for part in reversed(parts) for code in part.errors)
    return [_top_error(code, [part.errors.get(code, 0) for part in parts]) for code in codes]


def _top_error(code: str, messages: Sequence[int]) -> TopError:
    known = find(code)
    if known is None:
        return TopError(code, messages, "not in the dictionary", "")
    return TopError(code, messages, known.label, known.advice)


async def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> list[TupleRow]:
    return await (await connection.execute(query(name), parameters)).fetchall()


def _rate_tone(rate: float | None) -> str:
    """How a delivery rate is coloured: good from the objective on."""
    return "open" if rate is None else "good" if rate >= OBJECTIVE else "bad"
