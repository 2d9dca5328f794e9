"""The store on a real server: what it does when the database stumbles."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.events import EVIDENCE, RECEIVED_AT, new_event, new_events, quarantined, uuid_of
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.appender import Appender
from tracker.log.event import NewEvent, from_microseconds
from tracker.log.event_store import EventStore
from tracker.postgres.roles import Role, conninfo

pytestmark = pytest.mark.anyio

APPLICATION = "tracker test store"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[EventStore]:
    """A store as the web worker has it."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application=APPLICATION), timeout=30)
    yield store
    await store.close()


@pytest.fixture
async def hasty_store(database_url: str) -> AsyncIterator[EventStore]:
    """A store that waits a quarter of a second at most."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application=APPLICATION), timeout=0.25)
    yield store
    await store.close()


@pytest.fixture
def held_head(database_url: str, connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection that holds the log head, so that every append waits until it rolls back."""
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM log_head FOR UPDATE")
        yield holder


def stored(connection: psycopg.Connection[Any]) -> list[tuple[int, UUID]]:
    """Positions and identities, by position."""
    return connection.execute("SELECT position, event_id FROM events ORDER BY position").fetchall()


def numbered(events: list[NewEvent]) -> list[tuple[int, UUID]]:
    """What the log holds when it has taken these, in this order."""
    return list(enumerate(map(uuid_of, events), 1))


async def sessions_become(connection: psycopg.Connection[Any], expected: list[str]) -> None:
    """Wait until the store's sessions, each named by what it waits for, are these."""
    while True:
        rows = connection.execute(
            "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
        ).fetchall()
        if [name for (name,) in rows] == expected:
            return
        await asyncio.sleep(0)


async def waits_for_the_head(connection: psycopg.Connection[Any]) -> None:
    """Until the store's append is at the lock."""
    await sessions_become(connection, ["Lock"])


