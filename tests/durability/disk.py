"""A small file system of a test's own, to be filled up, where this machine lets the test mount one."""

import errno
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_CHUNKS = (2**20, 4096)
"""Bytes: what is written at a time, until not even the small ones fit."""


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """The mount point of a new tmpfs. size: as mount(8) takes it, such as 4m. Raises CalledProcessError where that is not allowed."""
    directory = Path(tempfile.mkdtemp(prefix="tracker-disk-"))
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(directory))
        try:
            yield directory
        finally:
            # Lazy: what is still open there ends with its process.
            _run("umount", "--lazy", str(directory))
    finally:
        directory.rmdir()


def enlarge(directory: Path, size: str) -> None:
    """Give a small disk more room."""
    _run("mount", "-o", f"remount,size={size}", str(directory))


@cache
def may_mount() -> bool:
    """Whether this machine allows it."""
    try:
        with small_disk("1m"):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


def fill_up(directory: Path) -> Path:
    """Leave no room on the directory's file system; the file that takes it all, to be removed."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in _CHUNKS:
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return ballast


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
