"""The pages, with what they share: who may see them, and problems shown as pages."""

from litestar import Router

from tracker.settings import Settings
from tracker.web.auth import token_guards
from tracker.web.pages.message import show_message
from tracker.web.pages.overview import show_overview
from tracker.web.pages.rendering import PAGE_EXCEPTION_HANDLERS


def pages_router(settings: Settings) -> Router:
    """The pages. Needs the dependencies ``pool`` and ``metrics_registry``."""
    return Router(
        "/",
        route_handlers=[show_overview, show_message],
        guards=token_guards(settings.api_token, browser=True),
        exception_handlers=PAGE_EXCEPTION_HANDLERS,
        include_in_schema=False,
    )