@pytest.mark.parametrize(
    ("given", "used"), [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
async def test_commits_wait_for_the_disk(
    database_url: str, connection: psycopg.Connection[Any], store: EventStore, given: str, used: str
) -> None:
    """Whatever the database says: a callback is answered because its event is durable. What is asked for beyond that stays."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = {}").format(name, sql.Literal(given)))
    connection.execute(
        "CREATE TABLE seen (setting text);"
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;"
        "CREATE TRIGGER see BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION see()"
    )
    await store.append(new_events(1))
    assert connection.execute("SELECT setting FROM seen").fetchall() == [(used,)]


async def test_what_is_appended_is_durable_when_the_call_returns(
    store: EventStore, connection: psycopg.Connection[Any]
) -> None:
    """Another session sees it, in order."""
    events = new_events(3)
    await store.append(events[:2])
    assert stored(connection) == numbered(events[:2])
    await store.append(events[2:])
    assert stored(connection) == numbered(events)


async def test_an_event_that_is_twice_in_a_batch_is_stored_once(
    store: EventStore, connection: psycopg.Connection[Any]
) -> None:
    """As after a journal that has it twice; it must not fail the batch."""
    events = new_events(3)
    await store.append([events[0], events[1], events[0], events[2], events[1]])
    assert stored(connection) == numbered(events)


async def test_a_terminated_backend_costs_one_failure(store: EventStore, connection: psycopg.Connection[Any]) -> None:
    """The failure is told, and the same batch succeeds on a new connection."""
    events = new_events(4)
    await store.append(events[:2])
    killed = connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
    ).fetchall()
    assert killed == [(True,)]
    with pytest.raises(DatabaseUnavailableError, match="append_events: "):
        await store.append(events[2:])
    await store.append(events[2:])
    assert stored(connection) == numbered(events)


async def test_a_backend_that_dies_within_an_append_leaves_no_half_of_it(
    store: EventStore, connection: psycopg.Connection[Any], held_head: psycopg.Connection[Any]
) -> None:
    """Terminated while it waits for its turn."""
    events = new_events(3)
    appending = asyncio.ensure_future(store.append(events))
    await waits_for_the_head(connection)
    connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
    )
    with pytest.raises(DatabaseUnavailableError):
        await appending
    held_head.rollback()
    assert stored(connection) == []
    await store.append(events)
    assert stored(connection) == numbered(events)


async def test_a_slow_database_is_given_up(
    hasty_store: EventStore, connection: psycopg.Connection[Any], held_head: psycopg.Connection[Any]
) -> None:
    """After the time allowed. Whether the given-up append was stored cannot be known; the same call again stores it once."""
    events = new_events(3)
    with pytest.raises(DatabaseUnavailableError, match="did not answer within|no connection within"):
        await hasty_store.append(events)
    held_head.rollback()
    while True:
        try:
            await hasty_store.append(events)
        except DatabaseUnavailableError:
            continue  # A shared machine may take longer than the time allowed.
        break
    assert stored(connection) == numbered(events)


async def test_a_cancelled_append_is_not_taken_for_the_next_one(
    store: EventStore, connection: psycopg.Connection[Any], held_head: psycopg.Connection[Any]
) -> None:
    """Its answer is still on the way; the next append must not read it as its own."""
    first, second = new_events(2)
    appending = asyncio.ensure_future(store.append([first]))
    await waits_for_the_head(connection)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    held_head.rollback()
    await store.append([second])
    assert uuid_of(second) in {event_id for _, event_id in stored(connection)}
    await store.append([first, second])
    assert {event_id for _, event_id in stored(connection)} == {uuid_of(first), uuid_of(second)}
    assert [position for position, _ in stored(connection)] == [1, 2]


async def test_no_database_is_a_failure_that_names_no_password() -> None:
    """Nobody listens there."""
    url = "postgresql://tracker:nobody-may-see@127.0.0.1:1/none"
    store = EventStore(conninfo(url, role=Role.SERVICE, application=APPLICATION), timeout=5)
    with pytest.raises(DatabaseUnavailableError) as caught:
        await store.append(new_events(1))
    assert "nobody-may-see" not in str(caught.value)


async def test_a_batch_that_the_database_refuses_harms_only_itself(
    store: EventStore, connection: psycopg.Connection[Any]
) -> None:
    """A constraint is the last line of the model; the next batch goes its way."""
    events = new_events(2)
    connection.execute("ALTER TABLE events ADD CONSTRAINT refused CHECK (message_sid NOT LIKE '%1')")
    with pytest.raises(RecordsRefusedError, match="CheckViolation 23514 refused"):
        await store.append(events)
    await store.append(events[1:])
    assert stored(connection) == numbered(events[1:])


async def test_a_closed_store_opens_again(store: EventStore, connection: psycopg.Connection[Any]) -> None:
    """Closing gives the connection back, nothing more."""
    events = new_events(2)
    await store.append(events[:1])
    await store.close()
    await sessions_become(connection, [])
    await store.append(events[1:])
    assert stored(connection) == numbered(events)


async def test_what_is_no_message_status_is_set_aside_whole(
    store: EventStore, connection: psycopg.Connection[Any]
) -> None:
    """Each once, with its evidence and the reason."""
    reasons = ["no_message_sid", "invalid_message_sid", "no_status", "invalid_status"]
    callbacks = [quarantined(reason) for reason in reasons]
    await store.append(callbacks)
    await store.append(callbacks)
    rows = connection.execute(
        sql.SQL("SELECT {} FROM quarantined_callbacks ORDER BY quarantine_id").format(
            sql.SQL(", ").join(
                map(
                    sql.Identifier,
                    (
                        "quarantine_id",
                        "reason",
                        "received_at",
                        "url",
                        "body",
                        "signature",
                        "idempotency_token",
                        "key_id",
                    ),
                )
            )
        )
    ).fetchall()
    evidence = (EVIDENCE.url, EVIDENCE.body, EVIDENCE.signature, EVIDENCE.idempotency_token, EVIDENCE.key_id)
    assert rows == [
        (UUID(bytes=callback.quarantine_id), callback.reason, from_microseconds(RECEIVED_AT), *evidence)
        for callback in callbacks
    ]


async def test_many_appends_are_few_transactions(
    store: EventStore, database_url: str, connection: psycopg.Connection[Any]
) -> None:
    """Those who wait together commit together, and each is answered when another session can see its event, not before."""
    appender, events = Appender(store), new_events(600)
    answered = 0

    async def ask(event: NewEvent) -> None:
        nonlocal answered
        await appender.append(event)
        seen = watcher.execute("SELECT count(*) FROM events WHERE event_id = %s", (uuid_of(event),)).fetchone()
        assert seen == (1,)
        answered += 1

    with psycopg.connect(database_url, autocommit=True) as watcher:
        await asyncio.gather(*map(ask, events))
    assert answered == len(events)
    assert stored(connection) == numbered(events)
    # Rows of one transaction carry its id; a batch has 512 at most.
    (transactions,) = cast("tuple[int]", connection.execute("SELECT count(DISTINCT xmin::text) FROM events").fetchone())
    assert transactions == 2


async def test_everybody_is_told_when_the_database_goes_away_and_served_when_it_is_back(
    store: EventStore, connection: psycopg.Connection[Any], held_head: psycopg.Connection[Any]
) -> None:
    """Those at the database and not those behind them, who get a connection of their own."""
    appender, events = Appender(store, max_batch=5), new_events(8)
    futures = [appender.append(event) for event in events]
    await waits_for_the_head(connection)
    connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION,)
    )
    held_head.rollback()
    told = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in told] == [DatabaseUnavailableError] * 5 + [str] * 3
    assert stored(connection) == numbered(events[5:])


async def test_a_caller_who_goes_away_does_not_take_the_others_along(
    store: EventStore, connection: psycopg.Connection[Any], held_head: psycopg.Connection[Any]
) -> None:
    """The batch is written all the same, with the event of the one who left."""
    appender, events = Appender(store), new_events(5)
    futures = [appender.append(event) for event in events]
    await waits_for_the_head(connection)
    futures[2].cancel()
    held_head.rollback()
    told = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in told] == [*[str] * 2, asyncio.CancelledError, *[str] * 2]
    assert stored(connection) == numbered(events)


async def test_a_first_host_that_does_not_answer_leaves_the_second_its_turn(
    database_url: str, connection: psycopg.Connection[Any]
) -> None:
    """Within the time that an append may take: less than libpq gives to one host."""
    given = conninfo_to_dict(database_url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = {"host": f"127.0.0.1,{given['host']}", "port": f"{silent.getsockname()[1]},{given.get('port', 5432)}"}
        info = conninfo(make_conninfo(database_url, **hosts), role=Role.SERVICE, application=APPLICATION)
        store = EventStore(info, timeout=4)
        events = new_events(2)
        await store.append(events)
        await store.close()
    assert stored(connection) == numbered(events)


async def test_a_warning_puts_an_append_in_doubt(store: EventStore, connection: psycopg.Connection[Any]) -> None:
    """As when the wait for a synchronous standby is cancelled: the commit is then on one machine only. What is appended again afterwards
    is stored once, and a mere notice is no warning."""
    connection.execute(
        "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE NOTICE 'by the way';"
        " IF NEW.status = 'doubtful' THEN RAISE WARNING 'canceling wait for synchronous replication'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER warn BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION warn()"
    )
    fine, doubtful = new_event(1), new_event(2, "doubtful")
    await store.append([fine])
    with pytest.raises(DatabaseUnavailableError, match="the server warned: 01000 canceling wait for synchronous"):
        await store.append([doubtful])
    await store.append([doubtful])
    assert stored(connection) == numbered([fine, doubtful])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", "('postgres', 'read committed')"),
        (
            "-c role=tracker_service -c default_transaction_isolation=serializable",
            "('tracker_service', 'serializable')",
        ),
    ],
)
async def test_a_session_that_is_not_what_was_asked_for_is_refused(
    database_url: str, connection: psycopg.Connection[Any], options: str, found: str
) -> None:
    """As behind a proxy that leaves connection options out: it would append as the owner, or at an isolation level that loses events."""
    store = EventStore(make_conninfo(database_url, options=options, application_name=APPLICATION), timeout=30)
    with pytest.raises(DatabaseUnavailableError) as caught:
        await store.append(new_events(1))
    assert f"the session is {found}, not tracker_service at READ COMMITTED" in str(caught.value)
    assert stored(connection) == []
    await sessions_become(connection, [])
    await store.close()
