"""The command ``tracker``: data on stdout, everything else on stderr; exit codes 0, 1 (a check failed), 2 (usage)."""

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Final

import rich_click as click

from tracker.errors import SettingsError, TrackerError
from tracker.logging_setup import configure_logging, read_log_format
from tracker.output import ensure_whole_writes

COMMANDS: Final = {
    "serve": "serve",
    "migrate": "migrate",
    "project": "project",
    "rebuild": "rebuild",
    "history": "history",
    "quarantine": "quarantine",
    "simulate": "simulate",
    "errors": "errors",
    "annotate": "annotate",
}
"""Subcommands in the order of the help, each with its module in ``tracker.commands``; a module is imported when it is needed."""


class LazyGroup(click.RichGroup):
    """Imports only the subcommand that was called, because some need much that others do not."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None when there is none."""
        module = COMMANDS.get(cmd_name)
        return None if module is None else import_module(f"tracker.commands.{module}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's, with a suggestion for a name that is no command."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"There is no command {name!r}.{f' Did you mean {close[0]}?' if close else ''}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="twilio-status-tracker")
def cli() -> None:
    """Receive Twilio's status callbacks, store them, and show what became of each message.

    Settings come from the environment and from .env in the current directory; README.md has the table. Data goes to
    standard output, everything else to standard error. Exit codes: 0, 1 (a check failed), 2 (wrong usage or settings).

    Example: tracker serve
    """


def main() -> None:
    """Run the command line; what the user can mend is one message, not a traceback."""
    ensure_whole_writes()
    # Spool, secrets and database hold phone numbers: what this process and its children make is closed to other users.
    os.umask(0o077)
    configure_logging(read_log_format())
    try:
        cli(standalone_mode=True)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except TrackerError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
