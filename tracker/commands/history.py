"""``tracker history``: what was said of one message, what each event did, and what follows."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import rich_click as click
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from rich.console import Console

from tracker.commands.database import ask_database
from tracker.commands.tables.history_table import print_history
from tracker.queries.as_of import AsOf, Clock
from tracker.queries.history import History
from tracker.queries.history_reader import (
    NO_ACCOUNT,
    PAGE_EVENTS,
    Answer,
    NothingKnownError,
    SeveralAccountsError,
    read_message,
)
from tracker.queries.schemas import MessageDossier
from tracker.queries.times import InvalidTimeError, parse_shown_time
from tracker.twilio.addresses import canonical_sid

WIDE = 160
"""Columns where there is no terminal to ask, so that a pipe gets a line an event."""

_SID: Final = re.compile(r"(?:SM|MM)[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_ACCOUNT: Final = re.compile(r"AC[0-9a-f]{32}", re.IGNORECASE | re.ASCII)


@click.command(name="history")
@click.argument("sid")
@click.option(
    "--as-of",
    metavar="TIME",
    help="Answer as of this moment: RFC 3339 such as 2026-03-01T12:00:00Z, or a time in UTC such as '2026-03-01 12:00:00'.",
)
@click.option(
    "--clock",
    type=click.Choice([clock.value for clock in Clock]),
    default=Clock.KNOWN.value,
    show_default=True,
    help="When an event counts for --as-of: when it was known to us, or happened by the carrier's date.",
)
@click.option("--account", metavar="AC…", help="The account whose message it is, where several have the SID.")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="POSITION", help="Show the events behind this position."
)
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE_EVENTS),
    default=PAGE_EVENTS,
    show_default=True,
    help="Events to show at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: state and events, evidence included.")
def command(  # one per option
    sid: str, as_of: str | None, clock: str, account: str | None, after: int, limit: int, as_json: bool
) -> None:
    """Show a message's history: its events, their effects, and which one decides.

    SID is the message's, SM or MM and 32 hexadecimal digits. Exits with 1 if nothing is known of it.

    Reads the events from the database of the settings. Prints a table, or one JSON object; writes nothing.

    Example: tracker history SM0123456789abcdef0123456789abcdef --as-of '2026-03-01 12:00'
    """
    if _SID.fullmatch(sid) is None:
        raise click.BadParameter("expected SM or MM and 32 hexadecimal digits.", param_hint="SID")
    if account not in {None, NO_ACCOUNT} and _ACCOUNT.fullmatch(account or "") is None:
        raise click.BadParameter(
            f"expected AC and 32 hexadecimal digits, or {NO_ACCOUNT} for events that name no account.",
            param_hint="--account",
        )
    moment = None if as_of is None else _moment(as_of, Clock(clock))
    history = _read(sid[:2].upper() + sid[2:], account, moment, after, limit)
    if as_json:
        click.echo(MessageDossier.of(history).as_json())
    else:
        print_history(Console(width=None if sys.stdout.isatty() else WIDE), history, moment)
        if history.next_after is not None:
            click.echo(f"More events follow: repeat the command with --after {history.next_after}.", err=True)


def _moment(text: str, clock: Clock) -> AsOf:
    try:
        return AsOf(parse_shown_time(text), clock)
    except InvalidTimeError as error:
        raise click.BadParameter(f"{error}.", param_hint="--as-of") from None


def _read(sid: str, account: str | None, moment: AsOf | None, after: int, limit: int) -> History:
    """The message's history. Raises TrackerError and ClickException."""
    account = account if account in {None, NO_ACCOUNT} else canonical_sid(account or "")

    async def read(connection: AsyncConnection[TupleRow]) -> History:
        def ask(question: Callable[[AsyncConnection[TupleRow]], Awaitable[Answer]]) -> Awaitable[Answer]:
            return question(connection)

        return await read_message(ask, sid, account, moment, after=after, limit=limit)

    try:
        return ask_database("tracker-history", read)
    except NothingKnownError as error:
        raise click.ClickException(str(error)) from None
    except SeveralAccountsError as error:
        raise click.ClickException(str(error).replace("as account_sid", "with --account")) from None
