"""``tracker quarantine``: the callbacks that were set aside, and accepting one as an event."""

# pyright: reportUnknownMemberType=false
# The decorators of rich_click leave the type parameter of click's ParamType open.

import getpass
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import rich_click as click
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.commands.database import ask_database
from tracker.commands.tables.table_printing import print_table
from tracker.control_characters import escape_controls, escape_json
from tracker.queries.quarantine import (
    MAX_REASON,
    MEANINGS,
    EvidenceRow,
    QuarantinedCallback,
    QuarantinedEvidence,
    QuarantineFilters,
    QuarantineRow,
    accept_quarantined,
    list_quarantined,
    read_quarantined,
)
from tracker.queries.times import InvalidTimeError, parse_shown_time
from tracker.twilio.callback import QUARANTINE_REASONS

APPLICATION = "tracker-quarantine"
MAX_LISTED = 1000
WIDE = 160
"""Columns where there is no terminal to ask."""

Connection = AsyncConnection[TupleRow]


@click.group(name="quarantine")
def command() -> None:
    """Show callbacks that were set aside, and accept one as an event.

    They are signed, but no message status, or can be read in more than one way. They change no message until one is accepted.
    """


@command.command(name="list")
@click.option(
    "--reason", type=click.Choice(QUARANTINE_REASONS), help="Only callbacks that were set aside for this reason."
)
@click.option("--since", metavar="TIME", help="Only callbacks received then or later: RFC 3339, or a time in UTC.")
@click.option("--until", metavar="TIME", help="Only callbacks received before.")
@click.option("--waiting", is_flag=True, help="Only callbacks that nobody has accepted.")
@click.option("--limit", type=click.IntRange(1, MAX_LISTED), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_command(  # one per option
    reason: str | None, since: str | None, until: str | None, waiting: bool, limit: int, as_json: bool
) -> None:
    """List the newest callbacks first.

    Reads the database of the settings. Prints a table, or a JSON array; writes nothing.

    Example: tracker quarantine list --waiting --since '2026-03-01 12:00'
    """
    filters = QuarantineFilters(
        reason=reason,
        since=_moment("--since", since),
        until=_moment("--until", until),
        accepted=False if waiting else None,
    )

    async def read(connection: Connection) -> list[QuarantineRow]:
        return await list_quarantined(connection, filters, None, limit + 1)

    rows = ask_database(APPLICATION, read)
    callbacks = [row.summary() for row in rows[:limit]]
    if as_json:
        click.echo(escape_json(msgspec.json.format(msgspec.json.encode(callbacks), indent=2).decode()))
        return
    if not callbacks:
        click.echo(
            "No quarantined callback." if filters == QuarantineFilters() else "None passes these filters.", err=True
        )
        return
    print_table(_console(), _table(callbacks))
    if len(rows) > limit:
        click.echo("Older ones follow: ask with --until, or a greater --limit.", err=True)


@command.command(name="show")
@click.argument("callback_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_command(callback_id: str, as_json: bool) -> None:
    """Show one callback: why it was set aside, what it states, and its evidence.

    ID is its quarantine_id. Exits with 1 if there is none of that ID.

    Reads the database of the settings. Prints a list of facts, or one JSON object; writes nothing.

    Example: tracker quarantine show 0197c0de-0000-7000-8000-000000000001
    """
    callback = _read(callback_id)
    if as_json:
        click.echo(callback.as_json())
    else:
        _print(callback)


@command.command(name="accept")
@click.argument("callback_id", metavar="ID")
@click.option("--reason", required=True, help="Why it is accepted; kept for good, with the name of the user.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
def accept_command(callback_id: str, reason: str, yes: bool) -> None:
    """Append one callback to the log as the event that it states, once.

    The first value of each name counts. The event has the callback's own evidence and time of receipt.
    Exits with 1 if it cannot become an event.

    Reads the callback from the database of the settings. Writes one event, and who accepted it with the reason.

    Example: tracker quarantine accept 0197c0de-0000-7000-8000-000000000001 --reason "the console shows it"
    """
    if not reason.strip() or len(reason) > MAX_REASON or "\0" in reason:
        raise click.BadParameter(f"expected 1 to {MAX_REASON} characters.", param_hint="--reason")
    callback = _read(callback_id)
    if callback.acceptance is not None:
        click.echo(_already(callback), err=True)
        return
    if callback.reading is None:
        raise click.ClickException("It names no message or no status, so it cannot become an event.")
    _print(callback)
    if not yes and sys.stdin.isatty():
        click.confirm("Append this to the log? It cannot be undone.", abort=True, err=True)

    async def accept(connection: Connection) -> bool:
        return await accept_quarantined(connection, callback, _user(), reason.strip())

    if ask_database(APPLICATION, accept):
        click.echo(f"Accepted: `tracker history {callback.reading.message_sid}` shows it as an event.", err=True)
    else:
        click.echo(_already(_read(callback_id)), err=True)


def _already(callback: QuarantinedCallback) -> str:
    accepted = callback.acceptance
    assert accepted is not None
    return escape_controls(
        f"It had been accepted before, at {_time(accepted.accepted_at)} UTC by {accepted.accepted_by}: {accepted.reason}"
    )


def _read(callback_id: str) -> QuarantinedEvidence:
    try:
        identity = UUID(callback_id)
    except ValueError:
        raise click.BadParameter("expected the quarantine_id, a UUID.", param_hint="ID") from None

    async def read(connection: Connection) -> EvidenceRow | None:
        return await read_quarantined(connection, identity)

    row = ask_database(APPLICATION, read)
    if row is None:
        raise click.ClickException(f"There is no quarantined callback {identity}.")
    return row.evidence()


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_shown_time(text)
    except InvalidTimeError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def _user() -> str:
    """The operating system's name for the user, or its number where it has no name, as in a container."""
    try:
        return getpass.getuser()[:256]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE)


def _table(callbacks: list[QuarantinedCallback]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("id", no_wrap=True)
    for heading in ("received (UTC)", "reason", "message", "status", "accepted by"):
        table.add_column(heading, overflow="fold")
    for callback in callbacks:
        reading, acceptance = callback.reading, callback.acceptance
        table.add_row(
            callback.quarantine_id,
            _time(callback.received_at),
            _plain(callback.reason),
            _plain(reading.message_sid if reading else "–"),
            _plain(reading.status if reading else "–"),
            _plain(acceptance.accepted_by if acceptance else "–"),
        )
    return table


def _print(callback: QuarantinedEvidence) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(callback):
        if value is not None:
            grid.add_row(name, _plain(value))
    _console().print(grid)


def _facts(callback: QuarantinedEvidence) -> Iterator[tuple[str, str | None]]:
    yield "quarantined", f"{callback.reason}, received {_time(callback.received_at)} UTC"
    if callback.reason in MEANINGS:
        yield "why", f"It {MEANINGS[callback.reason]}."
    if callback.acceptance is not None:
        yield "accepted", _already(callback)
    reading = callback.reading
    if reading is None:
        yield "states", "no message or no status"
    else:
        yield "message", reading.message_sid
        yield "account", reading.account_sid or "none"
        yield "status", reading.status
        yield "error code", reading.error_code
        yield "route", f"{reading.channel}, {reading.from_address or 'unknown'} to {reading.to_address or 'unknown'}"
        yield "carrier's date", reading.raw_dlr_done_date
        yield "service", reading.messaging_service_sid
    for name, value in callback.params.items():
        for each in [value] if isinstance(value, str) else value:
            yield f"  {escape_controls(name)[:40]}", each
    yield "URL", callback.url
    yield "key", callback.key_id
    yield "signature's fingerprint", callback.signature_fingerprint
    yield "idempotency token", callback.idempotency_token


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")


def _plain(text: str) -> Text:
    return Text(escape_controls(text))
