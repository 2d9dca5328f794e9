"""How the user calls ``tracker`` from the current directory, for commands that are shown to be copied."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from tracker.settings import Settings

_ADDRESS: Final = {"TRACKER_DATA_DIR": "data_dir", "TRACKER_HOST": "host", "TRACKER_PORT": "port"}
"""Settings by which commands find the server of this directory, each with its field."""


def invocation() -> str:
    """The command line up to the subcommand: ``tracker`` where that is found on PATH, else a path such as ``.venv/bin/tracker``."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(_from_here(Path(sys.executable)))} -m tracker"
    found = shutil.which("tracker")
    if found is not None and called.exists() and Path(found).samefile(called):
        return "tracker"
    return shlex.quote(_from_here(called))


def invocation_for(settings: Settings, port: int) -> str:
    """The same for a server with these settings, from another shell: assignments of what neither ``.env`` nor a default gives it.

    port: where the server listens.
    """
    given = dotenv_values(".env")
    values = {"TRACKER_DATA_DIR": str(settings.data_dir), "TRACKER_HOST": settings.host, "TRACKER_PORT": str(port)}
    assignments = [
        f"{name}={shlex.quote(value)}"
        for name, value in values.items()
        if value != (given.get(name) or str(Settings.model_fields[_ADDRESS[name]].default))
    ]
    return " ".join([*assignments, invocation()])


def _from_here(program: Path) -> str:
    """The path relative to the current directory where it is below that, else absolute."""
    absolute = program.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)
