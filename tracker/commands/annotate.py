"""``tracker annotate``: put a mark on the dashboards."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import msgspec
import rich_click as click

from tracker.commands.database import ask_database
from tracker.queries.annotations import InvalidAnnotationError, append_annotation, check_text
from tracker.queries.times import InvalidTimeError, parse_time


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
    annotation = ask_database("tracker-annotate", lambda connection: append_annotation(connection, line, happened_at))
    if as_json:
        click.echo(msgspec.json.encode(annotation).decode())
    else:
        click.echo(f"{annotation.happened_at:%Y-%m-%d %H:%M:%S} UTC  {annotation.text}")
