"""``/metrics`` of a real server: fresh to a second, rendered on a thread, shared, whatever clients do."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import AsyncConnectionPool

from tests.support.serving import Tracker, running_tracker
from tests.support.waiting import PATIENCE, wait_until
from tracker.log.circuit_breaker import Availability
from tracker.postgres.roles import Role, conninfo
from tracker.web.telemetry import faults, metrics
from tracker.web.telemetry.faults import DATABASE_FAULTS, LOCAL_FAULTS, Connection, Fault
from tracker.web.telemetry.metrics import Metrics, Pool, read_log_health
from tracker.web.telemetry.shared_counters import WebStats

SECONDS = 3.0


def samples(content: bytes, family_name: str) -> dict[str, float]:
    """Values of a family by its only label; '' where it has none."""
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for family in text_string_to_metric_families(content.decode())
        if family.name == family_name
        for sample in family.samples
    }


@pytest.fixture
def tracker(database_url: str) -> Iterator[Tracker]:
    """A server."""
    with running_tracker(database_url) as tracker:
        yield tracker


def test_clients_in_a_loop_share_one_rendering_per_second(tracker: Tracker) -> None:
    """Eight that ask without a pause for three seconds see at most one reading per second and format; each asks more often."""
    formats = ("text/plain", "application/openmetrics-text;version=1.0.0")
    end = time.monotonic() + SECONDS

    def scrape(number: int) -> list[tuple[str, float]]:
        accept = formats[number % 2]
        found: list[tuple[str, float]] = []
        with httpx.Client(base_url=tracker.base_url, timeout=PATIENCE) as client:
            while time.monotonic() < end:
                answer = client.get("/metrics", headers={"accept": accept})
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith(accept.partition(";")[0])
                (line,) = (
                    each for each in answer.text.splitlines() if each.startswith("tracker_metrics_timestamp_seconds ")
                )
                found.append((accept, float(line.partition(" ")[2])))
        return found

    with ThreadPoolExecutor(8) as pool:
        found = [each for part in pool.map(scrape, range(8)) for each in part]
    for accept in formats:
        readings = sorted({read_at for each, read_at in found if each == accept})
        assert len(readings) <= SECONDS + 1
        assert all(later - earlier > 0.99 for earlier, later in pairwise(readings))
    assert len(found) > 3 * 2 * (SECONDS + 1)


def test_formats_are_not_a_clients_to_invent(tracker: Tracker) -> None:
    """Versions and escapings that nobody speaks get one of the two formats, and no 500."""
    for number in range(30):
        accept = f"application/openmetrics-text;version=1.{number}.x;escaping=e{number},text/plain;version=z"
        answer = tracker.client.get("/metrics", headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.anyio
async def test_rendering_runs_on_a_thread(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop only reads the database, and hands the result over."""
    encode, threads = metrics.encode_metrics, list[int]()

    def encode_and_note(*arguments: object) -> bytes:
        threads.append(threading.get_ident())
        return encode(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(metrics, "encode_metrics", encode_and_note)
    service = conninfo(database_url, role=Role.SERVICE, application="tests")
    pool: Pool = AsyncConnectionPool(service, kwargs={"autocommit": True}, min_size=1, max_size=2, open=False)
    async with pool:
        await Metrics(WebStats(tmp_path / "stats", workers=1, worker=0), pool).render("")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.anyio
async def test_faults_and_the_database_in_metrics(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sample per fault, 1 while it lasts; those of the database are absent while it does not answer. The database is up when it
    answers and the worker's last batch was accepted."""

    async def fsync_is_off(_: Connection) -> list[Fault]:
        return [Fault("fsync_off", "fsync is off")]

    monkeypatch.setattr(faults, "LOCAL_CHECKS", (lambda _: [Fault("spool_damaged", "a file is damaged")],))
    monkeypatch.setattr(faults, "DATABASE_CHECKS", (fsync_is_off,))
    service = conninfo(database_url, role=Role.SERVICE, application="tests")
    pool: Pool = AsyncConnectionPool(service, kwargs={"autocommit": True}, min_size=1, max_size=2, open=False)
    availability = Availability()
    registry = Metrics(WebStats(tmp_path / "stats", workers=1, worker=0), pool, is_away=lambda: availability.is_away)
    async with pool:
        content, _ = await registry.render("")
        local = {name: float(name == "spool_damaged") for name in LOCAL_FAULTS}
        assert samples(content, "tracker_fault") == local | {
            name: float(name == "fsync_off") for name in DATABASE_FAULTS
        }
        assert samples(content, "tracker_database_up") == {"": 1}
        availability.lost("test")
        content, _ = await registry.render("")
        assert samples(content, "tracker_database_up") == {"": 0}
    availability.back()
    content, _ = await registry.render("")
    assert samples(content, "tracker_fault") == local
    assert samples(content, "tracker_database_up") == {"": 0}


@pytest.mark.anyio
@pytest.mark.parametrize("question", ["health", "scrape"])
async def test_connections_that_died_are_not_noticed(
    database_url: str, connection: psycopg.Connection[Any], tmp_path: Path, question: str
) -> None:
    """After a restart of the database the first probe and the first scrape are answered, though every pooled connection is dead."""
    service = conninfo(database_url, role=Role.SERVICE, application="dying")
    pool: Pool = AsyncConnectionPool(service, kwargs={"autocommit": True}, min_size=2, max_size=2, open=False)
    registry = Metrics(WebStats(tmp_path / "stats", workers=1, worker=0), pool)
    async with pool:
        await pool.wait()
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dying'"
        ).fetchall()
        assert ended == [(True,), (True,)]
        if question == "health":
            assert (await read_log_health(pool)).position == 0
        else:
            content, _ = await registry.render("")
            assert samples(content, "tracker_database_up") == {"": 1.0}


def test_a_database_that_was_lost_shows(tracker: Tracker) -> None:
    """``tracker_database_up`` of a server that works."""
    tracker.post_ok("sent", 1)
    wait_until(lambda: tracker.metric("tracker_database_up") == 1, "the database to be up")
    assert tracker.metric('tracker_fault{fault="spool_unusable"}') == 0
