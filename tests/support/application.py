"""The API and the pages on a database, without the rest of the server."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient
from psycopg_pool import AsyncConnectionPool

from tracker.http.security_headers import SECURITY_HEADERS
from tracker.postgres.roles import Role, conninfo
from tracker.queries.reads import Pool
from tracker.settings import Settings, load_settings
from tracker.web.api.annotations import annotations_router
from tracker.web.api.messages import api_router
from tracker.web.api.quarantine import quarantine_router
from tracker.web.api.statistics import stats_router
from tracker.web.openapi import openapi_config
from tracker.web.pages.rendering import SITE_EXCEPTION_HANDLERS
from tracker.web.pages.routes import pages_router
from tracker.web.telemetry.metrics import Metrics
from tracker.web.telemetry.shared_counters import WebStats


@contextmanager
def answering(database_url: str, token: str | None = None) -> Iterator[TestClient[Litestar]]:
    """A client of a server that answers from this database; ``token`` is its TRACKER_API_TOKEN."""
    with TestClient(
        create_app(database_url, load_settings({"TRACKER_API_TOKEN": token})),
        # Without a token, other hosts are refused.
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    ) as client:
        yield client


def create_app(database_url: str, settings: Settings) -> Litestar:
    """The application, which opens its pool when it starts, whether the database is there or not."""
    service = conninfo(database_url, role=Role.SERVICE, application="tests")
    pool: Pool = AsyncConnectionPool(service, kwargs={"autocommit": True}, min_size=1, max_size=2, open=False)

    with tempfile.TemporaryDirectory() as directory:
        # A mapped file outlives its name.
        metrics = Metrics(WebStats(Path(directory) / "web-stats", workers=1, worker=0), pool)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await pool.open(wait=False)
        yield
        await pool.close()

    return Litestar(
        route_handlers=[
            api_router(settings),
            stats_router(settings),
            quarantine_router(settings),
            annotations_router(settings),
            pages_router(settings),
        ],
        response_headers=SECURITY_HEADERS,
        dependencies={
            "pool": Provide(lambda: pool, sync_to_thread=False),
            "metrics_registry": Provide(lambda: metrics, sync_to_thread=False),
        },
        exception_handlers=SITE_EXCEPTION_HANDLERS,
        openapi_config=openapi_config(settings),
        lifespan=[lifespan],
        logging_config=None,
    )
