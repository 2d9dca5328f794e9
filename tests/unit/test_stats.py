"""What web workers count together, in memory or in a file."""

import os
from pathlib import Path

from tracker.web.telemetry.shared_counters import WebStats, shared_memory


def test_workers_count_together() -> None:
    """Each in its own slice, any of them sees all, and one that is started again goes on where it stopped."""
    memory = shared_memory()
    try:
        first, second = WebStats(memory, workers=2, worker=0), WebStats(memory, workers=2, worker=1)
        first.count("appended", 0.001)
        second.count("appended", 0.001)
        WebStats(memory, workers=2, worker=1).count("spooled", 0.001)
        assert first.results()["appended"] == second.results()["appended"] == 2
        assert first.results()["spooled"] == 1
    finally:
        os.close(memory)


def test_a_file_has_its_room_from_the_start(tmp_path: Path) -> None:
    """A page that the disk has no room for is found out by the first write to it, which the kernel answers with SIGBUS."""
    WebStats(tmp_path / "stats", workers=64, worker=0)
    found = (tmp_path / "stats").stat()
    assert found.st_blocks * 512 >= found.st_size > 0
