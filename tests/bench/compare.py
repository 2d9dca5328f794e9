"""The four-way comparison: rounds of a, b, c, d, a, b, c, d ... under the same requests."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from msgspec.structs import replace
from psycopg import sql

from tests.bench.cpu import CpuMeter
from tests.bench.load import write_requests
from tests.bench.profile import profiled
from tests.bench.progress import Progress
from tests.bench.results import NAMES, TITLES, Comparison, Name, Round
from tests.bench.rivals import SQL
from tests.bench.servers import ServerUnderLoad, TrackerUnderLoad, running_rival, running_tracker
from tests.bench.wrk import BenchError, run_wrk
from tests.support.database import database_of

CATCH_UP_SECONDS: Final = 300
"""How long the projector may take after a load."""

WARM_UP_SECONDS: Final = 1

ROOM: Final = 1.1
"""Requests that are made for a round, as a multiple of what the raw route answered while warming up: machines that are
shared change their speed by half between two rounds, and a tracker that keeps events is never as fast as that route."""


class Wanted(msgspec.Struct, frozen=True):
    """How much is measured. seconds: of each load. profile: where the tracker's profiles go, None for none."""

    rounds: int
    seconds: int
    connections: int
    profile: Path | None = None


def compare(wanted: Wanted, directory: Path, progress: Progress) -> Comparison:
    """Measure all four. Raises BenchError when anything is lost or answered wrongly, or PostgreSQL is not durable."""
    with _servers(directory) as servers:
        _require_durability(servers["tracker"])
        count = _warm_up(servers, wanted, directory, progress)
        rounds: dict[Name, list[Round]] = {name: [] for name in NAMES}
        for number in range(wanted.rounds):
            requests = directory / "requests"
            with progress.task(f"round {number + 1}: signing", count) as advance:
                write_requests(requests, count, seed=number + 1, on_request=advance)
            for name in NAMES:
                with progress.task(f"round {number + 1} of {wanted.rounds}: {TITLES[name]}"):
                    rounds[name].append(_measure(name, servers, requests, wanted, count))
    return Comparison(wanted.seconds, wanted.connections, rounds)


class _Servers(dict[Name, ServerUnderLoad]):
    """All four, and the two databases."""

    def __init__(self, tracker: TrackerUnderLoad) -> None:
        super().__init__({"tracker": tracker})
        self.tracker = tracker
        self.usual_url = database_of(tracker.database_url, "usual_way")


@contextmanager
def _servers(directory: Path) -> Iterator[_Servers]:
    with ExitStack() as stack:
        servers = _Servers(stack.enter_context(running_tracker(directory)))
        with psycopg.connect(servers.tracker.database_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE usual_way")
        with psycopg.connect(servers.usual_url, autocommit=True) as connection:
            connection.execute((SQL / "create_callbacks.sql").read_bytes())
        servers["ceiling"] = stack.enter_context(running_rival("ceiling", directory))
        servers["doing_nothing"] = stack.enter_context(running_rival("doing_nothing", directory))
        usual = stack.enter_context(running_rival("usual_way", directory, servers.usual_url))
        usual.processes["postgres"] = servers.tracker.processes["postgres"]
        servers["usual_way"] = usual
        yield servers


def _require_durability(server: ServerUnderLoad) -> None:
    assert isinstance(server, TrackerUnderLoad)
    with psycopg.connect(server.database_url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone()
            if row != ("on",):
                raise BenchError(f"PostgreSQL runs with {setting} {row}: what it acknowledges would not be durable")


def _warm_up(servers: _Servers, wanted: Wanted, directory: Path, progress: Progress) -> int:
    """Load each server shortly, unmeasured. How many requests a round needs, so that nothing is posted twice."""
    requests = directory / "requests"
    with progress.task("warming up"):
        write_requests(requests, 5_000, seed=0)
        loads = {
            name: run_wrk(servers[name].port, requests, seconds=WARM_UP_SECONDS, connections=wanted.connections)
            for name in NAMES
        }
        _wait_until_projected(servers.tracker.database_url)
    return int(loads["ceiling"].rate * wanted.seconds * ROOM)


def _measure(name: Name, servers: _Servers, requests: Path, wanted: Wanted, count: int) -> Round:
    server = servers[name]
    if name not in {"tracker", "usual_way"}:
        return _load(server, requests, wanted)[0]
    url = servers.usual_url if name == "usual_way" else servers.tracker.database_url
    before = _stored(url, name)
    # What a round leaves to be written must not be the next one's to write.
    _checkpoint(url)
    if name == "usual_way":
        round_, _ = _load(server, requests, wanted)
        stored = _stored(url, name) - before
        _require_unique(round_, stored, count, wanted.connections)
        return replace(round_, stored=stored)
    with profiled(server.processes, wanted.profile, wanted.seconds):
        round_, meter = _load(server, requests, wanted)
    ended = time.perf_counter()
    lag = _lag(url)
    projected = _wait_until_projected(url) - before
    catch_up = time.perf_counter() - ended if lag else 0.0
    stored = _stored(url, name) - before
    _require_unique(round_, stored, count, wanted.connections)
    if projected != stored:
        raise BenchError(f"{stored} events were stored, and {projected} projected")
    cpu = {**round_.cpu_seconds, **meter.used()}
    return replace(
        round_, cpu_seconds=cpu, stored=stored, projected=projected, lag_events=lag, catch_up_seconds=catch_up
    )


def _load(server: ServerUnderLoad, requests: Path, wanted: Wanted) -> tuple[Round, CpuMeter]:
    """One load, and the meter that was started before it."""
    meter = CpuMeter(server.processes)
    load = run_wrk(server.port, requests, seconds=wanted.seconds, connections=wanted.connections)
    cpu = {**meter.used(), "wrk": load.cpu_seconds}
    others = meter.others_share(sum(cpu.values()))
    return Round(load.requests, load.seconds, load.p50_ms, load.p99_ms, cpu, others), meter


def _require_unique(load: Round, stored: int, count: int, connections: int) -> None:
    """What was acknowledged is stored; and no more beyond it than was under way when wrk hung up, one a connection."""
    if stored > count:
        raise BenchError(
            f"{count} requests were too few: some were posted twice. Say so, please: it is a fault of the benchmark."
        )
    if not load.requests <= stored <= load.requests + connections:
        raise BenchError(f"{load.requests} requests were acknowledged, and {stored} stored")


def _stored(url: str, name: Name) -> int:
    # The log's positions are dense, so its head counts it.
    statement = sql.SQL("SELECT count(*) FROM callbacks" if name == "usual_way" else "SELECT position FROM log_head")
    with psycopg.connect(url) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else 0


def _checkpoint(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


_POSITIONS: Final = "SELECT min(projections.position), (SELECT log_head.position FROM log_head) FROM projections"


def _lag(url: str) -> int:
    """Events that the slowest projection has not taken in."""
    with psycopg.connect(url) as connection:
        row = connection.execute(_POSITIONS).fetchone()
    return row[1] - row[0] if row and row[0] is not None else 0


def _wait_until_projected(url: str) -> int:
    """The position that every projection has reached, which is the log's last."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(_POSITIONS).fetchone()
            if row and row[0] is not None and row[0] == row[1]:
                return row[0]
            if time.monotonic() > deadline:
                raise BenchError(f"the projections are at {row} after {CATCH_UP_SECONDS} s")
            time.sleep(0.005)
