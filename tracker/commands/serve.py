"""``tracker serve``: webhook, API, pages, metrics and projector."""

import rich_click as click

from tracker.logging_setup import configure_logging
from tracker.server_settings import api_token_file, effective_api_token, load_server_settings
from tracker.settings import Settings, effective_account
from tracker.supervisor.supervisor import serve
from tracker.web.webhook import PATH


@click.command("serve")
@click.option("--host", help="Address to listen on.  [TRACKER_HOST, default 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: any that is free.  [TRACKER_PORT, default 8000]",
)
@click.option("--workers", type=click.IntRange(1, 64), help="Web worker processes.  [TRACKER_WORKERS, default 1]")
@click.option("--no-projector", is_flag=True, help="Only take callbacks and answer; `tracker project` runs elsewhere.")
@click.option(
    "--no-migrate", is_flag=True, help="The schema is up to date: `tracker migrate` runs elsewhere, as the owner."
)
def command(host: str | None, port: int | None, workers: int | None, no_projector: bool, no_migrate: bool) -> None:
    """Take callbacks in and answer questions, until Ctrl-C or SIGTERM.

    Without DATABASE_URL a PostgreSQL of its own is started under TRACKER_DATA_DIR and stopped at the end.
    """
    settings = load_server_settings({"TRACKER_HOST": host, "TRACKER_PORT": port, "TRACKER_WORKERS": workers})
    configure_logging(settings.log_format)
    # Made before anything listens.
    effective_api_token(settings)
    serve(
        settings, project=not no_projector, migrate_first=not no_migrate, on_ready=lambda port: _greet(settings, port)
    )


def _greet(settings: Settings, port: int) -> None:
    """What a person wants to know first, on standard error."""
    base = settings.public_base_url or f"http://{settings.host}:{port}"
    lines = [
        f"Status callbacks   POST {base}{PATH}",
        f"Overview           {base}/",
        f"API                {base}/api/messages",
        f"API document       {base}/schema",
        f"Metrics            {base}/metrics",
    ]
    token_file = api_token_file(settings)
    if token_file is not None:
        lines += [
            f"API token          {token_file} (made at the first start: bearer token of the API,",
            "                   password of the pages, for any user name)",
        ]
    if settings.uses_development_account:
        account_sid, _ = effective_account(settings)
        lines += [
            f"Development only   no Twilio auth token is set: one was made for account {account_sid}",
            f"                   and is kept in {settings.data_dir}/development-auth-token",
            "Try                tracker simulate",
        ]
    click.echo("\n".join(["", *lines, ""]), err=True)
