"""The Litestar application of one web worker."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from litestar import Litestar, asgi
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send
from psycopg_pool import AsyncConnectionPool

from tracker.http.fast_path import Shortcut
from tracker.http.security_headers import SECURITY_HEADERS
from tracker.postgres.bounded_connection import BoundedConnection
from tracker.postgres.roles import Role, conninfo
from tracker.queries.reads import Pool
from tracker.settings import Settings, effective_account
from tracker.twilio.keyring import Keyring, SharedKey
from tracker.web.api.annotations import annotations_router
from tracker.web.api.messages import api_router
from tracker.web.api.quarantine import quarantine_router
from tracker.web.api.statistics import stats_router
from tracker.web.head_requests import HeadRequests
from tracker.web.ingest import Receiver
from tracker.web.openapi import openapi_config
from tracker.web.pages.rendering import SITE_EXCEPTION_HANDLERS
from tracker.web.pages.routes import pages_router
from tracker.web.public_url import PublicUrl
from tracker.web.telemetry.health import Checks, health_router
from tracker.web.telemetry.metrics import Metrics
from tracker.web.telemetry.metrics_rendering import SharedRendering
from tracker.web.telemetry.shared_counters import WebStats
from tracker.web.webhook import PATH, Webhook
from tracker.web.worker_context import Runtime

QUERY_SECONDS = 5
"""After so long a question to the database is given up."""

CLOSE_SECONDS = 1.0
"""How long a stop waits for connections that are just being made."""


class Application(NamedTuple):
    """What a worker serves."""

    app: ASGIApp
    """All of it; everything it needs is opened in its lifespan and closed after it."""
    shortcuts: Mapping[str, Shortcut]
    """By path, what whole requests are given to instead. They need what the application opens."""


def create_app(runtime: Runtime) -> Application:
    """The application, not yet open."""
    settings = runtime.settings
    stats = WebStats(runtime.stats, settings.workers, runtime.worker)
    receiver = Receiver(runtime, stats)
    pool: Pool = AsyncConnectionPool(
        conninfo(runtime.database_url, role=Role.SERVICE, application="tracker-web", timeout=QUERY_SECONDS),
        connection_class=BoundedConnection,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=4,
        # Then the next question tries again, at once; the pool's own pauses between its attempts grow to minutes.
        reconnect_timeout=1,
        open=False,
    )
    metrics_registry = Metrics(stats, pool, runtime.instance_id, lambda: receiver.database.is_away)
    shared_metrics = SharedRendering(metrics_registry.render_as)
    checks = Checks(pool, stats, receiver.database, receiver.accepts_callbacks)
    webhook = Webhook(receiver.appender, keyring(settings), PublicUrl(settings.public_base_urls), stats)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await pool.open(wait=False)
        await receiver.open()
        yield
        await receiver.close()
        webhook.close()
        await pool.close(CLOSE_SECONDS)

    app = Litestar(
        route_handlers=[
            webhook_route(webhook),
            health_router(settings),
            api_router(settings),
            stats_router(settings),
            quarantine_router(settings),
            annotations_router(settings),
            pages_router(settings),
        ],
        dependencies={
            "pool": Provide(lambda: pool, sync_to_thread=False),
            "checks": Provide(lambda: checks, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "metrics_registry": Provide(lambda: metrics_registry, sync_to_thread=False),
            "shared_metrics": Provide(lambda: shared_metrics, sync_to_thread=False),
        },
        response_headers=SECURITY_HEADERS,
        lifespan=[lifespan],
        exception_handlers=SITE_EXCEPTION_HANDLERS,
        openapi_config=openapi_config(settings),
        logging_config=None,
    )
    return Application(HeadRequests(app), {PATH: webhook.take})


def webhook_route(webhook: Webhook) -> ControllerRouterHandler:
    """The webhook as a raw ASGI route: no request object, no dependency injection, no copy of the scope."""

    @asgi(PATH, copy_scope=False)
    async def take_callback(scope: Scope, receive: Receive, send: Send) -> None:
        await webhook(scope, receive, send)

    return take_callback


def keyring(settings: Settings) -> Keyring:
    """All keys of the settings; the development account's when there are none."""
    tokens = {
        account_sid: [token.get_secret_value() for token in given]
        for account_sid, given in settings.twilio_auth_tokens.items()
    }
    main_account_sid = settings.twilio_account_sid
    if settings.uses_development_account:
        main_account_sid, token = effective_account(settings)
        tokens[main_account_sid] = [token]
    elif main_account_sid and settings.twilio_auth_token:
        own = [token.get_secret_value() for token in settings.twilio_auth_token]
        tokens[main_account_sid] = own + [token for token in tokens.get(main_account_sid, []) if token not in own]
    shared_keys = {
        key_id: SharedKey(key.secret.get_secret_value(), key.accounts)
        for key_id, key in settings.twilio_shared_keys.items()
    }
    return Keyring(tokens, main_account_sid, shared_keys)
