"""The processes under the supervisor."""

import math
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Final

import structlog

from tracker.stop_signals import URGENT_SIGNALS, StopSignals

_log = structlog.get_logger()

SECONDS_BETWEEN_STARTS: Final = 1.0
"""A child that dies at once, or cannot be started, is not started more often than this."""

END_CHECK_SECONDS: Final = 0.02
"""Interval at which a stop checks whether a child has ended."""


class Child:
    """A process that is started again when it ends."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        descriptors: tuple[int, ...],
        stop_seconds: float,
    ) -> None:
        """environment: all of it. stop_seconds: how long it may take to stop."""
        self.name = name
        self._stop_seconds = stop_seconds
        self._arguments = arguments
        self._environment = dict(environment)
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started = -SECONDS_BETWEEN_STARTS
        self._deadline = math.inf

    def look_after(self) -> None:
        """Start the process if it has not been started, or has ended."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() - self._started < SECONDS_BETWEEN_STARTS:
            return
        if self._process is not None:
            _log.error("child.died", child=self.name, pid=self._process.pid, exit_code=self._process.returncode)
            self._process = None
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            # A session of its own: Ctrl-C reaches the supervisor only, which then stops its children in order.
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                env=self._environment,
                pass_fds=self._descriptors,
                start_new_session=True,
            )
        except OSError as error:
            # The machine has no process, memory or descriptor left. The other children go on, and this one is tried again.
            _log.error("child.not_started", child=self.name, reason=str(error))
        else:
            _log.info("child.started", child=self.name, pid=self._process.pid)

    def tell_to_stop(self) -> None:
        """Send SIGTERM. From now on the process has ``stop_seconds`` to end."""
        self._deadline = time.monotonic() + self._stop_seconds
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, stop: StopSignals) -> None:
        """Wait until the process has ended. Kill it when its time is over, or when ``stop`` becomes urgent."""
        if self._process is None:
            return
        while self._process.poll() is None:
            if stop.is_urgent():
                self._kill("the supervisor ends at once")
            elif time.monotonic() >= self._deadline:
                self._kill(f"did not stop in {self._stop_seconds} s")
            else:
                stop.wait(END_CHECK_SECONDS, URGENT_SIGNALS)

    def _kill(self, reason: str) -> None:
        assert self._process is not None
        _log.error("child.killed", child=self.name, pid=self._process.pid, reason=reason)
        self._process.kill()
        self._process.wait()
