"""Running the embedded PostgreSQL as root: PostgreSQL refuses to, so a system user runs it, and must reach its files.

No directory above the data directory is ever opened for that user. What it cannot reach is put under STATE instead: the cluster, with a
link to it in the data directory, and a copy of the programs.
"""

import grp
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from tracker.errors import EmbeddedServerError

_log = structlog.get_logger()

NAME: Final = "embedded_postgres"
"""The user, made where it is missing."""

STATE: Final = Path("/var/lib/twilio-status-tracker")
"""Only root may write here, and everyone may pass through."""

BELONGS_TO: Final = "belongs-to"
"""A file beside a cluster under STATE: the path of the link to it."""

_PROGRAM_DIRECTORIES: Final = ("bin", "lib", "share")


def is_root() -> bool:
    """Whether this process is root's, and a server that it starts must be another user's."""
    return os.geteuid() == 0


def find_or_make_user() -> pwd.struct_passwd:
    """The system user. Raises EmbeddedServerError when it cannot be made."""
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        _log.info("user.created", name=NAME, reason="PostgreSQL refuses to run as root")
    except (OSError, subprocess.CalledProcessError) as error:
        # Another process may have made it meanwhile.
        if NAME not in {entry.pw_name for entry in pwd.getpwall()}:
            raise EmbeddedServerError(
                f"PostgreSQL refuses to run as root, and the user {NAME} cannot be made for it: {error}. Run the tracker as"
                " an ordinary user, or set DATABASE_URL."
            ) from error
    return pwd.getpwnam(NAME)


def can_reach(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether the permission bits let the user pass through all directories above a resolved path. Access lists are not looked at."""
    groups = {user.pw_gid, *(entry.gr_gid for entry in grp.getgrall() if user.pw_name in entry.gr_mem)}
    return all(_may(user, groups, directory, stat.S_IXOTH) for directory in path.parents)


def make_cluster_directory(path: Path) -> None:
    """Make the directory of the cluster, which belongs to the system user alone. ``path``, in the data directory, becomes a link when
    the user cannot reach it there.

    Raises EmbeddedServerError when there is a cluster that it cannot reach.
    """
    user = find_or_make_user()
    resolved = path.resolve()
    _let_through(user, resolved.parent)
    if not can_reach(user, resolved):
        if path.is_dir() and any(path.iterdir()):
            raise EmbeddedServerError(
                f"PostgreSQL runs as the user {NAME}, because it refuses to run as root, and that user may not pass through"
                f" the directories above {resolved}. Run the tracker as an ordinary user, or move TRACKER_DATA_DIR to a place"
                f" such as {STATE}, or set DATABASE_URL."
            )
        if path.is_dir():
            path.rmdir()
        resolved = Path(tempfile.mkdtemp(prefix="cluster-", dir=_state())) / "postgres"
        _log.info("database.elsewhere", path=str(resolved), reason=f"the user {NAME} cannot reach {path}")
        resolved.parent.chmod(0o711)
        (resolved.parent / BELONGS_TO).write_text(f"{path}\n", encoding="utf-8")
        path.symlink_to(resolved)
    resolved.mkdir(mode=0o700, exist_ok=True)
    os.chown(resolved, user.pw_uid, user.pw_gid)
    resolved.chmod(0o700)


def reachable_programs(installed: Path) -> Path:
    """A directory with PostgreSQL's programs, libraries and data that the system user can use: ``installed``, else a copy of it.

    installed: ``pginstall`` of the wheel's package, beside which are the libraries that the programs find by a relative path.
    """
    user = find_or_make_user()
    resolved = installed.resolve()
    parts = [resolved / name for name in _PROGRAM_DIRECTORIES]
    libraries = resolved.parents[1] / f"{resolved.parent.name}.libs"
    if libraries.is_dir():
        parts.append(libraries)
    program = resolved / "bin" / "postgres"
    if can_reach(user, program) and all(
        _may(user, set(), path, stat.S_IROTH | stat.S_IXOTH) for path in (program, *parts)
    ):
        return installed
    # What is installed anew at the same place is a directory anew.
    named = f"{resolved}-{resolved.stat().st_ino}-{resolved.stat().st_ctime_ns}"
    copy = _state() / f"programs-{hashlib.sha256(named.encode()).hexdigest()[:16]}"
    if not copy.is_dir():
        _copy(resolved.parents[1], parts, copy)
    return copy / resolved.relative_to(resolved.parents[1])


def make_private_directory(path: Path) -> None:
    """Make a directory that only the server's user, or where that is this process's own, this process may enter.

    Raises EmbeddedServerError when it is there and another user's, as anybody could arrange in a temporary directory.
    """
    owner = find_or_make_user().pw_uid if is_root() else os.geteuid()
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if is_root() and found.st_uid == 0 and stat.S_ISDIR(found.st_mode):
        # Just made, in a directory where only root can.
        os.chown(path, owner, -1, follow_symlinks=False)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
        raise EmbeddedServerError(
            f"{path} belongs to another user, so the embedded PostgreSQL cannot have its socket there: remove it, or set"
            " TRACKER_DATA_DIR to a shorter path."
        )
    path.chmod(0o700)


def socket_base() -> Path:
    """Where the directories of sockets are whose data directory has too long a path."""
    if is_root():
        return _state()
    given = os.environ.get("XDG_RUNTIME_DIR")
    return Path(given) if given and os.access(given, os.W_OK) else Path(tempfile.gettempdir())


def _let_through(user: pwd.struct_passwd, data_dir: Path) -> None:
    """Let the user, and nobody else, pass through the data directory itself, where only root could so far."""
    found = data_dir.stat()
    if found.st_uid == 0 and not found.st_mode & 0o077:
        os.chown(data_dir, -1, user.pw_gid)
        data_dir.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP)


def _may(user: pwd.struct_passwd, groups: set[int], path: Path, wanted: int) -> bool:
    """wanted: the bits as for others; those of the owner or the group count where the user is one of them."""
    found = path.stat()
    if found.st_uid == user.pw_uid:
        wanted <<= 6
    elif found.st_gid in groups:
        wanted <<= 3
    return found.st_mode & wanted == wanted


def _state() -> Path:
    STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    found = STATE.lstat()
    if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise EmbeddedServerError(
            f"{STATE} must be a directory that belongs to root and that nobody else may write to."
        )
    STATE.chmod(0o711)
    return STATE


def _copy(root: Path, parts: Sequence[Path], copy: Path) -> None:
    """Copy directories under ``root``, at their places, for everyone to read and execute. The copy is there whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="copying-", dir=copy.parent) as temporary:
        target = Path(temporary) / copy.name
        for part in parts:
            shutil.copytree(part, target / part.relative_to(root), symlinks=True)
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            target.rename(copy)
        except OSError:
            # Another process was faster.
            if not copy.is_dir():
                raise
    _log.info("database.programs_copied", path=str(copy), reason=f"the user {NAME} cannot use those in {root}")
