"""A damaged or unusable spool under a running server: in ``/readyz``, in the metrics and in the log, while callbacks are taken."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.durability.outage import FragileServer, fragile_server
from tests.durability.spool_files import messages
from tests.durability.test_spool_files import kill_all
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import wait_until
from tracker.log.spool.recovery import SALVAGED

SPOOLED = 30


def spool_and_kill(server: FragileServer, tmp_path: Path) -> Path:
    """Acknowledge SPOOLED callbacks without the database, kill everything but it. Returns the spool's file."""
    with running_tracker(server.url, data_dir=tmp_path) as tracker:
        tracker.wait_healthy()
        server.stop()
        for number in range(SPOOLED):
            tracker.post_ok("sent", number)
        kill_all(tracker)
    server.start()
    return tmp_path / "spool" / "worker-0.sqlite"


def reasons(tracker: Tracker) -> str:
    """What ``/readyz`` says is wrong."""
    return "\n".join(tracker.client.get("/readyz").json().get("reasons", []))


def cut(wal: Path) -> None:
    """Its second half is gone."""
    os.truncate(wal, wal.stat().st_size // 2)


def flip(wal: Path) -> None:
    """Four bytes in the middle."""
    with wal.open("r+b") as file:
        file.seek(wal.stat().st_size // 2)
        file.write(b"\xff\x00\xff\x00")


def delete(wal: Path) -> None:
    """The whole file."""
    wal.unlink()


@pytest.mark.parametrize("damage", [cut, flip, delete])
def test_damage_after_a_kill_is_never_silent(
    tmp_path: Path, damage: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Acknowledged callbacks are in the log or counted as lost. The file is kept; the fault lasts until a person has moved it away."""
    with fragile_server() as server:
        path = spool_and_kill(server, tmp_path)
        damage(path.with_name(f"{path.name}-wal"))
        with running_tracker(server.url, data_dir=tmp_path, TRACKER_WORKERS="2") as tracker:
            wait_until(lambda: list(path.parent.glob(f"*{SALVAGED}*")), "the file to be read")
            wait_until(lambda: "damaged spool files" in reasons(tracker), "the fault")
            tracker.post_ok("sent", 1000)
            tracker.wait_drained()
            saved = set(messages(server.url)) & set(range(SPOOLED))
            wait_until(lambda: tracker.metric("tracker_spool_lost_events_total") == SPOOLED - len(saved), "the count")
            assert tracker.metric("tracker_spool_damaged_files_total") == 1
            assert tracker.metric('tracker_fault{fault="spool_damaged"}') == 1
            assert tracker.metric('tracker_fault{fault="spool_unusable"}') == 0
            assert tracker.answers("/readyz")
            for kept in path.parent.glob(f"*{SALVAGED}*"):
                kept.rename(tmp_path / kept.name)
            if len(saved) == SPOOLED:
                wait_until(lambda: tracker.metric('tracker_fault{fault="spool_damaged"}') == 0, "the fault to go")
        said = capfd.readouterr().err
        assert "spool.damaged" in said
        assert f"lost={SPOOLED - len(saved)}" in said or f'"lost": {SPOOLED - len(saved)}' in said


def test_a_spool_that_cannot_be_used_is_said_and_tried_again(tmp_path: Path, database_url: str) -> None:
    """Its directory is a file at the start, and becomes one while the server runs; both times it is used again when that is mended."""
    directory = tmp_path / "spool"
    directory.touch()
    with running_tracker(database_url, data_dir=tmp_path) as tracker:
        assert_unusable(tracker)
        tracker.post_ok("sent", 1)
        directory.unlink()
        wait_until(lambda: "cannot be used" not in reasons(tracker), "the spool to be usable")
        assert tracker.metric('tracker_fault{fault="spool_unusable"}') == 0
        shutil.rmtree(directory)
        directory.touch()
        assert_unusable(tracker)
        tracker.post_ok("sent", 2)
        directory.unlink()
        wait_until(lambda: "cannot be used" not in reasons(tracker), "the spool to be usable again")
        assert (directory / "worker-0.sqlite").exists()


def assert_unusable(tracker: Tracker) -> None:
    """Callbacks are taken, and the fault is shown."""
    wait_until(lambda: "cannot be used" in reasons(tracker), "the fault")
    assert tracker.answers("/readyz")
    assert tracker.metric('tracker_fault{fault="spool_unusable"}') == 1
