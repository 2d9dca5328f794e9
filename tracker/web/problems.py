"""What is answered when there is no answer: application/problem+json (https://www.rfc-editor.org/rfc/rfc9457)."""

from http import HTTPStatus
from traceback import format_exception
from typing import Annotated, Any, Final, NamedTuple, cast

import msgspec
import psycopg
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from tracker.errors import DatabaseUnavailableError
from tracker.http.security_headers import SECURITY_HEADERS
from tracker.twilio.callback import MESSAGE_SID

PROBLEM_JSON: Final = "application/problem+json"

RETRY_SECONDS: Final = "5"
"""When it is worth asking again while the database is away: a restart takes about so long."""

AnyRequest = Request[Any, Any, Any]

_log = structlog.get_logger()


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not answered."""

    type: Annotated[str, msgspec.Meta(description="about:blank: the status says what kind of problem it is.")]
    title: Annotated[str, msgspec.Meta(description="The status in words.")]
    status: Annotated[int, msgspec.Meta(description="The HTTP status.", ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(description="What is wrong and what to do, for people.")]


class Refusal(NamedTuple):
    """A problem, and the headers that belong to it."""

    problem: Problem
    headers: dict[str, str]


def refuse(request: AnyRequest, error: Exception) -> Refusal:
    """The problem that an exception amounts to. What is our fault is logged, and told to nobody else."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refusal(_problem(error.status_code, _detail(request, error)), error.headers or {})
    message_sid = str(request.path_params.get("message_sid"))
    log = _log.bind(message_sid=message_sid) if MESSAGE_SID.fullmatch(message_sid) else _log
    handler = request.scope.get("path_template") or request.scope["path"]
    if isinstance(error, psycopg.OperationalError | DatabaseUnavailableError):
        log.warning("request.unanswered", handler=handler, reason=f"{type(error).__name__}: {error}")
        detail = str(error) if isinstance(error, DatabaseUnavailableError) else "The database cannot be reached."
        return Refusal(_problem(503, f"{detail} Try again in a few seconds."), {"Retry-After": RETRY_SECONDS})
    # As text, whatever the log is set to: a traceback that shows variables shows tokens.
    log.error("request.failed", handler=handler, exception="".join(format_exception(error)))
    return Refusal(_problem(500, "This is our fault. The log of the server says more."), {})


def answer_problem(request: AnyRequest, error: Exception) -> Response[Problem]:
    """An exception handler: the problem as JSON."""
    problem, headers = refuse(request, error)
    return Response(
        problem, status_code=problem.status, media_type=PROBLEM_JSON, headers={**SECURITY_HEADERS, **headers}
    )


ACCOUNTS: Final = "accounts"
"""Key of the accounts, one of which must be named, in the ``extra`` of a problem."""


def accounts_of(error: Exception) -> list[str]:
    """The accounts among which a request must choose; empty for other problems."""
    extra = error.extra if isinstance(error, HTTPException) else None
    return cast("dict[str, list[str]]", extra).get(ACCOUNTS, []) if isinstance(extra, dict) else []


def _problem(status: int, detail: str) -> Problem:
    return Problem("about:blank", HTTPStatus(status).phrase, status, detail)


def _detail(request: AnyRequest, error: HTTPException) -> str:
    """What Litestar found wrong, in whole sentences."""
    if isinstance(error.extra, list):
        complaints = [item for item in cast("list[object]", error.extra) if isinstance(item, dict)]
        return "; ".join(_complaint(cast("dict[str, str]", item)) for item in complaints) or error.detail
    if error.detail != HTTPStatus(error.status_code).phrase:
        return error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "There is nothing at this path."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not allowed here."
    return f"{error.detail}."


def _complaint(item: dict[str, str]) -> str:
    return f"{item['key']}: {item['message']}" if "key" in item else item["message"]


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems that a handler may answer with, for the OpenAPI document. Where a token may be missing (401), a server without a
    token may refuse a request from elsewhere (403)."""
    refused = (HTTPStatus.FORBIDDEN,) if HTTPStatus.UNAUTHORIZED in statuses else ()
    return {int(status): _specification(status) for status in (*statuses, *refused)}


_DETAILS: Final = {
    400: (
        "The request cannot be understood.",
        "as_of: expected an RFC 3339 time with its offset, such as 2026-03-01T12:00:00Z",
    ),
    401: (
        "The bearer token is missing or wrong; only where the server has one.",
        "Send the token of TRACKER_API_TOKEN as “Authorization: Bearer …”.",
    ),
    403: (
        "The request is not from this machine; only where the server has no token.",
        "Without an API token this server answers on this machine only. Set TRACKER_API_TOKEN.",
    ),
    404: ("Nothing is known of this message.", "Nothing is known of SM0123456789abcdef0123456789abcdef."),
    409: (
        "Several accounts have a message of this SID.",
        "Several accounts, AC…1, AC…2, have a message SM…: name one of them as account_sid.",
    ),
    413: ("The body is too large.", "Request Entity Too Large"),
    415: ("The body is not declared as JSON.", "Send the annotation as application/json."),
    503: ("The database is away.", "The database cannot be reached. Try again in a few seconds."),
}


def _specification(status: int) -> ResponseSpec:
    description, detail = _DETAILS[status]
    example = Example(summary=description, value=msgspec.to_builtins(_problem(status, detail)))
    return ResponseSpec(
        Problem, generate_examples=False, description=description, media_type=PROBLEM_JSON, examples=[example]
    )
