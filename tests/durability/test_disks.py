"""Disks that are full: PostgreSQL's, the spool's, both. What was acknowledged is kept, and what is not kept is not acknowledged.

Where this machine lets tests mount a small file system, they do; elsewhere the same fault is injected. The tests' ids say which.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.durability.disk import enlarge, fill_up, may_mount, small_disk
from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.durability.outage import FragileServer, fragile_server
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until

MOUNTED = may_mount()

SPOOL_BYTES = 4 * 2**20


BrokenDisk = AbstractContextManager[tuple[FragileServer, "Disk"]]


@contextmanager
def full_tmpfs() -> Iterator[tuple[FragileServer, "Disk"]]:
    """A server whose whole cluster, WAL included, is on a small disk."""
    with small_disk("200m") as directory:
        server = FragileServer(directory)
        try:
            yield server, Disk(server, directory)
        finally:
            server.close()


@contextmanager
def injected() -> Iterator[tuple[FragileServer, "Disk"]]:
    """A server that says what PostgreSQL says when it cannot extend a table."""
    with fragile_server() as server:
        yield server, Disk(server, None)


class Disk:
    """PostgreSQL's."""

    def __init__(self, server: FragileServer, directory: Path | None) -> None:
        """directory: the small disk; None: the fault is injected."""
        self._server = server
        self._directory = directory
        self._ballast: Path | None = None

    def fill(self) -> None:
        """There is no room."""
        if self._directory is not None:
            self._ballast = fill_up(self._directory)
            return
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
            )
            connection.execute(
                "CREATE TRIGGER no_space BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION no_space()"
            )

    def make_room(self) -> None:
        """There is room again. A server that went down over it is started."""
        if self._ballast is not None:
            self._ballast.unlink()
            self._server.start()
            return
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute("DROP TRIGGER no_space ON events")


@pytest.mark.parametrize("disk", [full_tmpfs if MOUNTED else injected], ids=["tmpfs" if MOUNTED else "injected"])
def test_a_database_without_disk(disk: Callable[[], BrokenDisk], figures: Figures) -> None:
    """Callbacks are spooled meanwhile, and all are stored once when there is room again."""
    with disk() as (server, database), running_tracker(server.url) as tracker, under_load(tracker) as load:
        database.fill()
        wait_until(lambda: tracker.metric("tracker_spool_events") > 500, "callbacks in the spool")
        load.wait_for(1000)
        database.make_room()
        load.wait_for(100)
        settle(tracker, load, server.url)
        figures(f"PostgreSQL out of disk ({'tmpfs' if MOUNTED else 'injected'})", load.summary())
        assert load.refused == 0


@contextmanager
def spool_on_small_disk(data_dir: Path) -> Iterator[Path]:
    """The spool's directory, on a disk of SPOOL_BYTES."""
    with small_disk(str(SPOOL_BYTES)) as directory:
        (data_dir / "spool").symlink_to(directory)
        yield directory


@contextmanager
def spool_that_fills_up(data_dir: Path) -> Iterator[Path | None]:
    """The same; None where no disk can be mounted."""
    if not MOUNTED:
        yield None
        return
    with spool_on_small_disk(data_dir) as directory:
        yield directory


def fill_spool(tracker: Tracker, *, limited: bool) -> None:
    """Until callbacks are refused. limited: by a limit on the worker's files, which stands for the disk."""
    if limited:
        (worker,) = tracker.children("tracker.web.worker")
        worker.rlimit(psutil.RLIMIT_FSIZE, (SPOOL_BYTES // 2, SPOOL_BYTES // 2))
    wait_until(lambda: tracker.metric('tracker_callbacks_total{result="unavailable"}') > 100, "the disk to be full")


@pytest.mark.parametrize("disk", ["tmpfs" if MOUNTED else "limit"])
def test_a_full_spool_disk_is_said_and_never_lied_about(disk: str, tmp_path: Path, figures: Figures) -> None:
    """With the database away too, 503 for what is not kept; what was answered 200 is stored once there is room, and all is well."""
    with (
        spool_that_fills_up(tmp_path) as mounted,
        fragile_server() as server,
        running_tracker(server.url, data_dir=tmp_path) as tracker,
        under_load(tracker, padding="x" * 4000) as load,
    ):
        server.stop()
        fill_spool(tracker, limited=mounted is None)
        server.start()
        if mounted is not None:
            enlarge(mounted, "16m")
        tracker.wait_drained()
        refused = load.refused
        load.wait_for(200)
        settle(tracker, load, server.url)
        figures(f"database away and spool's disk full ({disk})", load.summary())
        assert load.refused == refused > 100
        assert tracker.metric('tracker_callbacks_total{result="spooled"}') > 100


@pytest.mark.skipif(not MOUNTED, reason="no file system can be mounted here")
def test_a_spool_on_a_full_disk_is_drained_without_more_room(tmp_path: Path) -> None:
    """The database is back, and takes all of it; what cannot be removed for want of room goes with the file."""
    with (
        spool_on_small_disk(tmp_path),
        fragile_server() as server,
        running_tracker(server.url, data_dir=tmp_path) as tracker,
    ):
        with under_load(tracker, padding="x" * 4000) as load:
            server.stop()
            fill_spool(tracker, limited=False)
        server.start()
        wait_until(lambda: tracker.metric("tracker_spool_events") == 0, "the spool to empty", seconds=5)
        settle(tracker, load, server.url)


@pytest.mark.skipif(not MOUNTED, reason="no file system can be mounted here")
def test_a_start_on_a_full_disk(database_url: str) -> None:
    """The database takes callbacks, so they are taken, whatever there is no room for beside it."""
    with small_disk("4m") as directory:
        with running_tracker(database_url, data_dir=directory) as tracker:
            tracker.post_ok("queued", 1)
        fill_up(directory)
        with running_tracker(database_url, data_dir=directory) as tracker, under_load(tracker) as load:
            load.wait_for(200)
            load.stop()
            assert load.refused == 0
