"""The embedded server and the other users of the machine: they reach neither its files nor its socket, and nothing is opened for it."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.serving import bare_environment
from tracker.errors import EmbeddedServerError
from tracker.postgres.embedded import system_user, wheel
from tracker.postgres.embedded.server import EmbeddedServer, make_data_directory
from tracker.postgres.embedded.system_user import find_or_make_user, make_private_directory, reachable_programs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="it is about servers that root starts")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that everyone may pass through, with a STATE of its own in it."""
    directory = Path(tempfile.mkdtemp(prefix="tracker-permissions-"))
    directory.chmod(0o755)
    monkeypatch.setattr(system_user, "STATE", directory / "state")
    yield directory
    shutil.rmtree(directory)


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def modes_above(path: Path) -> dict[Path, int]:
    """Those of all directories above it."""
    return {parent: mode(parent) for parent in path.parents}


def may_nobody_connect(path: Path) -> bool:
    """Whether another user of the machine gets through to the socket. Needs root."""
    nobody = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        # Nothing of pytest's may run here, whatever happens.
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(str(path))
            os._exit(0)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 1}, code
    return code == 0


def assert_closed(data_dir: Path) -> None:
    """No file and no directory in it is open to another user; nor is the socket, wherever it is."""
    server = EmbeddedServer.start(data_dir)
    try:
        with psycopg.connect(server.url) as connection:
            directory = Path(connection.info.host)
            assert connection.execute("SHOW unix_socket_permissions").fetchone() == ("0700",)
        socket_path = directory / wheel.SOCKET_NAME
        assert stat.S_ISSOCK(socket_path.lstat().st_mode)
        assert mode(socket_path) == 0o700
        assert mode(directory) == 0o700
        pgdata = (data_dir / "postgres").resolve()
        opened = [path for path in (pgdata, *pgdata.rglob("*")) if not path.is_symlink() and mode(path) & 0o077]
        assert opened == []
        if os.geteuid() == 0:
            assert not may_nobody_connect(socket_path)
            # The socket is closed by itself, too.
            data_dir_mode = mode(data_dir)
            data_dir.chmod(0o711)
            directory.chmod(0o711)
            assert not may_nobody_connect(socket_path)
            socket_path.chmod(0o777)
            assert may_nobody_connect(socket_path)
            # So are the directories.
            directory.chmod(0o700)
            assert not may_nobody_connect(socket_path)
            directory.chmod(0o711)
            data_dir.chmod(data_dir_mode)
            assert may_nobody_connect(socket_path) == (
                not socket_path.is_relative_to(data_dir) or data_dir_mode & 1 == 1
            )
            directory.chmod(0o700)
    finally:
        server.stop()


def test_nobody_else_reaches_files_and_socket(place: Path) -> None:
    """Whoever connects is the superuser, who runs programs on the machine: so nobody else can connect."""
    make_data_directory(place / "data")
    assert mode(place / "data") == 0o700
    assert_closed(place / "data")
    assert mode(place / "data") & 0o007 == 0


def test_a_socket_outside_a_long_data_directory_is_closed_too(place: Path) -> None:
    """Just above what a socket's path may have, and far above."""
    base = place / "x"
    short = wheel.MAX_SOCKET_PATH - len(bytes(base / "postgres" / wheel.SOCKET_NAME))
    data_dir = place / ("x" * (short + 2))
    make_data_directory(data_dir)
    (data_dir / "postgres").mkdir(mode=0o700)
    assert wheel.socket_directory(data_dir / "postgres") != data_dir / "postgres"
    assert_closed(data_dir)
    assert wheel.socket_directory(place / ("x" * (short + 1)) / "postgres").name == "postgres"
    assert_closed(place / ("long-" * 30))


@as_root
def test_the_server_has_nothing_of_roots(place: Path) -> None:
    """Neither its groups nor its rights."""
    server = EmbeddedServer.start(place / "data")
    try:
        user = find_or_make_user()
        process = psutil.Process(server.pid)
        assert set(process.uids()) == {user.pw_uid}
        assert set(process.gids()) == {user.pw_gid}
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii").splitlines()
        assert [line.split()[1:] for line in status if line.startswith(("Groups:", "CapEff:"))] == [[], ["0" * 16]]
    finally:
        server.stop()


@as_root
def test_no_directory_above_is_opened(place: Path) -> None:
    """Where the server's user cannot reach the data directory, the cluster is elsewhere, with a link to it; and it is found again."""
    private = place / "private"
    private.mkdir(mode=0o700)
    data_dir = private / "project" / ".tracker"
    data_dir.parent.mkdir(mode=0o700)
    before = modes_above(data_dir)
    rows = None
    for _ in range(2):
        server = EmbeddedServer.start(data_dir)
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
                connection.execute("INSERT INTO kept VALUES (1)")
                rows = connection.execute("SELECT count(*) FROM kept").fetchone()
        finally:
            server.stop()
    assert rows == (2,)
    assert modes_above(data_dir) == before
    assert (data_dir / "postgres").is_symlink()
    assert (data_dir / "postgres").resolve().is_relative_to(place / "state")
    assert_closed(data_dir)


