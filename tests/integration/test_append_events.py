"""The log's promises: dense positions in commit order, each event once, nothing lost to a reader, nothing changed."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from tests.support.events import ACCOUNT_SID, EVIDENCE, RECEIVED_AT, message_sid, new_event, new_events, uuid_of
from tests.support.waiting import wait_until
from tracker.log.event import Evidence, NewEvent, from_microseconds
from tracker.log.event_store import EventStore, event_columns
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query

WRITERS = 16


@contextmanager
def writer(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that may append, as the service does it; no transaction is open."""
    with psycopg.connect(conninfo(database_url, role=Role.SERVICE, application="test"), autocommit=True) as connection:
        register_packed_arrays(connection)
        yield connection


def append(connection: psycopg.Connection[Any], events: Sequence[NewEvent]) -> int:
    """Append a batch; how many events were new."""
    row = connection.execute(query("append_events"), event_columns(events)).fetchone()
    assert row is not None
    return row[0]


def log_of(connection: psycopg.Connection[Any]) -> list[tuple[int, UUID]]:
    """Positions and identities, by position."""
    return connection.execute("SELECT position, event_id FROM events ORDER BY position").fetchall()


def numbered(events: Sequence[NewEvent], start: int = 1) -> list[tuple[int, UUID]]:
    """What the log holds when it has taken these, in this order, from a position on."""
    return list(enumerate(map(uuid_of, events), start))


async def read_all(database_url: str, count: int) -> list[tuple[Any, ...]]:
    """Follow the log as a projector does, polling without rest, until this many events have come. Each read must begin right after
    the last one and have no gap."""
    taken: list[tuple[Any, ...]] = []
    async with await psycopg.AsyncConnection.connect(
        conninfo(database_url, role=Role.PROJECTOR, application="test"), autocommit=True
    ) as connection:
        while len(taken) < count:
            cursor = await connection.execute(query("read_log"), {"after": len(taken), "limit": 50})
            rows = await cursor.fetchall()
            assert [row[0] for row in rows] == list(range(len(taken) + 1, len(taken) + 1 + len(rows)))
            taken += rows
    return taken


async def write_all(database_url: str, batches: Sequence[Sequence[NewEvent]]) -> None:
    """One writer: its batches one after the other."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application="test"), timeout=60)
    try:
        for batch in batches:
            await store.append(batch)
    finally:
        await store.close()


async def undo_all(database_url: str, batches: Sequence[Sequence[NewEvent]]) -> None:
    """A writer who thinks better of each of its batches."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(
                conninfo(database_url, role=Role.SERVICE, application="test"), autocommit=True
            )
        )
        register_packed_arrays(connection)
        for batch in batches:
            async with connection.transaction(force_rollback=True):
                await connection.execute(query("append_events"), event_columns(batch))


@pytest.mark.anyio
async def test_no_event_is_missed_however_many_write(database_url: str) -> None:
    """Sixteen writers with batches of all sizes, one of whom rolls back each time, and a reader who polls: it reads 1 … n, every
    event once, every batch whole and in its own order."""
    chance = random.Random(1)  # sizes of batches
    plans = [
        [new_events(chance.randint(1, 9), start=1000 * number) for _ in range(15)] for number in range(1, WRITERS + 1)
    ]
    events = [event for plan in plans for batch in plan for event in batch]
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_all(database_url, len(events)))
        group.create_task(undo_all(database_url, [new_events(3) for _ in range(15)]))
        for plan in plans:
            group.create_task(write_all(database_url, plan))
    assert [row[0] for row in reading.result()] == list(range(1, len(events) + 1))
    with psycopg.connect(database_url) as connection:
        position_of = {event_id: position for position, event_id in log_of(connection)}
    assert position_of.keys() == set(map(uuid_of, events))
    for plan in plans:
        for batch in plan:
            first = position_of[uuid_of(batch[0])]
            assert [position_of[uuid_of(event)] for event in batch] == list(range(first, first + len(batch)))


