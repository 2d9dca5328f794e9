"""Health endpoints for orchestrators and load balancers.

``/livez``: the process answers. ``/readyz``: callbacks can be made durable, in the database or in the spool; every other fault is in the
body and leaves the status at 200, because callbacks that find no receiver are lost. ``/healthz``: the database answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import psycopg
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from tracker.errors import DatabaseUnavailableError
from tracker.log.circuit_breaker import Availability
from tracker.settings import Settings
from tracker.web.access.tokens import has_access, token_guards
from tracker.web.telemetry.faults import find_local_faults
from tracker.web.telemetry.metrics import LogHealth, Pool, ProjectionHealth, read_log_health
from tracker.web.telemetry.metrics_rendering import MEDIA_TYPES, SharedRendering, choose_format
from tracker.web.telemetry.shared_counters import WebStats

READY_SECONDS: Final = 0.5
"""Time that ``/readyz`` waits for the database. Probes usually have a timeout of one second."""

HEALTHY_SECONDS: Final = 2.0
"""Time that ``/healthz`` waits for the database."""

SPOOL_FULL: Final = "the spool is full: callbacks are refused"
"""The reason for 503: the database is away, and the spool accepts nothing (its limit, a full or a broken disk)."""


class Health(msgspec.Struct, omit_defaults=True):
    """The answer of a health endpoint; only ``status`` for requests without access."""

    status: str
    """ok, degraded (callbacks are accepted, an operator should look at the reasons) or unavailable."""
    position: int | None = None
    """The log's last position; None when the database did not answer in time, or has no log head."""
    projections: list[ProjectionHealth] = []
    reasons: list[str] = []
    """Why it is not ok."""


@get("/livez", tags=["health"], summary="The process answers")
async def livez() -> Health:
    """Always ok; touches nothing."""
    return Health("ok")


@get("/readyz", tags=["health"], summary="Callbacks are accepted")
async def readyz(
    request: Request[Any, Any, Any], checks: NamedDependency["Checks"], settings: NamedDependency[Settings]
) -> Response[Health]:
    """503 when neither the database nor the spool accepts callbacks, else 200: ok, or degraded with what needs a look. Requests
    without access get the status only."""
    health = await checks.readiness()
    return _answer(health if has_access(request, settings.api_token) else Health(health.status), health.status)


@get("/healthz", tags=["health"], summary="The database answers")
async def healthz(
    request: Request[Any, Any, Any], checks: NamedDependency["Checks"], settings: NamedDependency[Settings]
) -> Response[Health]:
    """200 when the database answers within two seconds, else 503. Requests without the token get the status only."""
    health = await checks.database()
    return _answer(health if has_access(request, settings.api_token) else Health(health.status), health.status)


@get("/metrics", tags=["health"], summary="Metrics for Prometheus", media_type="text/plain")
async def metrics(request: Request[Any, Any, Any], shared_metrics: NamedDependency[SharedRendering]) -> Response[bytes]:
    """Text or OpenMetrics format, as the Accept header asks; at most one second old."""
    wanted = choose_format(request.headers.get("accept", ""))
    return Response(await shared_metrics.get(wanted), headers={"content-type": MEDIA_TYPES[wanted]})


def health_router(settings: Settings) -> Router:
    """The health endpoints and ``/metrics``. Needs the dependencies ``checks``, ``settings`` and ``shared_metrics``."""
    metrics_routes = Router("/", route_handlers=[metrics], guards=token_guards(settings.api_token, browser=True))
    # Without a token, details and status of /healthz are for local requests; with one, its status is for everyone.
    healthz_routes = Router("/", route_handlers=[healthz], guards=[] if settings.api_token else token_guards(None))
    return Router("/", route_handlers=[livez, readyz, healthz_routes, metrics_routes])


def _answer(health: Health, status: str) -> Response[Health]:
    return Response(health, status_code=HTTP_503_SERVICE_UNAVAILABLE if status == "unavailable" else HTTP_200_OK)


class Checks:
    """The questions behind the health endpoints, for one worker. Probes that come together share one question."""

    def __init__(
        self, pool: Pool, stats: WebStats, database: Availability, accepts_callbacks: Callable[[], Awaitable[bool]]
    ) -> None:
        """accepts_callbacks: whether callbacks can be made durable, in the database or in the spool."""
        self._pool = pool
        self._stats = stats
        self._database = database
        self._accepts_callbacks = accepts_callbacks
        self._asking: asyncio.Task[LogHealth | None] | None = None

    async def readiness(self) -> Health:
        """Answers at once when the database is known to be away, and within READY_SECONDS when it does not answer."""
        if not await self._accepts_callbacks():
            return self._health(None, "unavailable", SPOOL_FULL)
        return self._health(None if self._database.is_away else await self._ask(READY_SECONDS), "degraded")

    async def database(self) -> Health:
        """Asks the database. No position: it did not answer, or has no log head, without which it accepts nothing."""
        log = await self._ask(HEALTHY_SECONDS)
        return self._health(log, "unavailable" if log is None or log.position is None else "degraded")

    def _health(self, log: LogHealth | None, otherwise: str, *reasons: str) -> Health:
        projections = [] if log is None else log.projections
        found = list(reasons)
        found += [
            f"projection {each.name} stopped at position {each.failed_position}: {each.failed_reason}"
            for each in projections
            if each.failed_position is not None
        ]
        if log is None:
            found.append("the database does not answer")
        spool = self._stats.spool()
        if spool.events:
            found.append(f"{spool.events} events in the spool")
        if spool.full:
            found.append(
                f"the spool is full ({spool.bytes} of {spool.limit} bytes): callbacks are refused until the database is back"
            )
        if spool.refused:
            found.append(f"{spool.refused} records in the spool that the database refuses")
        found += [fault.reason for fault in (*find_local_faults(self._stats), *(log.faults if log else ()))]
        return Health(otherwise if found else "ok", log and log.position, projections, found)

    async def _ask(self, seconds: float) -> LogHealth | None:
        """None when there is no answer in time. One question at a time: requests that come meanwhile share its answer, so that a
        database that does not answer takes one connection of the pool and not all of them."""
        task = self._asking
        if task is None or task.done():
            task = self._asking = asyncio.get_running_loop().create_task(self._read())
        # The task of this request: another request may put a new one in its place before this one continues.
        done, _ = await asyncio.wait([task], timeout=seconds)
        return task.result() if done else None

    async def _read(self) -> LogHealth | None:
        try:
            return await read_log_health(self._pool)
        except (psycopg.Error, DatabaseUnavailableError):
            return None
