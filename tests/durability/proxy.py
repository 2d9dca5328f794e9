"""A TCP proxy before PostgreSQL that can break at the byte that matters: after the commit, before its answer."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

APPENDED = (b"appended\0", b"SELECT 1\0")
"""Parts of PostgreSQL's answer to append_events() and append_quarantined(): the column of their one row, and its end. The checks of a
new session are answered with one row too, of other columns."""

_APPLICATION = re.compile(rb"application_name\0([^\0]+)\0")


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
        self._wanted: bytes | None = None
        self._lock = threading.Lock()

    def arm(self, application: bytes = b"tracker-append") -> None:
        """Cut the next answer to an append by a client that calls itself so."""
        self._wanted = application

    def run(self) -> None:
        """Accept until closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                # The server is not there: as a port that nobody listens on, only later.
                client.close()
                continue
            names = list[bytes]()
            for arguments in ((client, server, names, False), (server, client, names, True)):
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
        try:
            server.connect(f"{host}/.s.PGSQL.{port}")
        except OSError:
            server.close()
            raise
        return server

    def _pass_on(self, source: socket.socket, sink: socket.socket, names: list[bytes], answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if not answers and not names:
                    names += _APPLICATION.findall(data)  # in the start-up packet
                if answers and self._swallow(data, names):
                    return
                sink.sendall(data)
        except OSError:
            return
        finally:
            for each in (source, sink):
                # Closing alone would wait for the other thread, which is reading.
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _swallow(self, data: bytes, names: list[bytes]) -> bool:
        """Whether this is the answer to cut."""
        with self._lock:
            if self._wanted is None or self._wanted not in names or not all(part in data for part in APPENDED):
                return False
            self._wanted = None
            self.cuts += 1
            return True


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
