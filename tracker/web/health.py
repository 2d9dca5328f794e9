"""Health endpoints: each does no more than it must.

``/livez``: the process answers. ``/readyz``: it takes callbacks; what is wrong besides that is said, but does not take it out of
service, because callbacks that find no receiver are lost. ``/healthz``: the database answers.
"""

from typing import Any

import msgspec
import psycopg
from litestar import Response, get
from litestar.status_codes import HTTP_503_SERVICE_UNAVAILABLE
from psycopg_pool import PoolTimeout

from tracker.web.metrics import Metrics, Pool, ProjectionHealth, read_log_health


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
async def readyz(pool: Pool) -> Health:
    """ok or degraded, always with 200: the log's position, each projection's, and what needs a look."""
    health = await _health(pool)
    return health if health.status == "ok" else Health("degraded", health.position, health.projections, health.reasons)


@get("/healthz", tags=["health"], summary="The database answers")
async def healthz(pool: Pool) -> Response[Health]:
    """200 when the database answers within two seconds, 503 otherwise."""
    health = await _health(pool)
    if health.position is None:
        return Response(Health("unavailable", reasons=health.reasons), status_code=HTTP_503_SERVICE_UNAVAILABLE)
    return Response(health)


@get("/metrics", tags=["health"], summary="Metrics for Prometheus", media_type="text/plain")
async def metrics(metrics_registry: Metrics, headers: dict[str, Any]) -> Response[bytes]:
    """Text or OpenMetrics format, as the Accept header asks."""
    content, media_type = await metrics_registry.render(headers.get("accept", ""))
    return Response(content, headers={"content-type": media_type})


async def _health(pool: Pool) -> Health:
    try:
        health = await read_log_health(pool)
    except (psycopg.Error, PoolTimeout):
        return Health("unavailable", reasons=["the database does not answer"])
    reasons = [
        f"projection {each.name} stopped at position {each.failed_position}: {each.failed_reason}"
        for each in health.projections
        if each.failed_position is not None
    ]
    return Health("degraded" if reasons else "ok", health.position, health.projections, reasons)
