"""/readyz and /healthz of a real server, whatever its database and disk do, and however many ask."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.durability.outage import fragile_server
from tests.durability.test_spool_files import fill_up
from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import PATIENCE, wait_until
from tracker.web.telemetry.health import SPOOL_FULL

CLIENTS = 16


def ask_together(tracker: Tracker, path: str, times: int) -> Counter[int]:
    """So many clients ask so many times each, all at once; how often each status was the answer."""

    def ask(_: int) -> list[int]:
        with httpx.Client(base_url=tracker.base_url, timeout=PATIENCE) as client:
            return [client.get(path).status_code for _ in range(times)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(status for statuses in pool.map(ask, range(CLIENTS)) for status in statuses)


def readiness(tracker: Tracker) -> tuple[int, str, list[str]]:
    """Status code, status and reasons."""
    answer = tracker.client.get("/readyz")
    health = answer.json()
    return answer.status_code, health["status"], health.get("reasons", [])


def test_many_probes_together_never_fail() -> None:
    """With the database there: 200 each time. With a frozen one: /readyz 200, /healthz 503. Never 500."""
    with fragile_server() as server, running_tracker(server.url) as tracker:
        assert ask_together(tracker, "/readyz", 20) == {200: 20 * CLIENTS}
        assert ask_together(tracker, "/healthz", 20) == {200: 20 * CLIENTS}
        server.freeze()
        assert ask_together(tracker, "/readyz", 3) == {200: 3 * CLIENTS}
        assert ask_together(tracker, "/healthz", 2) == {503: 2 * CLIENTS}
        answer = tracker.client.get("/healthz")
        assert answer.json() == {"status": "unavailable", "reasons": ["the database does not answer"]}
        assert tracker.metric("tracker_database_up") == 0
        server.thaw()
        tracker.wait_healthy()
        wait_until(lambda: readiness(tracker)[1] == "ok", "the server to be ok")
        wait_until(lambda: tracker.metric("tracker_database_up") == 1, "the metric to follow")


def test_a_full_spool_makes_it_unready_until_the_database_is_back(tmp_path: Path) -> None:
    """503 from the first refused callback on, with the reason; a database that is away alone is no reason."""
    with (
        fragile_server() as server,
        running_tracker(server.url, data_dir=tmp_path, TRACKER_SPOOL_MAX_BYTES=str(2**20)) as tracker,
    ):
        server.stop()
        tracker.post_ok("sent", 2**30)
        assert readiness(tracker)[:2] == (200, "degraded")
        fill_up(tracker)
        code, status, reasons = readiness(tracker)
        assert (code, status) == (503, "unavailable")
        assert reasons[0] == SPOOL_FULL == "the spool is full: callbacks are refused"
        assert "the database does not answer" in reasons
        assert tracker.client.get("/readyz", headers={"host": "elsewhere"}).json() == {"status": "unavailable"}
        assert tracker.client.get("/livez").status_code == 200
        # Also after a restart of the worker, before any callback is refused again.
        (worker,) = tracker.children("tracker.web.worker")
        worker.kill()
        wait_until(lambda: tracker.children("tracker.web.worker") not in ([], [worker]), "another worker")
        wait_until(lambda: readiness_or_none(tracker) == 503, "it to find the full spool")
        server.start()
        wait_until(lambda: readiness(tracker)[0] == 200, "the server to be ready")
        tracker.wait_drained()
        assert readiness(tracker) == (200, "ok", [])


def readiness_or_none(tracker: Tracker) -> int | None:
    """The status code; None while nobody answers."""
    try:
        return tracker.client.get("/readyz").status_code
    except httpx.TransportError:
        return None


def test_room_on_the_disk_makes_it_ready_again(tmp_path: Path) -> None:
    """While the database is still away, and though no callback comes."""
    with fragile_server() as server, running_tracker(server.url, data_dir=tmp_path) as tracker:
        server.stop()
        tracker.post_ok("sent", 2**30)
        (worker,) = tracker.children("tracker.web.worker")
        # A limit on the size of the worker's files stands for the disk; the spool's files are larger already.
        worker.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))
        assert not tracker.accepts("delivered", 2**30)
        wait_until(lambda: readiness(tracker)[0] == 503, "the server to say so")
        worker.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        wait_until(lambda: readiness(tracker)[0] == 200, "the server to find room", seconds=30)
        wait_until(lambda: tracker.accepts("sent", 2**30 + 1), "a callback to be accepted again")
