"""What a command prints arrives whole, or the command fails."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from typing import IO, Final

import psutil
import pytest

from tests.support.waiting import wait_until

PAGE: Final = 4096
"""The smallest pipe there is, in bytes."""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_long_document_is_whole_when_its_write_is_interrupted(unbuffered: str) -> None:
    """A write to a full pipe that is cut short is gone on with, also with the files that PYTHONUNBUFFERED gives, which drop the rest."""
    with subprocess.Popen(
        [sys.executable, "-m", "tracker", "errors", "--json"],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, pipesize=PAGE,
    ) as process:  # fmt: skip
        output = process.stdout
        assert output is not None
        wait_until(lambda: waiting(output) == PAGE or process.poll() is not None, "the pipe to be full")
        # A process that is stopped leaves the write that it waits in, with what was written until then.
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "the process to be stopped")
        process.send_signal(signal.SIGCONT)
        document = json.loads(output.read())
    assert process.returncode == 0
    assert len(document) > 100


def waiting(pipe: IO[bytes]) -> int:
    """How many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
