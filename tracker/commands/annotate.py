"""``tracker annotate``: put a mark on the dashboards."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import asyncio
from datetime import datetime

import msgspec
import psycopg
import rich_click as click

from tracker.annotations import Annotation, InvalidAnnotationError, append_annotation, check_text
from tracker.database.connections import Role, conninfo
from tracker.database.embedded import open_database
from tracker.errors import DatabaseUnavailableError
from tracker.messages.times import InvalidTimeError, parse_time
from tracker.settings import load_settings

QUERY_SECONDS = 30
"""Seconds after which the statement is given up."""

NO_TABLE = "The database has no table for annotations yet; run `tracker migrate` or `tracker serve` first."


@click.command(name="annotate")
@click.argument("text")
@click.option(
    "--at",
    metavar="TIME",
    help="When it happened: RFC 3339 with an offset, such as 2026-03-01T12:00:00Z.  [default: now]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the annotation as JSON.")
def command(text: str, at: str | None, as_json: bool) -> None:
    """Mark a moment on all charts, such as a deploy of the application that sends.

    TEXT is one line. Annotations are never changed or removed.

    Reads the settings. Writes one row to the database, which dashboards show as a mark.

    Example: tracker annotate "shop 4.2 deployed" --at 2026-03-01T12:00:00Z
    """
    try:
        line = check_text(text)
    except InvalidAnnotationError as error:
        raise click.BadParameter(str(error), param_hint="TEXT") from None
    try:
        happened_at = None if at is None else parse_time(at)
    except InvalidTimeError as error:
        raise click.BadParameter(f"{error}.", param_hint="--at") from None
    annotation = _append(line, happened_at)
    if as_json:
        click.echo(msgspec.json.encode(annotation).decode())
    else:
        click.echo(f"{annotation.happened_at:%Y-%m-%d %H:%M:%S} UTC  {annotation.text}")


def _append(text: str, happened_at: datetime | None) -> Annotation:
    """Record it. Raises TrackerError."""
    settings = load_settings()
    given = None if settings.database_url is None else settings.database_url.get_secret_value()
    with open_database(given, settings.data_dir) as database_url:
        service = conninfo(database_url, role=Role.SERVICE, application="tracker-annotate", timeout=QUERY_SECONDS)
        try:
            return asyncio.run(_connect_and_append(service, text, happened_at))
        except psycopg.errors.UndefinedTable:
            raise DatabaseUnavailableError(NO_TABLE) from None
        except psycopg.OperationalError as error:
            # The role comes with the first migration, too.
            no_role = f'role "{Role.SERVICE}" does not exist' in str(error)
            raise DatabaseUnavailableError(NO_TABLE if no_role else f"The database does not answer: {error}") from error


async def _connect_and_append(service: str, text: str, happened_at: datetime | None) -> Annotation:
    async with await psycopg.AsyncConnection.connect(service, autocommit=True) as connection:
        return await append_annotation(connection, text, happened_at)
