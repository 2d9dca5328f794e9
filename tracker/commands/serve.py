"""``tracker serve``: webhook, API, pages, metrics and projector."""

import rich_click as click

from tracker.commands.banner import banner
from tracker.logging_setup import configure_logging
from tracker.server_settings import effective_api_token, load_server_settings
from tracker.supervisor.supervisor import serve


@click.command("serve")
@click.option("--host", help="Address to listen on.  [TRACKER_HOST, default 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: any that is free.  [TRACKER_PORT, default 8000]",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Web worker processes.  [TRACKER_WORKERS, default 1]")
@click.option(
    "--no-projector", is_flag=True, help="Only receive callbacks and answer; `tracker project` runs elsewhere."
)
@click.option(
    "--no-migrate", is_flag=True, help="The schema is up to date: `tracker migrate` runs elsewhere, as the owner."
)
def command(host: str | None, port: int | None, workers: int | None, no_projector: bool, no_migrate: bool) -> None:
    """Receive callbacks and answer questions, until Ctrl-C or SIGTERM.

    Reads the settings. Writes the log of events to DATABASE_URL, else to a PostgreSQL of its own under
    TRACKER_DATA_DIR, which it starts and stops; while the database is away, to a spool in TRACKER_DATA_DIR.

    Example: tracker serve --port 9000 --workers 2
    """
    settings = load_server_settings({"TRACKER_HOST": host, "TRACKER_PORT": port, "TRACKER_WORKERS": workers})
    configure_logging(settings.log_format)
    # Made before anything listens.
    effective_api_token(settings)
    serve(
        settings,
        project=not no_projector,
        migrate_first=not no_migrate,
        on_ready=lambda port: click.echo(f"\n{banner(settings, port)}\n", err=True),
    )