@pytest.mark.anyio
async def test_the_same_batch_from_many_writers_is_stored_once(database_url: str) -> None:
    """As when a batch whose commit is in doubt is drained by several workers at the same moment."""
    events = new_events(40)
    async with asyncio.TaskGroup() as group:
        for start in range(0, 32, 4):
            group.create_task(write_all(database_url, [events[start:], events[: start + 9]]))
    with psycopg.connect(database_url) as connection:
        log = log_of(connection)
    assert [position for position, _ in log] == list(range(1, 41))
    assert {event_id for _, event_id in log} == set(map(uuid_of, events))


def test_two_writers_of_one_batch_that_wait_for_the_head(database_url: str) -> None:
    """Both have begun before either could lock the head; the second one must look after it has the lock, and finds all of it stored."""
    events = new_events(5)
    with (
        psycopg.connect(database_url) as holder,
        psycopg.connect(database_url, autocommit=True) as watcher,
        ThreadPoolExecutor(2) as threads,
        writer(database_url) as one,
        writer(database_url) as other,
    ):
        holder.execute("SELECT FROM log_head FOR UPDATE")
        appending = [threads.submit(append, connection, events) for connection in (one, other)]
        pids = [connection.info.backend_pid for connection in (one, other)]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event_type = 'Lock'"
        wait_until(lambda: watcher.execute(waiting, (pids,)).fetchone() == (2,), "both writers to wait")
        holder.rollback()
        assert sorted(each.result() for each in appending) == [0, 5]
        assert log_of(watcher) == numbered(events)


def test_recorded_at_is_the_databases_clock(database_url: str) -> None:
    """Taken under the lock: it never goes back along the positions, and is one moment per batch."""
    with writer(database_url) as connection:
        before = connection.execute("SELECT clock_timestamp()").fetchone()
        append(connection, new_events(3))
        append(connection, new_events(2, start=10))
        times = [at for (at,) in connection.execute("SELECT recorded_at FROM events ORDER BY position")]
        after = connection.execute("SELECT clock_timestamp()").fetchone()
    assert before is not None
    assert after is not None
    assert before[0] < times[0] == times[1] == times[2] < times[3] == times[4] < after[0]


def test_positions_begin_at_one_and_follow_the_batch(database_url: str) -> None:
    """In the order of the arrays."""
    events = new_events(5)
    with writer(database_url) as connection:
        assert append(connection, events[:3]) == 3
        assert append(connection, []) == 0
        assert append(connection, events[3:]) == 2
        assert log_of(connection) == numbered(events)


def test_a_repeated_batch_is_stored_once(database_url: str) -> None:
    """Whole, in part, or mixed with what is new; positions stay dense and what was stored keeps its own."""
    events = new_events(9)
    with writer(database_url) as connection:
        assert append(connection, events[:4]) == 4
        assert append(connection, events[:4]) == 0
        assert append(connection, events[2:6]) == 2
        assert append(connection, [events[8], events[0], events[7], events[5], events[6]]) == 3
        assert log_of(connection) == numbered([*events[:6], events[8], events[7], events[6]])


def test_a_rollback_leaves_no_gap(database_url: str) -> None:
    """The head moves with the events or not at all."""
    kept, undone = new_events(3), new_events(4)
    with writer(database_url) as connection:
        append(connection, kept[:1])
        with connection.transaction(force_rollback=True):
            assert append(connection, undone) == 4
        append(connection, kept[1:])
        assert log_of(connection) == numbered(kept)


def test_a_writer_who_dies_leaves_no_gap_and_no_lock(database_url: str) -> None:
    """Killed between its append and its commit."""
    kept = new_events(2)
    with (
        writer(database_url) as connection,
        writer(database_url) as dying,
        psycopg.connect(database_url, autocommit=True) as owner,
    ):
        append(connection, kept[:1])
        dying.execute("BEGIN")
        append(dying, new_events(3))
        owner.execute("SELECT pg_terminate_backend(%s, 10000)", (dying.info.backend_pid,))
        dying.close()
        append(connection, kept[1:])
        assert log_of(connection) == numbered(kept)


