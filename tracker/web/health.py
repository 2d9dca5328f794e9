"""Health endpoints: each does no more than it must.

``/livez``: the process answers. ``/readyz``: it takes callbacks; what is wrong besides that is said, but does not take it out of
service, because callbacks that find no receiver are lost. ``/healthz``: the database answers.
"""

import asyncio
from typing import Any, Final

import msgspec
import psycopg
from litestar import Response, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from psycopg_pool import PoolTimeout

from tracker.log.availability import Availability
from tracker.web.metrics import LogHealth, Metrics, Pool, ProjectionHealth, read_log_health
from tracker.web.stats import WebStats

READY_SECONDS: Final = 0.5
"""How long ``/readyz`` waits for the database: whoever asks usually waits a second, and then sends callbacks elsewhere."""

HEALTHY_SECONDS: Final = 2.0
"""The same for ``/healthz``, which is asked about the database."""


class Health(msgspec.Struct, omit_defaults=True):
    """The answer of a health endpoint."""

    status: str
    """ok, degraded (callbacks are taken, something else needs a look) or unavailable."""
    position: int | None = None
    """The log's last position."""
    projections: list[ProjectionHealth] = []
    reasons: list[str] = []
    """Why it is not ok."""


@get("/livez", tags=["health"], summary="The process answers")
async def livez() -> Health:
    """Always ok; touches nothing."""
    return Health("ok")


@get("/readyz", tags=["health"], summary="Callbacks are taken")
async def readyz(checks: "Checks") -> Health:
    """ok or degraded, always with 200: the log's position, each projection's, and what needs a look."""
    return await checks.readiness()


@get("/healthz", tags=["health"], summary="The database answers")
async def healthz(checks: "Checks") -> Response[Health]:
    """200 when the database answers within two seconds, 503 otherwise."""
    health = await checks.database()
    return Response(health, status_code=HTTP_503_SERVICE_UNAVAILABLE if health.position is None else HTTP_200_OK)


@get("/metrics", tags=["health"], summary="Metrics for Prometheus", media_type="text/plain")
async def metrics(metrics_registry: Metrics, headers: dict[str, Any]) -> Response[bytes]:
    """Text or OpenMetrics format, as the Accept header asks."""
    content, media_type = await metrics_registry.render(headers.get("accept", ""))
    return Response(content, headers={"content-type": media_type})


class Checks:
    """What the health endpoints look at."""

    def __init__(self, pool: Pool, stats: WebStats, database: Availability) -> None:
        self._pool = pool
        self._stats = stats
        self._database = database
        self._asking: asyncio.Task[LogHealth | None] | None = None

    async def readiness(self) -> Health:
        """Answers at once when the database is known to be away, and soon when it does not answer."""
        return self._health(None if self._database.is_away else await self._ask(READY_SECONDS), "degraded")

    async def database(self) -> Health:
        """Asks the database. No position: it did not answer."""
        log = await self._ask(HEALTHY_SECONDS)
        return self._health(log, "unavailable" if log is None else "degraded")

    def _health(self, log: LogHealth | None, otherwise: str) -> Health:
        projections = [] if log is None else log.projections
        reasons = [
            f"projection {each.name} stopped at position {each.failed_position}: {each.failed_reason}"
            for each in projections
            if each.failed_position is not None
        ]
        if log is None:
            reasons.append("the database does not answer")
        spool = self._stats.spool()
        if spool.events:
            reasons.append(f"{spool.events} events in the spool")
        if spool.refused:
            reasons.append(f"{spool.refused} records in the spool that the database refuses")
        return Health(otherwise if reasons else "ok", log and log.position, projections, reasons)

    async def _ask(self, seconds: float) -> LogHealth | None:
        """None when there is no answer in time. One question at a time: those who come meanwhile share its answer, so that a database
        that does not answer takes one connection and not all of them."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._read())
        done, _ = await asyncio.wait([self._asking], timeout=seconds)
        return self._asking.result() if done else None

    async def _read(self) -> LogHealth | None:
        try:
            return await read_log_health(self._pool)
        except (psycopg.Error, PoolTimeout):
            return None
