"""``tracker project --status``: where the projections stand."""

import sys

import msgspec
import psycopg
import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from projections.projection_status import Health, ProjectionStatus, Status, read_status
from projections.registry import PROJECTIONS
from tracker.commands.tables.table_printing import print_table
from tracker.errors import DatabaseUnavailableError, MigrationError
from tracker.postgres.embedded.server import open_database
from tracker.postgres.roles import Role, conninfo
from tracker.settings import Settings

_STYLES = {Health.OK: "green", Health.BEHIND: "yellow", Health.STOPPED: "bold red", Health.NEW: "yellow"}

_NOT_MIGRATED = "The database's schema is not this program's: run `tracker migrate`."


def show_status(settings: Settings, *, as_json: bool) -> None:
    """Print it; ends the process with 1 when a projection has stopped. Raises DatabaseUnavailableError, MigrationError."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_database(url, settings.data_dir) as database_url:
        status = _read(database_url)
    if as_json:
        click.echo(msgspec.json.encode(status))
    else:
        _print(status)
    if status.stopped:
        sys.exit(1)


def _read(database_url: str) -> Status:
    try:
        with psycopg.connect(
            conninfo(database_url, role=Role.PROJECTOR, application="tracker-status"), autocommit=True
        ) as connection:
            return read_status(connection, PROJECTIONS)
    except psycopg.errors.UndefinedTable:
        raise MigrationError(_NOT_MIGRATED) from None
    except psycopg.OperationalError as error:
        if f'role "{Role.PROJECTOR}" does not exist' in str(error):
            raise MigrationError(_NOT_MIGRATED) from None
        raise DatabaseUnavailableError(f"No connection to the database: {error}") from None


def _print(status: Status) -> None:
    """A line about the runner, a table, and what stopped whatever stopped."""
    console = Console()
    console.print(_runner(status), highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("projection", "health", "version"):
        table.add_column(heading, no_wrap=True)
    for heading in ("position", "lag events", "lag seconds"):
        table.add_column(heading, no_wrap=True, justify="right")
    for each in status.projections:
        table.add_row(
            each.name,
            Text(each.health, style=_STYLES[each.health]),
            _version(each),
            f"{each.position:,}",
            f"{each.lag_events:,}",
            f"{each.lag_seconds:,.1f}",
        )
    print_table(console, table)
    for each in status.projections:
        if each.failed_reason is not None:
            console.print(
                f"{each.name} stopped at position {each.failed_position}: {each.failed_reason}",
                highlight=False,
                markup=False,
            )


def _runner(status: Status) -> str:
    log = f"The log is at position {status.log_position:,}."
    if status.instance_id is None or status.since is None:
        return f"{log} No runner has ever been active."
    since = status.since.strftime("%Y-%m-%d %H:%M:%S UTC")
    if status.active:
        return f"{log} The runner of instance {status.instance_id} has been active since {since}."
    return f"{log} No runner is active; the last was that of instance {status.instance_id}, from {since} on."


def _version(status: ProjectionStatus) -> str:
    if status.version is None:
        return f"none ({status.program_version})"
    if status.program_version in {None, status.version}:
        return str(status.version)
    return f"{status.version} (needs {status.program_version})"
