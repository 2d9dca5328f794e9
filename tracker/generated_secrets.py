"""Secrets that the tracker makes once and keeps in its data directory, readable by their owner only."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from tracker.errors import SettingsError


def generated_secret(path: Path, characters: int) -> str:
    """Read the secret in a file, or make it: hexadecimal, and the same for all processes that start together.

    The file is complete as soon as it exists: it is linked to its name after it has been written (fsync). Raises SettingsError when the
    file cannot be made or read, or is empty.
    """
    try:
        if not path.exists():
            _create(path, secrets.token_hex(characters // 2))
        found = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"TRACKER_DATA_DIR: cannot read or write {path}: {error.strerror}") from error
    if not found:
        raise SettingsError(f"TRACKER_DATA_DIR: {path} is empty. Delete it: a new one is made at the next start.")
    return found


def _create(path: Path, secret: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        # It exists when another process was first.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