@as_root
def test_a_cluster_that_has_become_unreachable_is_an_error_with_advice(place: Path) -> None:
    """Somebody has closed a directory above it; it is not opened again, and no second cluster is made beside it."""
    data_dir = place / "project" / ".tracker"
    EmbeddedServer.start(data_dir).stop()
    (place / "project").chmod(0o700)
    with pytest.raises(EmbeddedServerError, match="as an ordinary user, or move TRACKER_DATA_DIR to a place such as"):
        EmbeddedServer.start(data_dir)
    assert mode(place / "project") == 0o700
    (place / "project").chmod(0o711)
    EmbeddedServer.start(data_dir).stop()


def make_programs(package: Path) -> Path:
    """A stand-in for the wheel's programs, installed with a strict umask."""
    installed = package / "pginstall"
    files = {
        installed / "bin/postgres": 0o700,
        installed / "lib/a.so": 0o600,
        installed / "share/postgres.bki": 0o600,
        package.with_suffix(".libs") / "libpq.so": 0o700,
    }
    for path, bits in files.items():
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o700)
        path.write_text(path.name)
        path.chmod(bits)
    return installed


@as_root
def test_programs_that_the_servers_user_cannot_use_are_copied(place: Path) -> None:
    """Once, readable by everyone; those that it can use are used where they are."""
    private = place / "private"
    private.mkdir(mode=0o700)
    installed = make_programs(private / "package")
    before = modes_above(installed / "bin" / "postgres")
    copied = reachable_programs(installed)
    copy = copied.parents[1]
    assert copy.parent == place / "state"
    assert {str(path.relative_to(copy)): mode(path) for path in copy.rglob("*") if path.is_file()} == {
        "package/pginstall/bin/postgres": 0o755,
        "package/pginstall/lib/a.so": 0o644,
        "package/pginstall/share/postgres.bki": 0o644,
        "package.libs/libpq.so": 0o755,
    }
    assert {mode(path) for path in copy.rglob("*") if path.is_dir()} == {0o755}
    assert reachable_programs(installed) == copied
    assert modes_above(installed / "bin" / "postgres") == before
    shutil.copytree(copy, place / "open")
    assert reachable_programs(place / "open" / "package" / "pginstall") == place / "open" / "package" / "pginstall"


@as_root
def test_real_programs_run_from_their_copy(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the virtual environment is in root's home."""
    private = place / "private"
    private.mkdir(mode=0o700)
    package = wheel.installed_programs().parent
    for directory in (package, package.with_suffix(".libs")):
        shutil.copytree(directory, private / directory.name, symlinks=True)
    monkeypatch.setattr(wheel, "installed_programs", lambda: private / package.name / "pginstall")
    wheel.usable_programs.cache_clear()
    try:
        assert_closed(place / "data")
        assert wheel.usable_programs().is_relative_to(place / "state")
    finally:
        wheel.usable_programs.cache_clear()


@as_root
def test_a_directory_of_somebody_else_is_not_used_for_the_socket(place: Path) -> None:
    """Nor a link that somebody has put in its place."""
    make_private_directory(place / "socket")
    assert (place / "socket").stat().st_uid == find_or_make_user().pw_uid
    make_private_directory(place / "socket")
    (place / "theirs").mkdir()
    shutil.chown(place / "theirs", "nobody")
    (place / "link").symlink_to(place / "socket")
    for path in (place / "theirs", place / "link"):
        with pytest.raises(EmbeddedServerError, match="belongs to another user"):
            make_private_directory(path)


@as_root
def test_a_state_directory_that_others_can_write_to_is_not_used(place: Path) -> None:
    """They could put another cluster, or other programs, in the place of ours."""
    (place / "state").mkdir()
    (place / "state").chmod(0o777)
    private = place / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match="nobody else may write to"):
        EmbeddedServer.start(private / "data" / "tracker")


def test_what_a_command_makes_is_closed_to_others(place: Path) -> None:
    """The data directory and everything in it, the lock file included."""
    environment = bare_environment() | {"TRACKER_DATA_DIR": str(place / "data")}
    subprocess.run(
        [sys.executable, "-m", "tracker", "migrate"],
        env=environment,
        cwd=place,
        check=True,
        capture_output=True,
        umask=0o022,
    )
    found = {path: mode(path) for path in (place / "data", *(place / "data").iterdir())}
    assert {path.name for path, bits in found.items() if bits & 0o007} == set()
    assert {path.name for path, bits in found.items() if bits & 0o060} == set()
    assert mode(place / "data" / "lock") == 0o600
