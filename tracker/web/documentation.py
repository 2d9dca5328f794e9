"""The OpenAPI document, at /schema/openapi.json and /schema/openapi.yaml."""

from importlib.metadata import version
from typing import Any

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from tracker.settings import Settings
from tracker.web.auth import token_guards


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """The document and where it is served. Without a page that shows it: those load their scripts from elsewhere."""
    scheme = SecurityScheme(type="http", scheme="bearer", description="The token of TRACKER_API_TOKEN.")
    return OpenAPIConfig(
        title="Twilio status tracker",
        version=version("twilio-status-tracker"),
        summary="What Twilio said about each message, and what follows from it.",
        description="Problems are application/problem+json (RFC 9457). Times are RFC 3339 in UTC.",
        components=Components(security_schemes={} if settings.api_token is None else {"bearer": scheme}),
        render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            guards=[*token_guards(settings.api_token, browser=True), _only_documents],
            include_in_schema=False,
        ),
        use_handler_docstrings=True,
    )


def _only_documents(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Litestar answers any other path here with a page of its own; a problem is answered like everywhere else."""
    if connection.path_params:
        raise NotFoundException
