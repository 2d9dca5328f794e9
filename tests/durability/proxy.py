"""A TCP proxy before PostgreSQL that can break at the byte that matters: after the commit, before its answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict


class CuttingProxy:
    """Passes bytes on in both directions, until it is armed: then the next answer that the server gives to a client that has sent
    something is swallowed, and the connection is broken. PostgreSQL sends the answer to an autocommitted statement after its
    commit, so the commit is done and the client cannot know."""

    def __init__(self, server_url: str) -> None:
        """server_url: of a server on a Unix socket or a TCP port, which takes connections without TLS."""
        self._server = conninfo_to_dict(server_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        parts = urlsplit(server_url)
        login, _, _ = parts.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://{login}@127.0.0.1:{port}{parts.path}?sslmode=disable"
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
            server = self._connect()
            appends = threading.Event()
            for arguments in ((client, server, appends, False), (server, client, appends, True)):
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connect(self) -> socket.socket:
        host, port = str(self._server.get("host") or "127.0.0.1"), str(self._server.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

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