def test_appends_take_turns(database_url: str) -> None:
    """Nobody gets a position before the append before it has been committed; that is what makes positions follow commits."""
    first, second = new_events(2)
    with writer(database_url) as earlier, writer(database_url) as later:
        later.execute("SET lock_timeout = '20ms'")
        earlier.execute("BEGIN")
        append(earlier, [first])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            append(later, [second])
        earlier.execute("COMMIT")
        append(later, [second])
        assert log_of(later) == numbered([first, second])


def test_readers_are_told(database_url: str) -> None:
    """By a notification that carries the head, when the append has been committed; it is only a hint."""
    with writer(database_url) as connection, psycopg.connect(database_url, autocommit=True) as reader:
        reader.execute("LISTEN tracker_log")
        connection.execute("BEGIN")
        append(connection, new_events(3))
        assert list(reader.notifies(timeout=0)) == []
        connection.execute("COMMIT")
        assert [note.payload for note in reader.notifies(timeout=10, stop_after=1)] == ["3"]


def test_every_column_is_kept(database_url: str) -> None:
    """The evidence to the byte, absent values as NULL, times to the microsecond."""
    evidence = Evidence("https://h/p?a=%C3%A9", bytes(range(256)), "signature", None, "key")
    event = new_event(7, "undelivered", error_code="30003", raw_dlr_done_date="2611231150", evidence=evidence)
    callback = msgspec.structs.replace(event.callback, error_message="Channel could not deliver")
    event = msgspec.structs.replace(event, callback=callback)
    with writer(database_url) as connection:
        append(connection, [event])
        row = connection.cursor(row_factory=dict_row).execute("SELECT * FROM events").fetchone()
    assert row is not None
    recorded_at: datetime = row.pop("recorded_at")
    assert recorded_at.utcoffset() is not None
    assert row == {
        "position": 1,
        "event_id": uuid_of(event),
        "source": "callback",
        "account_sid": ACCOUNT_SID,
        "message_sid": message_sid(7),
        "status": "undelivered",
        "error_code": "30003",
        "raw_dlr_done_date": "2611231150",
        "channel": "sms",
        "from_address": "+15017122661",
        "to_address": "+14155238886",
        "messaging_service_sid": None,
        "received_at": from_microseconds(RECEIVED_AT),
        "url": "https://h/p?a=%C3%A9",
        "body": bytes(range(256)),
        "signature": "signature",
        "idempotency_token": None,
        "key_id": "key",
        "error_message": "Channel could not deliver",
    }


VALID: dict[str, object] = {
    "position": 1,
    "event_id": UUID(int=1),
    "source": "callback",
    "message_sid": message_sid(1),
    "status": "sent",
    "channel": "sms",
    "received_at": from_microseconds(RECEIVED_AT),
    "url": EVIDENCE.url,
    "body": b"",
    "signature": "s",
    "key_id": "k",
}

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "position 0": ({"position": 0}, "events_position_is_positive"),
    "an unknown source": ({"source": "rumour"}, "events_source_is_known"),
    "a SID of something else": ({"message_sid": "CA" + "0" * 32}, "events_message_sid_is_a_sid"),
    "a SID with a newline behind": ({"message_sid": message_sid(1) + "\n"}, "events_message_sid_is_a_sid"),
    "an empty status": ({"status": ""}, "events_status_is_bounded"),
    "a status without end": ({"status": "é" * 65}, "events_status_is_bounded"),
    "a callback without URL": ({"url": None}, "events_callback_has_evidence"),
    "a callback without signature": ({"signature": None}, "events_callback_has_evidence"),
    "a callback without key": ({"key_id": None}, "events_callback_has_evidence"),
}


def insert(connection: psycopg.Connection[Any], values: dict[str, object]) -> None:
    """A row of ``events`` as somebody would write it who goes around append_events()."""
    names = [sql.Identifier(name) for name in values]
    statement = sql.SQL("INSERT INTO events ({}) VALUES ({})")
    connection.execute(
        statement.format(sql.SQL(",").join(names), sql.SQL(",").join(map(sql.Placeholder, values))), values
    )


