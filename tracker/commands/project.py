"""``tracker project``: keep the projections, in a process of its own."""

import rich_click as click
import structlog

from projections.projector import catch_up, project
from tracker.commands.project_status import show_status
from tracker.postgres.embedded.server import open_database
from tracker.postgres.roles import Role, conninfo
from tracker.processes import end_with_parent, give_way, instance_id
from tracker.settings import Settings, load_settings
from tracker.stop_signals import StopSignals

_log = structlog.get_logger()


@click.command("project")
@click.option("--once", is_flag=True, help="Apply the events that are in the log now, then stop.")
@click.option("--status", is_flag=True, help="Show where the projections stand. Exit code 1: one has stopped.")
@click.option("--json", "as_json", is_flag=True, help="With --status: as JSON.")
def command(once: bool, status: bool, as_json: bool) -> None:
    """Keep the projections (states, counters, statistics) up to date with the log of events.

    `tracker serve` runs one itself. Several may run: one is active, the others take over when it ends.
    Reads the events. Writes the tables that are derived from them; with --status, nothing.

    Example: tracker project --status
    """
    if as_json and not status:
        raise click.UsageError("--json goes with --status.")
    if once and status:
        raise click.UsageError("--once and --status exclude each other.")
    settings = load_settings()
    if status:
        show_status(settings, as_json=as_json)
    else:
        _project(settings, once=once)


def _project(settings: Settings, *, once: bool) -> None:
    end_with_parent()
    url = settings.database_url.get_secret_value() if settings.database_url else None
    server = instance_id(settings)
    with StopSignals(exits_when_urgent=True) as stop, open_database(url, settings.data_dir) as database_url:
        info = conninfo(database_url, role=Role.PROJECTOR, application="tracker-projector")
        if not once:
            # Whoever posts a callback waits for an answer; for the projections nobody does.
            give_way()
            project(info, server, stop, on_active=lambda: _log.info("projector.ready"))
        elif not catch_up(info, server):
            click.echo("Another projector is active and takes everything in.", err=True)
