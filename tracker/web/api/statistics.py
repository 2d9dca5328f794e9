"""The API of statistics: ``GET /api/stats``."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.openapi.spec import Example, OpenAPIType, Schema
from litestar.params import QueryParameter

from tracker.queries.reads import Connection, Pool, ask
from tracker.queries.statistics import (
    DIMENSIONS,
    MAX_ROWS,
    Dimension,
    Question,
    Statistics,
    TooMuchError,
    read_statistics,
)
from tracker.settings import Settings
from tracker.web.access.tokens import token_guards
from tracker.web.api.parameters import MAX_AHEAD, only, read_moment
from tracker.web.problems import documented

MAX_STEPS: Final = 2_000
"""Steps of a range at most."""

READ_SECONDS: Final = 4.0
"""How long a question may take: a year of minutes is more to read than a message."""

DEFAULT_RANGE: Final = timedelta(hours=1)

_MINUTE: Final = timedelta(minutes=1)
_UNITS: Final = {"m": _MINUTE, "h": timedelta(hours=1), "d": timedelta(days=1)}
_STEP: Final = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_USUAL_STEPS: Final = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 360, 1440)]
_USUAL_POINTS: Final = 120


def _text(description: str, example: str, name: str | None = None, **schema: str) -> QueryParameter:
    """A parameter that may be left out; given, it is a text, never the null that the type alone suggests."""
    return QueryParameter(
        name=name,
        description=description,
        examples=[Example(value=example)],
        schema_extra={"type": "string", "oneOf": None, **schema},
    )


FromText = Annotated[
    str | None,
    _text(
        "Beginning of the range, RFC 3339 with an offset; the minute that it is in counts. Without it, an hour before `until`.",
        "2026-03-01T00:00:00Z",
        "from",
        format="date-time",
    ),
]
UntilText = Annotated[
    str | None,
    _text(
        "End of the range, RFC 3339 with an offset; the minute that it is in counts, unless it begins it. Without it, now.",
        "2026-03-02T00:00:00Z",
        format="date-time",
    ),
]
StepText = Annotated[
    str | None,
    _text(
        "Length of a step: minutes, hours or days. Without it, one that gives some hundred.",
        "5m",
        pattern=f"^{_STEP.pattern}$",
    ),
]
GroupTexts = Annotated[
    list[str] | None,
    QueryParameter(
        description="What to tell messages apart by. Repeated, or several separated by commas. By `error_code`, only `errors` is "
        "counted: the messages that had the code.",
        examples=[Example(value=["channel", "country"])],
        schema_extra={"type": "array", "items": Schema(type=OpenAPIType.STRING, enum=list(DIMENSIONS)), "oneOf": None},
    ),
]


@get(
    "/stats",
    tags=["statistics"],
    summary="Messages over time",
    description="How many messages reached a status, when, and how long deliveries took, by the minute in which events reached us. "
    "From the tables that the projector keeps: they may trail the log by a moment. What arrives late counts where it belongs.",
    guards=[only(["from", "until", "step"], ["group_by"])],
    responses=documented(400, 401, 503),
)
async def get_stats(
    pool: NamedDependency[Pool],
    from_time: FromText = None,
    until: UntilText = None,
    step: StepText = None,
    group_by: GroupTexts = None,
) -> Statistics:
    """Counts, delivery rate and latencies of a range of time, by steps and groups."""
    question = read_question(from_time, until, step, group_by, datetime.now(UTC))

    async def read(connection: Connection) -> Statistics:
        return await read_statistics(connection, question)

    try:
        return await ask(pool, read, READ_SECONDS)
    except TooMuchError:
        raise ClientException(
            detail=f"The answer would have more than {MAX_ROWS} points: ask for longer steps, a shorter range or fewer groups."
        ) from None


def stats_router(settings: Settings) -> Router:
    """The API of statistics under ``/api``. Needs the dependency ``pool``."""
    return Router(
        "/api",
        route_handlers=[get_stats],
        guards=token_guards(settings.api_token),
        security=None if settings.api_token is None else [{"bearer": []}],
    )


def read_question(
    from_text: str | None,
    until_text: str | None,
    step_text: str | None,
    group_texts: Sequence[str] | None,
    now: datetime,
) -> Question:
    """The question in the parameters. Raises ClientException."""
    try:
        end = _next_minute(read_moment("until", until_text) or now)
        start = read_moment("from", from_text) or end - DEFAULT_RANGE
    except OverflowError:
        raise ClientException(detail="until: is no time that statistics are kept of.") from None
    if start > now + MAX_AHEAD:
        raise ClientException(detail="from: lies in the future, of which nothing is known yet.")
    start = start.replace(second=0, microsecond=0)
    if start >= end:
        raise ClientException(detail="from: is not before until.")
    step = _read_step(step_text) if step_text is not None else _usual_step(end - start)
    if (end - start) / step > MAX_STEPS:
        raise ClientException(
            detail=f"step: gives more than {MAX_STEPS} steps; ask for longer ones or a shorter range."
        )
    return Question(start, end, step, _read_groups(group_texts))


def _next_minute(moment: datetime) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + _MINUTE


def _read_step(text: str) -> timedelta:
    match = _STEP.fullmatch(text)
    if match is None:
        raise ClientException(detail="step: expected minutes, hours or days, such as 5m, 1h or 1d.")
    return int(match[1]) * _UNITS[match[2]]


def _usual_step(length: timedelta) -> timedelta:
    return next((step for step in _USUAL_STEPS if length / step <= _USUAL_POINTS), _USUAL_STEPS[-1])


def _read_groups(texts: Sequence[str] | None) -> tuple[Dimension, ...]:
    """Each once, in the order of DIMENSIONS."""
    wanted = {part for text in texts or () for part in text.split(",")}
    unknown = wanted - set(DIMENSIONS)
    if unknown:
        raise ClientException(
            detail=f"group_by: expected any of {', '.join(DIMENSIONS)}; statuses are counted apart already."
        )
    return tuple(dimension for dimension in DIMENSIONS if dimension in wanted)
