"""``tracker project``: keep the projections, in a process of its own."""

import signal
import threading

import rich_click as click

from projections.process import catch_up, project
from tracker.database.connections import Role, conninfo
from tracker.database.embedded import open_database
from tracker.processes import end_with_parent, instance_id
from tracker.settings import load_settings


@click.command("project")
@click.option("--once", is_flag=True, help="Take in what is in the log now, then stop.")
def command(once: bool) -> None:
    """Keep the projections up to date with the log.

    `tracker serve` runs one itself. Several may run: one is active, the others take over when it ends.
    """
    settings = load_settings()
    end_with_parent()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    url = settings.database_url.get_secret_value() if settings.database_url else None
    server = instance_id()
    with open_database(url, settings.data_dir) as database_url:
        info = conninfo(database_url, role=Role.PROJECTOR, application="tracker-projector")
        if not once:
            project(info, server, stop)
        elif not catch_up(info, server):
            click.echo("Another projector is active and takes everything in.", err=True)
