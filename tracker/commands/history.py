"""``tracker history``: everything that was said of one message, what each event did, and what follows."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import asyncio
import sys

import psycopg
import rich_click as click
from rich.console import Console

from tracker.commands.history_table import print_history
from tracker.database.connections import Role, conninfo
from tracker.database.embedded import open_database
from tracker.errors import DatabaseUnavailableError
from tracker.log.event import Event
from tracker.log.reader import read_history
from tracker.messages.answers import MessageDossier
from tracker.messages.as_of import AsOf, Clock
from tracker.messages.history import tell, why_nothing
from tracker.messages.times import InvalidTimeError, parse_time
from tracker.settings import load_settings
from tracker.twilio.callback import MESSAGE_SID

QUERY_SECONDS = 30
"""After so long the question is given up."""

NO_LOG = "The database has no log yet; run `tracker migrate` or `tracker serve` first."

WIDE = 160
"""Columns where there is no terminal to ask, so that a pipe gets a line an event."""


@click.command(name="history")
@click.argument("sid")
@click.option(
    "--as-of", metavar="TIME", help="Answer as of this moment: RFC 3339 with an offset, such as 2026-03-01T12:00:00Z."
)
@click.option(
    "--clock",
    type=click.Choice([clock.value for clock in Clock]),
    default=Clock.KNOWN.value,
    show_default=True,
    help="When an event counts for --as-of: when it was known to us, or happened by the carrier's date.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: state and events, evidence included.")
def command(sid: str, as_of: str | None, clock: str, as_json: bool) -> None:
    """Show a message's history: every event, its effect, and which one decides.

    SID is the message's, SM or MM and 32 hexadecimal digits. Exits with 1 if nothing is known of it.
    """
    if MESSAGE_SID.fullmatch(sid) is None:
        raise click.BadParameter("expected SM or MM and 32 hexadecimal digits.", param_hint="SID")
    moment = None if as_of is None else _moment(as_of, Clock(clock))
    events = _read(sid)
    history = tell(events, moment)
    if history is None:
        raise click.ClickException(why_nothing(sid, events, moment))
    if as_json:
        click.echo(MessageDossier.of(history).as_json())
    else:
        print_history(Console(width=None if sys.stdout.isatty() else WIDE), history, moment, len(events))


def _moment(text: str, clock: Clock) -> AsOf:
    try:
        return AsOf(parse_time(text), clock)
    except InvalidTimeError as error:
        raise click.BadParameter(f"{error}.", param_hint="--as-of") from None


def _read(message_sid: str) -> list[Event]:
    """The message's events. Raises TrackerError."""
    settings = load_settings()
    given = None if settings.database_url is None else settings.database_url.get_secret_value()
    with open_database(given, settings.data_dir) as database_url:
        service = conninfo(database_url, role=Role.SERVICE, application="tracker-history", timeout=QUERY_SECONDS)
        try:
            return asyncio.run(_ask(service, message_sid))
        except psycopg.errors.UndefinedTable:
            raise DatabaseUnavailableError(NO_LOG) from None
        except psycopg.OperationalError as error:
            # The role comes with the first migration, too.
            no_role = f'role "{Role.SERVICE}" does not exist' in str(error)
            raise DatabaseUnavailableError(NO_LOG if no_role else f"The database does not answer: {error}") from error


async def _ask(service: str, message_sid: str) -> list[Event]:
    async with await psycopg.AsyncConnection.connect(service, autocommit=True) as connection:
        return await read_history(connection, message_sid)