@pytest.mark.parametrize(("values", "constraint"), REFUSED.values(), ids=REFUSED.keys())
def test_the_database_refuses_what_is_no_event(
    undone: psycopg.Connection[Any], values: dict[str, object], constraint: str
) -> None:
    """By a constraint whose name says why."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        insert(undone, VALID | values)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("values", "constraint"), [({"event_id": UUID(int=2)}, "events_pkey"), ({"position": 2}, "events_event_id_key")]
)
def test_a_position_and_an_identity_are_given_once(
    undone: psycopg.Connection[Any], values: dict[str, object], constraint: str
) -> None:
    """Whoever writes."""
    insert(undone, VALID)
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        insert(undone, VALID | values)
    assert caught.value.diag.constraint_name == constraint


def test_other_sources_need_no_signature(undone: psycopg.Connection[Any]) -> None:
    """What we asked Twilio for was not signed."""
    insert(undone, VALID | {"source": "api", "url": None, "signature": None, "key_id": None})
    insert(
        undone, VALID | {"position": 2, "event_id": UUID(int=2), "status": "x" * 64, "message_sid": "MM" + "aF" * 16}
    )


CHANGES: dict[str, LiteralString] = {
    "update": "UPDATE events SET status = 'delivered'",
    "update of nothing": "UPDATE events SET status = 'delivered' WHERE false",
    "delete": "DELETE FROM events",
    "truncate": "TRUNCATE events",
    "update of the quarantine": "UPDATE quarantined_callbacks SET reason = 'no_status'",
    "delete from the quarantine": "DELETE FROM quarantined_callbacks",
    "truncate of the quarantine": "TRUNCATE quarantined_callbacks CASCADE",
    "upsert": "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET status = 'delivered'",
    "merge": "MERGE INTO events USING log_head ON TRUE WHEN MATCHED THEN DELETE",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_even_the_owner_may_not_change_the_log(undone: psycopg.Connection[Any], statement: LiteralString) -> None:
    """A trigger refuses it and says what to do instead."""
    insert(undone, VALID)
    before = undone.execute("SELECT * FROM events").fetchall()
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as caught, undone.transaction():
        undone.execute(statement)
    table = "quarantined_callbacks" if "quarantine" in statement else "events"
    assert f"{table} is append-only: " in str(caught.value)
    assert caught.value.diag.message_hint == "Append a new event; projections are rebuilt from the log."
    assert undone.execute("SELECT * FROM events").fetchall() == before


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_writer_at_another_isolation_level_fails_rather_than_breaks_the_log(
    database_url: str, isolation: LiteralString
) -> None:
    """append_events() relies on READ COMMITTED; with an older snapshot it would not see what it waited for."""
    first, second = new_events(2)
    with writer(database_url) as earlier, writer(database_url) as later:
        later.execute(sql.SQL("BEGIN ISOLATION LEVEL {}").format(sql.SQL(isolation)))
        later.execute("SELECT FROM log_head")
        append(earlier, [first])
        with pytest.raises(psycopg.errors.SerializationFailure):
            append(later, [first, second])
        later.execute("ROLLBACK")
        assert log_of(earlier) == numbered([first])


ONE_ROW: tuple[Callable[[psycopg.Connection[Any]], object], ...] = (
    lambda connection: connection.execute("INSERT INTO log_head (only_row, position) VALUES (FALSE, 0)"),
    lambda connection: connection.execute("UPDATE log_head SET position = -1"),
)


@pytest.mark.parametrize("change", ONE_ROW, ids=["another head", "a head before the first"])
def test_there_is_one_head(
    undone: psycopg.Connection[Any], change: Callable[[psycopg.Connection[Any]], object]
) -> None:
    """Two would number events twice."""
    with pytest.raises(psycopg.errors.CheckViolation), undone.transaction():
        change(undone)
    with pytest.raises(psycopg.errors.UniqueViolation):
        undone.execute("INSERT INTO log_head (position) VALUES (0)")


def test_the_database_may_have_another_default_isolation_level(database_url: str) -> None:
    """Our connections ask for their own."""
    url = make_conninfo(database_url, options="-c default_transaction_isolation=serializable")
    with writer(url) as connection:
        (level,) = cast("tuple[str]", connection.execute("SHOW transaction_isolation").fetchone())
    assert level == "read committed"
