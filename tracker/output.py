"""Standard output and standard error that write all of what they are given."""

import io
import os
import sys
from collections.abc import Callable
from typing import Final, TextIO

_LINE_BUFFERED: Final = 1


class LogStream:
    """Writes log lines to whatever ``sys.stderr`` is at that moment, so that a progress bar which replaces it gets log lines above itself.

    A line that cannot be written is dropped and counted: a full disk under the log, or a reader that has gone, must not stop the work that is
    logged. After the next line that is written, the number of dropped ones is reported.
    """

    def __init__(self, report_dropped: Callable[[int], None]) -> None:
        """report_dropped: gets the number of dropped lines when a line could be written again. It may log."""
        self._report_dropped = report_dropped
        self._dropped = 0

    def write(self, text: str) -> int:
        """Write the text, or drop it. Returns its length in characters. Never raises OSError."""
        try:
            written = sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            self._dropped += 1
            return len(text)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._report_dropped(dropped)
        return written

    def flush(self) -> None:
        """Does nothing: each line was flushed when it was written."""


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
