"""The OpenAPI document: as a page at /schema, for programs at /schema/openapi.json and /schema/openapi.yaml."""

from importlib.metadata import version
from typing import Any

from litestar import Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server

from tracker.settings import Settings
from tracker.web.access.tokens import token_guards
from tracker.web.pages.rendering import HEADERS, render


class PageRenderPlugin(OpenAPIRenderPlugin):
    """Shows the document on a page of ours. The usual ones load their scripts from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        return render(request, "schema.html", document=openapi_schema).encode()


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """The document and where it is served."""
    scheme = SecurityScheme(type="http", scheme="bearer", description="The token of TRACKER_API_TOKEN.")
    # With the prefix under which a proxy serves the API; without a public URL, wherever the document was read from.
    server = Server(url=settings.public_base_url or "/")
    return OpenAPIConfig(
        title="Twilio status tracker",
        version=version("twilio-status-tracker"),
        summary="What Twilio said about each message, and what follows from it.",
        description="Problems are application/problem+json (RFC 9457). Times are RFC 3339 in UTC.",
        components=Components(security_schemes={} if settings.api_token is None else {"bearer": scheme}),
        servers=[server],
        render_plugins=[PageRenderPlugin(), JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            guards=[*token_guards(settings.api_token, browser=True), _only_documents],
            after_request=_secure_page,
            include_in_schema=False,
        ),
        use_handler_docstrings=True,
    )


def _only_documents(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Litestar answers any other path here with a page of its own; a problem is answered like everywhere else."""
    if connection.path_params:
        raise NotFoundException


def _secure_page(response: Response[Any]) -> Response[Any]:
    """The headers of a page, where the response is one."""
    if response.media_type == MediaType.HTML:
        response.headers.update(HEADERS)
    return response
