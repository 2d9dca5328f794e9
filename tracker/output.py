"""Standard output and standard error that write all of what they are given."""

import io
import os
import sys
from typing import Final, TextIO

_LINE_BUFFERED: Final = 1


class CurrentStderr:
    """Writes to whatever ``sys.stderr`` is at that moment, so that a progress bar which replaces it gets log lines above itself."""

    def write(self, text: str) -> int:
        """Write the text. Returns its length in characters."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush ``sys.stderr``."""
        sys.stderr.flush()


def ensure_whole_writes() -> None:
    """Give this process buffered standard files where it has none, as under ``PYTHONUNBUFFERED`` or ``python -u``.

    Those drop what one write did not take (https://github.com/python/cpython/issues/85393), and a write to a full pipe
    ends early whenever the kernel wakes the process.
    """
    sys.stdout = _buffered(sys.stdout)
    sys.stderr = _buffered(sys.stderr)


def _buffered(file: TextIO) -> TextIO:
    """The file itself when it has a buffer, or is not a file at all."""
    if not isinstance(file, io.TextIOWrapper) or not isinstance(file.buffer, io.RawIOBase):
        return file
    return os.fdopen(
        file.fileno(), "w", buffering=_LINE_BUFFERED, encoding=file.encoding, errors=file.errors, closefd=False
    )
