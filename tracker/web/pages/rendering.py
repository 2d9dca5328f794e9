"""Templates to responses, with headers under which a page can do nothing but show itself."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from markupsafe import Markup
from psycopg import OperationalError

from tracker.errors import DatabaseUnavailableError
from tracker.messages.times import format_time
from tracker.web.problems import AnyRequest, refuse

_DIRECTORY: Final = Path(__file__).parent
_STYLE: Final = Markup((_DIRECTORY / "page.css").read_text("utf-8"))  # noqa: S704  # a file of ours
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every page. The one style that may apply is ours; addresses of people stay out of caches and referrers."""


def _readable_time(moment: datetime) -> Markup:
    """A time element: to the millisecond for people, exact for programs."""
    return _time(
        moment, moment.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00").removesuffix(".000")
    )


def _readable_minute(moment: datetime) -> Markup:
    """The same for a time of minute precision."""
    return _time(moment, f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}")


def _time(moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(format_time(moment), text)


_environment: Final = Environment(
    loader=FileSystemLoader(_DIRECTORY / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters.update(
    readable_time=_readable_time, readable_minute=_readable_minute, rfc3339=format_time, query=urlencode
)


def page(template: str, /, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> Response[str]:
    """The page that a template of ours gives with these values."""
    content = _environment.get_template(template).render(style=_STYLE, **values)
    return Response(content, status_code=status, media_type=MediaType.HTML, headers={**HEADERS, **(headers or {})})


def answer_problem_page(request: AnyRequest, error: Exception) -> Response[str]:
    """An exception handler: the problem as a page."""
    problem, headers = refuse(request, error)
    return page("problem.html", problem.status, headers, problem=problem)


PAGE_EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    HTTPException: answer_problem_page,
    OperationalError: answer_problem_page,
    DatabaseUnavailableError: answer_problem_page,
    Exception: answer_problem_page,
}
