"""The embedded server: started, stopped, killed, and started again without help."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.database import own_directory
from tests.support.waiting import wait_until
from tracker.errors import EmbeddedServerError, NoDatabaseError, SettingsError
from tracker.postgres.embedded import server as embedded
from tracker.postgres.embedded.postmaster import end_orphans
from tracker.postgres.embedded.server import (
    INITIALISED,
    EmbeddedServer,
    exclusively,
    expected_url,
    open_database,
    running_url,
)

BUSY = "SELECT count(*) FROM generate_series(1, 1000000000)"
"""A statement that computes for minutes without looking up."""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where the servers of this module live."""
    with own_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def initialised(directory: Path) -> Path:
    """A data directory whose server was started once, has a table with one row, and was stopped."""
    with started(directory / "initialised") as server, connected(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    return directory / "initialised"


@pytest.fixture
def data_dir(initialised: Path) -> Iterator[Path]:
    """The same, with nothing running before and after a test."""
    yield initialised
    end_orphans(initialised / "postgres")


@contextmanager
def started(data_dir: Path) -> Iterator[EmbeddedServer]:
    """A server, stopped at the end."""
    server = EmbeddedServer.start(data_dir)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connected(server: EmbeddedServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection, autocommit, that is closed at the end even when its server is gone."""
    connection = psycopg.connect(server.url, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to notice its death does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    while not condition():
        time.sleep(0)


def is_computing(watcher: psycopg.Connection[Any]) -> bool:
    """Whether the busy statement is under way."""
    count = watcher.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'", (BUSY,)
    ).fetchone()
    return count == (1,)


def kill(server: EmbeddedServer) -> None:
    """SIGKILL to the postmaster, as the kernel does when memory is short."""
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not is_alive(server.pid))


def assert_serves(server: EmbeddedServer) -> None:
    """It answers, with what was committed before."""
    with connected(server) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(1,)]
        assert connection.info.server_version >= 180000


def test_it_starts_stops_and_starts_again(data_dir: Path) -> None:
    """Sessions end with it, nothing of it is left running, and what was committed is there the next time."""
    with started(data_dir) as server:
        assert is_alive(server.pid)
        assert_serves(server)
        with connected(server) as connection:
            server.stop()
            assert not is_alive(server.pid)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.stop()
    with started(data_dir) as again:
        assert again.pid != server.pid
        assert_serves(again)


def test_it_listens_on_a_socket_only(data_dir: Path) -> None:
    """No port is taken, and nobody on the network can ask."""
    with started(data_dir) as server, connected(server) as connection:
        assert connection.execute("SHOW listen_addresses").fetchall() == [("",)]
        assert connection.info.host.startswith("/")


def test_the_order_of_texts_is_not_the_systems(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is PostgreSQL's own, by code point, also where the environment asks for a language that the system does not even have."""
    monkeypatch.setenv("LC_ALL", "xx_XX.ISO-8859-1")
    with started(directory / "plain-locale") as server, connected(server) as connection:
        provider = "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database"
        assert set(connection.execute(provider).fetchall()) == {("b", "C.UTF-8", "UTF8")}


def test_a_server_that_runs_is_found(data_dir: Path) -> None:
    """As after a SIGKILL of the process that started it: the server lives on and is taken over, sessions and all."""
    first = EmbeddedServer.start(data_dir)
    with connected(first) as connection, started(data_dir) as found:
        assert found.pid == first.pid
        assert found.url == first.url == running_url(data_dir)
        connection.execute("SELECT 1")
    assert not is_alive(first.pid)


def test_a_killed_server_starts_again(data_dir: Path) -> None:
    """With everything that was committed, and nothing else."""
    server = EmbeddedServer.start(data_dir)
    with connected(server) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS committed AS SELECT 2 AS value")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE uncommitted ()")
        kill(server)
    with started(data_dir) as again:
        assert_serves(again)
        with connected(again) as connection:
            assert connection.execute(
                "SELECT to_regclass('committed')::text, to_regclass('uncommitted')"
            ).fetchone() == ("committed", None)


def test_a_backend_that_outlives_its_postmaster_is_ended(data_dir: Path) -> None:
    """It computes and notices nothing; beside a new server it could still write to the same files."""
    server = EmbeddedServer.start(data_dir)
    with connected(server) as connection:
        connection.pgconn.send_query(BUSY.encode())
        with connected(server) as watcher:
            until(lambda: is_computing(watcher))
        kill(server)
        assert is_alive(connection.info.backend_pid)
        with started(data_dir) as again:
            assert not is_alive(connection.info.backend_pid)
            assert_serves(again)


def lock_of_this_process(data_dir: Path) -> int:
    """The process id in the lock file has been given to another program: to us."""
    lock = data_dir / "postgres" / "postmaster.pid"
    lines = [
        str(os.getpid()),
        str(data_dir / "postgres"),
        "1",
        "5432",
        str(data_dir / "postgres"),
        "",
        "1 1",
        "ready   ",
    ]
    lock.write_text("\n".join(lines) + "\n")
    return os.getpid()


def lock_of_another_server(data_dir: Path) -> int:
    """The process id in the lock file is that of a PostgreSQL, but not of ours."""
    other = EmbeddedServer.start(data_dir.with_name(data_dir.name + "-other"))
    lock = data_dir / "postgres" / "postmaster.pid"
    lock.write_text(f"{other.pid}\n{data_dir / 'postgres'}\n1\n5432\n{data_dir / 'postgres'}\n\n1 1\nready   \n")
    return other.pid


def lock_of_nobody(data_dir: Path) -> int:
    """The process in the lock file is gone, as after a power cut."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{process.pid}\n{data_dir / 'postgres'}\n")
    return os.getpid()


def lock_of_nonsense(data_dir: Path) -> int:
    """The file was being written when the machine stopped."""
    (data_dir / "postgres" / "postmaster.pid").write_bytes(b"\0\0\0\n9999999999999999999999\n")
    return os.getpid()


@pytest.mark.parametrize("leave_lock", [lock_of_this_process, lock_of_another_server, lock_of_nobody, lock_of_nonsense])
def test_a_stale_lock_does_not_matter(data_dir: Path, leave_lock: Callable[[Path], int]) -> None:
    """And the process that happens to have its number is left alone."""
    bystander = leave_lock(data_dir)
    try:
        assert running_url(data_dir) is None
        with started(data_dir) as server:
            assert server.pid != bystander
            assert_serves(server)
        assert is_alive(bystander)
    finally:
        if bystander != os.getpid():
            with started(data_dir.with_name(data_dir.name + "-other")) as other:
                assert other.pid == bystander


def test_a_server_that_is_still_recovering_is_waited_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by a run that was killed meanwhile."""
    lock = data_dir / "postgres" / "postmaster.pid"
    with started(data_dir) as server:
        ready = lock.read_text()
        lock.write_text(ready.replace("ready   ", "starting"))
        assert running_url(data_dir) is None
        with monkeypatch.context() as patches:
            patches.setattr(embedded.time, "sleep", lambda seconds: lock.write_text(ready))
            found = EmbeddedServer.start(data_dir)
        assert found.pid == server.pid


@contextmanager
def recovering(data_dir: Path) -> Iterator[Path]:
    """A cluster whose next server recovers until the file is removed that this yields. It asks an archive what to do, and the archive
    does not answer until then."""
    pgdata = data_dir / "postgres"
    held, configuration = data_dir / "held", pgdata / "postgresql.auto.conf"
    before = configuration.read_text()
    held.touch()
    configuration.write_text(f"{before}restore_command = 'while test -e {held}; do sleep 0.05; done; false'\n")
    (pgdata / "recovery.signal").touch()
    try:
        yield held
    finally:
        held.unlink(missing_ok=True)
        (pgdata / "recovery.signal").unlink(missing_ok=True)
        configuration.write_text(before)


def test_a_long_recovery_is_waited_for(data_dir: Path) -> None:
    """Until the server is ready, however long the programs of PostgreSQL would wait."""
    with recovering(data_dir) as held, ThreadPoolExecutor(1) as thread:
        starting = thread.submit(EmbeddedServer.start, data_dir)
        try:
            wait_until(lambda: EmbeddedServer.find(data_dir), "the server to begin")
            assert running_url(data_dir) is None
            assert not starting.done()
        finally:
            held.unlink()
        server = starting.result()
        assert_serves(server)
        server.stop()


def test_a_start_can_be_given_up(data_dir: Path) -> None:
    """In the middle of a recovery: nothing is left running, and the next start finds everything."""
    with recovering(data_dir):
        with pytest.raises(EmbeddedServerError):
            EmbeddedServer.start(data_dir, lambda: EmbeddedServer.find(data_dir) is not None)
        wait_until(lambda: EmbeddedServer.find(data_dir) is None, "the server to end")
    with started(data_dir) as server:
        assert_serves(server)


def test_its_url_is_known_before_it_runs(data_dir: Path) -> None:
    """Whoever needs it can be started first."""
    url = expected_url(data_dir)
    with started(data_dir) as server:
        assert server.url == expected_url(data_dir) == url


def test_a_path_that_is_too_long_for_a_socket(directory: Path) -> None:
    """The socket is elsewhere, and its place is known beforehand all the same."""
    data_dir = directory / ("long-" * 25)
    url = expected_url(data_dir)
    assert str(data_dir) not in url
    with started(data_dir) as server, connected(server) as connection:
        assert server.url == url
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_half_a_cluster_is_made_anew(directory: Path) -> None:
    """A kill inside initdb leaves files, links and directories, but not our mark that it was started once."""
    pgdata = directory / "half" / "postgres"
    (pgdata / "base").mkdir(parents=True)
    (pgdata / "PG_VERSION").write_text("18\n")
    (pgdata / "global").symlink_to(directory)
    with started(directory / "half") as server, connected(server) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
        assert (pgdata / INITIALISED).exists()
    assert directory.exists()


def test_a_server_that_was_never_marked_is_ended_and_made_anew(directory: Path) -> None:
    """Killed between its first start and the mark: nothing was ever stored in it."""
    first = EmbeddedServer.start(directory / "unmarked")
    (directory / "unmarked" / "postgres" / INITIALISED).unlink()
    with started(directory / "unmarked") as server, connected(server) as connection:
        assert server.pid != first.pid
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert not is_alive(first.pid)


def test_a_broken_cluster_is_an_error_with_the_log(data_dir: Path) -> None:
    """Nothing of it is deleted: it was started once and may hold events."""
    control = data_dir / "postgres" / "global" / "pg_control"
    content = control.read_bytes()
    control.write_bytes(b"")
    with pytest.raises(EmbeddedServerError, match=r"The embedded PostgreSQL did not start: (?s:.*)pg_control"):
        EmbeddedServer.start(data_dir)
    control.write_bytes(content)
    with started(data_dir) as server:
        assert_serves(server)


HOLDER = """
import sys
from pathlib import Path
from tracker.postgres.embedded.server import exclusively
with exclusively(Path(sys.argv[1])) as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that wants the directory for itself, and has said whether it got it."""
    command = [sys.executable, "-c", HOLDER, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answer_of(process: subprocess.Popen[str]) -> str:
    """Whether it holds the directory."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_two_starters_one_is_alone(tmp_path: Path) -> None:
    """The other is told; and when the first is killed, however hard, the directory is free again."""
    with holder(tmp_path / "new") as first:
        assert answer_of(first) == "True"
        with holder(tmp_path / "new") as second:
            assert answer_of(second) == "False"
        with exclusively(tmp_path / "new") as alone:
            assert not alone
        first.kill()
        first.wait()
        with exclusively(tmp_path / "new") as alone:
            assert alone
    with exclusively(tmp_path / "new") as alone:
        assert alone


def test_a_command_uses_the_given_database(tmp_path: Path) -> None:
    """And starts nothing."""
    with open_database("postgresql://h/d", tmp_path / "new") as url:
        assert url == "postgresql://h/d"
    assert not (tmp_path / "new").exists()


def test_a_command_starts_and_stops_the_embedded_server(data_dir: Path) -> None:
    """When nobody runs it."""
    with open_database(None, data_dir) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(1,)]
        assert running_url(data_dir) == url
    assert running_url(data_dir) is None


def test_a_command_uses_the_server_that_runs(data_dir: Path) -> None:
    """And leaves it running."""
    with exclusively(data_dir), started(data_dir) as server:
        with open_database(None, data_dir) as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(1,)]
        assert is_alive(server.pid)


def test_a_command_does_not_wait_for_a_server_that_is_starting(data_dir: Path) -> None:
    """It says what to do."""
    with exclusively(data_dir), pytest.raises(EmbeddedServerError, match="is just starting; try again in a moment"):
        open_database(None, data_dir).__enter__()


def test_a_command_makes_no_server(tmp_path: Path) -> None:
    """Unless it is told to: it says where it looked."""
    for data_dir in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoDatabaseError, match=f"There is no database in {data_dir}\\. "):
            open_database(None, data_dir).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_is_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """For those who would make something in it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="TRACKER_DATA_DIR: .*/file cannot be used: "):
        open_database(None, tmp_path / "file", create=True).__enter__()
