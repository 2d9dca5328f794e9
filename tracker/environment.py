"""The environment and ``.env`` before the settings are checked: names that are no settings, and secrets that stand in files."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import structlog

from tracker.setting_names import INTERNAL, misspelt_names, unknown_names

_log: Any = structlog.get_logger()

SECRETS = ("DATABASE_URL", "TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKENS", "TWILIO_SHARED_KEYS", "TRACKER_API_TOKEN")
"""Settings that ``NAME_FILE`` may bring in from a file."""


def check_names(environment: Mapping[str, str | None], known: Collection[str]) -> list[str]:
    """A complaint per misspelt name. Logs ``settings.unknown`` for other names that start with ``TRACKER_``, once per server or command.

    known: every name that is a setting, in capitals. Names with an empty value count as unset.
    """
    given = [name for name, value in environment.items() if value]
    misspelt = dict(misspelt_names(given, known))
    unknown = [name for name in unknown_names(given, known) if name not in misspelt]
    if unknown and not INTERNAL & environment.keys():
        _log.warning("settings.unknown", names=unknown, reason="no setting has this name, so it changes nothing")
    return [f"{name}: there is no such setting; did you mean {nearest}?" for name, nearest in misspelt.items()]


def expand_home(path: Path) -> Path:
    """The path with ``~`` or ``~user`` replaced by the home directory. Raises ValueError where there is none."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"has no home directory for {path.parts[0]}") from None


def read_secret_files(environment: Mapping[str, str | None]) -> tuple[dict[str, object], list[str]]:
    """The secrets that ``NAME_FILE`` brings in, and a complaint for each file that cannot be read.

    A value that stands in the environment itself goes first.
    """
    found: dict[str, object] = {}
    complaints: list[str] = []
    for name in SECRETS:
        path = environment.get(f"{name}_FILE")
        if not path or environment.get(name):
            continue
        try:
            secret = expand_home(Path(path)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            is_text = not isinstance(error, UnicodeDecodeError)
            reason = (error.strerror if isinstance(error, OSError) else error) if is_text else "it is not UTF-8 text"
            complaints.append(f"{name}_FILE: cannot read {path}: {reason}")
            continue
        if not secret:
            complaints.append(f"{name}_FILE: {path} is empty")
        found[name if name == "TRACKER_API_TOKEN" else name.lower()] = secret
    return found, complaints
