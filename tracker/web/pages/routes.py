"""The pages, with what they share: who may see them, and problems shown as pages."""

from pathlib import Path
from typing import Final

from litestar import Response, Router, get

from tracker.settings import Settings
from tracker.web.access.tokens import token_guards
from tracker.web.pages.message import show_message
from tracker.web.pages.messages import show_messages
from tracker.web.pages.overview import show_overview
from tracker.web.pages.quarantine import show_quarantine, show_quarantined
from tracker.web.pages.rendering import PAGE_EXCEPTION_HANDLERS

_ICON: Final = (Path(__file__).parent / "favicon.svg").read_bytes()


@get(["/favicon.svg", "/favicon.ico"], include_in_schema=False, sync_to_thread=False)
def show_icon() -> Response[bytes]:
    """The icon of all pages; browsers ask for the second path by themselves."""
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


def pages_router(settings: Settings) -> Router:
    """The pages. Needs the dependencies ``pool`` and ``metrics_registry``."""
    pages = Router(
        "/",
        route_handlers=[show_overview, show_messages, show_message, show_quarantine, show_quarantined],
        guards=token_guards(settings.api_token, browser=True),
        exception_handlers=PAGE_EXCEPTION_HANDLERS,
        include_in_schema=False,
    )
    return Router("/", route_handlers=[pages, show_icon])
