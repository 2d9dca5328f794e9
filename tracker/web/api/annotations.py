"""The API of annotations: ``POST /api/annotations``."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Router, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from tracker.queries.annotations import MAX_TEXT, Annotation, InvalidAnnotationError, append_annotation, check_text
from tracker.queries.reads import Connection, Pool, ask
from tracker.settings import Settings
from tracker.web.access.tokens import token_guards
from tracker.web.api.parameters import only, read_moment
from tracker.web.problems import documented

MAX_BODY: Final = 4096
"""Bytes of a request body."""


class NewAnnotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mark for the dashboards."""

    text: Annotated[
        str,
        msgspec.Meta(
            description="What happened, for people: one line without control characters.",
            min_length=1,
            max_length=MAX_TEXT,
            examples=["shop 4.2 deployed"],
        ),
    ]
    happened_at: Annotated[
        str | None,
        msgspec.Meta(
            description="When it happened, RFC 3339 with an offset; without it, now.", examples=["2026-03-01T12:00:00Z"]
        ),
    ] = None


def require_json(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse bodies that are not declared as JSON: those a browser sends for a page of another site, without asking."""
    media_type = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(status_code=415, detail="Send the annotation as application/json.")


@post(
    "/annotations",
    tags=["annotations"],
    summary="Mark a moment on the dashboards",
    description="For what happened outside of the tracker, such as a deploy of the application that sends. Annotations "
    "are never changed or removed. A request that is repeated is a second annotation.",
    guards=[require_json, only([])],
    responses=documented(400, 401, 413, 415, 503),
    request_max_body_size=MAX_BODY,
)
async def add_annotation(data: JSONBody[NewAnnotation], pool: NamedDependency[Pool]) -> Annotation:
    """Record an annotation."""
    try:
        text = check_text(data.text)
    except InvalidAnnotationError as error:
        raise ClientException(detail=f"text: {error}") from None
    happened_at = read_moment("happened_at", data.happened_at)

    async def append(connection: Connection) -> Annotation:
        return await append_annotation(connection, text, happened_at)

    return await ask(pool, append)


def annotations_router(settings: Settings) -> Router:
    """``POST /api/annotations``. Needs the dependency ``pool``."""
    return Router(
        "/api",
        route_handlers=[add_annotation],
        guards=token_guards(settings.api_token),
        security=None if settings.api_token is None else [{"bearer": []}],
    )
