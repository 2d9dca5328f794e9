"""A PostgreSQL of one test's own, to be stopped, frozen and started again."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.database import own_directory
from tracker.postgres.embedded.server import EmbeddedServer


class FragileServer:
    """A server that the test breaks and mends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = EmbeddedServer.start(directory)
        self._frozen: list[psutil.Process] = []
        self.url = self._server.url

    def stop(self) -> None:
        """Shut down; nobody listens any more."""
        self._server.stop()

    def start(self) -> None:
        """Start again where it was stopped."""
        self._server = EmbeddedServer.start(self._directory)

    def freeze(self) -> None:
        """All its processes stand still: connections stay open, and new ones are made by the kernel, but nothing is answered."""
        postmaster = psutil.Process(self._server.pid)
        # The postmaster first, so that no child comes after.
        self._frozen = [postmaster]
        os.kill(postmaster.pid, signal.SIGSTOP)
        for child in postmaster.children():
            self._frozen.append(child)
            os.kill(child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on where they were."""
        frozen, self._frozen = self._frozen, []
        for process in frozen:
            os.kill(process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Leave nothing running."""
        self.thaw()
        self._server.stop()


@contextmanager
def fragile_server() -> Iterator[FragileServer]:
    """A server until the block ends, in whatever state the test leaves it."""
    with own_directory() as directory:
        server = FragileServer(directory)
        try:
            yield server
        finally:
            server.close()
