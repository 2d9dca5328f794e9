"""A TCP proxy before PostgreSQL that can break at the byte that matters: after the commit, before its answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit


class CuttingProxy:
    """Passes bytes on in both directions, until it is armed: then the next answer that the server gives to a client that has sent
    something is swallowed, and the connection is broken. PostgreSQL sends the answer to an autocommitted statement after its
    commit, so the commit is done and the client cannot know."""

    def __init__(self, server_url: str) -> None:
        """server_url: of a server on a Unix socket."""
        parts = urlsplit(server_url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = (
            f"postgresql://{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}{parts.path}?sslmode=disable"
        )
        self.cuts = 0
        """Answers swallowed so far."""
        self._armed = threading.Event()
        self._lock = threading.Lock()

    def arm(self) -> None:
        """Cut the next answer to an append."""
        self._armed.set()

    def run(self) -> None:
        """Accept until closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            appends = threading.Event()
            for arguments in ((client, server, appends, False), (server, client, appends, True)):
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, appends: threading.Event, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if not answers and b"tracker-append" in data:
                    appends.set()  # the start-up packet names the application
                if answers and appends.is_set() and self._swallow(data):
                    return
                sink.sendall(data)
        except OSError:
            return
        finally:
            for each in (source, sink):
                each.close()

    def _swallow(self, data: bytes) -> bool:
        """Whether this is the answer to cut: it has the one-column row of append_events in it, and the proxy is armed."""
        with self._lock:
            if self._armed.is_set() and b"SELECT 1\0" in data:
                self._armed.clear()
                self.cuts += 1
                return True
            return False


@contextmanager
def cutting_proxy(server_url: str) -> Iterator[CuttingProxy]:
    """A proxy before the server, until the block ends."""
    proxy = CuttingProxy(server_url)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
