"""Templates to responses, with headers under which a page can do nothing but show itself."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from markupsafe import Markup, escape
from psycopg import OperationalError

from tracker.control_characters import escape_controls
from tracker.errors import DatabaseUnavailableError
from tracker.queries.times import format_time
from tracker.web.problems import AnyRequest, accounts_of, answer_problem, refuse

_DIRECTORY: Final = Path(__file__).parent
_STYLE: Final = Markup((_DIRECTORY / "page.css").read_text("utf-8"))  # noqa: S704  # a file of ours
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every page. The one style that may apply is ours; addresses of people stay out of caches and referrers."""

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

_BREAK: Final = re.compile("([:_])")


def _readable_time(moment: datetime) -> Markup:
    """A time element: to the millisecond for people, exact for programs."""
    return _time(
        moment, moment.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00").removesuffix(".000")
    )


def _time(moment: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(format_time(moment), text)


def _input_time(moment: datetime) -> str:
    """The value of a ``datetime-local`` input, in UTC, to the millisecond."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _age(moment: datetime, now: datetime) -> str:
    """How long ago a moment was, in its largest unit."""
    seconds = max(int((now - moment).total_seconds()), 0)
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _marked_code(text: str) -> Markup:
    """A description of the API document on one line, with what stands between backticks as code."""
    parts = escape_controls(" ".join(text.split())).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else Markup("{}").format(part)
        for index, part in enumerate(parts)
    )


def _breakable(text: str) -> Markup:
    """A value that a narrow column breaks after a colon or an underscore, such as after the channel of an address."""
    return Markup(_BREAK.sub(r"\1<wbr>", str(escape(escape_controls(text)))))  # noqa: S704  # escaped


def _visible(value: Any) -> Any:
    """A value of a template with control and bidirectional characters as escapes. Markup is made of values that went through here."""
    return escape_controls(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_environment: Final = Environment(
    loader=FileSystemLoader(_DIRECTORY / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
    finalize=_visible,
)
_filters: Final[dict[str, Callable[..., Any]]] = {
    "readable_time": _readable_time,
    "input_time": _input_time,
    "rfc3339": format_time,
    "query": urlencode,
    "age": _age,
    "counted": _count,
    "marked_code": _marked_code,
    "breakable": _breakable,
}
cast("dict[str, Callable[..., Any]]", _environment.filters).update(_filters)


def page(
    request: AnyRequest, template: str, /, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> Response[str]:
    """The page that a template of ours gives with these values."""
    content = render(request, template, **values)
    return Response(content, status_code=status, media_type=MediaType.HTML, headers={**HEADERS, **(headers or {})})


def render(request: AnyRequest, template: str, /, **values: Any) -> str:
    """The text of a page. Its links are relative: they hold under whatever prefix a proxy serves the tracker."""
    return _environment.get_template(template).render(style=_STYLE, root=root_of(request), **values)


def root_of(request: AnyRequest) -> str:
    """The relative link from the requested path to the root, such as ``../`` from ``/messages/SM…``."""
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    return "../" * (path.partition(b"?")[0].count(b"/") - 1) or "./"


_POSITION: Final = re.compile(r"\b([Pp]osition) ([0-9]+)\b")


def link_positions(sentence: str, times: dict[int, datetime]) -> Markup:
    """A sentence in which each position links to its event on the page, and says when that reached us.

    times: of the events on the page, by position; other positions stay as they are.
    """
    parts: list[str] = []
    end = 0
    for found in _POSITION.finditer(sentence):
        moment = times.get(int(found[2]))
        parts.append(Markup("{}").format(escape_controls(sentence[end : found.start()])))
        end = found.end()
        if moment is None:
            parts.append(Markup("{}").format(found[0]))
        else:
            at = f"{moment.astimezone(UTC):%H:%M:%S}"
            parts.append(Markup('<a href="#event-{}">{}</a> ({})').format(found[2], found[0], at))
    parts.append(Markup("{}").format(escape_controls(sentence[end:])))
    return Markup("").join(parts)


def answer_problem_page(request: AnyRequest, error: Exception) -> Response[str]:
    """An exception handler: the problem as a page."""
    problem, headers = refuse(request, error)
    accounts = {account: dict(request.query_params) | {"account_sid": account} for account in accounts_of(error)}
    return page(request, "problem.html", problem.status, headers, problem=problem, accounts=accounts)


def answer_for_browsers(request: AnyRequest, error: Exception) -> Response[Any]:
    """An exception handler for paths that are nobody's: a page for a browser, JSON for a program and under ``/api``."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api")
    return answer_problem_page(request, error) if wants_page else answer_problem(request, error)


PAGE_EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    HTTPException: answer_problem_page,
    OperationalError: answer_problem_page,
    DatabaseUnavailableError: answer_problem_page,
    Exception: answer_problem_page,
}

SITE_EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = dict.fromkeys(PAGE_EXCEPTION_HANDLERS, answer_for_browsers)
"""For the whole application: unknown paths and methods are answered by them too."""
