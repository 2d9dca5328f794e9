"""``tracker migrate``: bring the database's schema up to this program's."""

import json

import rich_click as click

from tracker.postgres.embedded.server import open_database
from tracker.postgres.migrations import migrate
from tracker.settings import load_settings


@click.command("migrate")
@click.option("--json", "as_json", is_flag=True, help="Print the names of the migrations as JSON.")
def command(as_json: bool) -> None:
    """Apply the migrations that the database does not have yet, in order.

    Reads DATABASE_URL, which must log in as the owner of the schema; unset: the PostgreSQL under TRACKER_DATA_DIR.
    Writes the schema and four roles. `tracker serve` does the same at its start, unless it has --no-migrate.

    Example: tracker migrate --json
    """
    settings = load_settings()
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_database(url, settings.data_dir, create=True) as database_url:
        applied = migrate(database_url)
    if as_json:
        click.echo(json.dumps({"applied": applied}))
    else:
        click.echo("\n".join(applied) if applied else "Nothing to do: the schema is up to date.", err=not applied)
