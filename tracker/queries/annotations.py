"""Annotations: marks on the dashboards for what happened outside of the tracker, such as a deploy of the application that sends."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
import psycopg
from psycopg.rows import TupleRow, class_row

from tracker.postgres.sql_files import query

MAX_TEXT: Final = 200
"""Characters of an annotation; a constraint of the table repeats it."""

NO_LINE: Final = f"The text must be one line of 1 to {MAX_TEXT} characters, without control characters."


class InvalidAnnotationError(ValueError):
    """The text of an annotation cannot be accepted; the message says what it must be."""


class Annotation(msgspec.Struct, frozen=True):
    """A mark as it was recorded. Annotations are never changed or removed."""

    annotation_id: Annotated[int, msgspec.Meta(description="Number of the annotation, in order of recording.")]
    happened_at: Annotated[datetime, msgspec.Meta(description="The moment that the mark is at, RFC 3339 in UTC.")]
    text: Annotated[str, msgspec.Meta(description="What happened, for people: one line.")]


def check_text(text: str) -> str:
    """The text without blanks around it. Raises InvalidAnnotationError unless it is one short line of printable characters."""
    stripped = text.strip()
    if not 1 <= len(stripped) <= MAX_TEXT or not stripped.isprintable():
        raise InvalidAnnotationError(NO_LINE)
    return stripped


async def append_annotation(
    connection: psycopg.AsyncConnection[TupleRow], text: str, happened_at: datetime | None
) -> Annotation:
    """Record a mark. text: from ``check_text``. happened_at: None for now. Raises psycopg.Error."""
    async with connection.cursor(row_factory=class_row(Annotation)) as cursor:
        await cursor.execute(query("append_annotation"), {"text": text, "happened_at": happened_at})
        annotation = await cursor.fetchone()
    assert annotation is not None  # RETURNING of one inserted row
    return annotation
