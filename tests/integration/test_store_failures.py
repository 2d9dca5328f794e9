"""What a failed append is taken for: the database is away, or it refuses these records. On a real server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.events import new_event, new_events, quarantined
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.event import NewEvent
from tracker.log.event_store import EventStore
from tracker.postgres.roles import Role, conninfo

pytestmark = pytest.mark.anyio

APPLICATION = "tracker test failures"

Break = Callable[[psycopg.Connection[Any]], object]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[EventStore]:
    """A store as the web worker has it, with more patience."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application=APPLICATION, timeout=10), timeout=10)
    yield store
    await store.close()


def positions(connection: psycopg.Connection[Any]) -> list[tuple[int, UUID]]:
    """What is in the log."""
    return connection.execute("SELECT position, event_id FROM events ORDER BY position").fetchall()


def statement(text: str) -> Break:
    """A statement for the database at hand, which is named in it as {}."""

    def run(connection: psycopg.Connection[Any]) -> None:
        name = conninfo_to_dict(connection.info.dsn)["dbname"]
        connection.execute(sql.SQL(text).format(sql.Identifier(str(name))))  # pyright: ignore[reportArgumentType]  # from this file

    return run


def raising(sqlstate: str, when: str = "TRUE") -> Break:
    """A trigger that fails an insert of such an event with an error of the server's."""

    def install(connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'as the test says' USING ERRCODE = {}; END $$"
            ).format(sql.Literal(sqlstate))
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW WHEN ({}) EXECUTE FUNCTION fail()"
            ).format(sql.SQL(when))  # pyright: ignore[reportArgumentType]
        )

    return install


AWAY: dict[str, Break] = {
    "read only": statement("ALTER DATABASE {} SET default_transaction_read_only = on"),
    "no such function": statement("DROP FUNCTION append_events"),
    "no privilege": statement("REVOKE INSERT ON events FROM tracker_writer"),
    "out of disk": raising("53100"),
    "out of memory": raising("53200"),
    "shutting down": raising("57P01"),
    "lock not available": raising("55P03"),
    "serialization failure": raising("40001"),
    "I/O error": raising("58030"),
}


@pytest.mark.parametrize("why", AWAY)
async def test_a_database_that_takes_nothing_is_away(
    store: EventStore, connection: psycopg.Connection[Any], why: str
) -> None:
    """Whatever its reason: it is not about these records, and they may be given to it again."""
    AWAY[why](connection)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            await store.append(new_events(2))
    assert positions(connection) == []


@pytest.mark.parametrize("sqlstate", ["25006", "53100", "55P03"])
async def test_a_session_that_failed_is_not_used_again(
    store: EventStore, connection: psycopg.Connection[Any], sqlstate: str
) -> None:
    """A session on a server that became read-only stays read-only, whatever the server is later: the next attempt has a new one."""
    await store.append(())
    before = session_of_store(connection)
    raising(sqlstate)(connection)
    with pytest.raises(DatabaseUnavailableError, match=sqlstate):
        await store.append(new_events(1))
    connection.execute("DROP FUNCTION fail CASCADE")
    await store.append(new_events(1))
    assert session_of_store(connection) != before
    assert len(positions(connection)) == 1


def session_of_store(connection: psycopg.Connection[Any]) -> int:
    """The process id of the newest session of the store, at the server."""
    row = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
        " ORDER BY backend_start DESC LIMIT 1",
        (APPLICATION,),
    ).fetchone()
    assert row is not None
    return row[0]


REFUSED: dict[str, Break] = {
    "a constraint": statement("ALTER TABLE events ADD CONSTRAINT refused CHECK (message_sid NOT LIKE '%2')"),
    "a trigger": raising("P0001", "NEW.message_sid LIKE '%2'"),
    "an internal error": raising("XX000", "NEW.message_sid LIKE '%2'"),
    "a value that is too large": raising("54000", "NEW.message_sid LIKE '%2'"),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_record_that_the_database_does_not_take_is_no_outage(
    store: EventStore, connection: psycopg.Connection[Any], why: str
) -> None:
    """The batch is refused whole; without that record it is taken."""
    REFUSED[why](connection)
    events = new_events(3)
    with pytest.raises(RecordsRefusedError):
        await store.append(events)
    assert positions(connection) == []
    await store.append([events[0], events[2]])
    assert positions(connection) == [(1, UUID(bytes=events[0].event_id)), (2, UUID(bytes=events[2].event_id))]


async def test_a_callback_set_aside_can_be_refused_too(store: EventStore, connection: psycopg.Connection[Any]) -> None:
    """And the events of the same batch are taken when they come without it."""
    connection.execute("ALTER TABLE quarantined_callbacks ADD CONSTRAINT refused CHECK (reason <> 'no_status')")
    event = new_event()
    with pytest.raises(RecordsRefusedError, match="CheckViolation 23514 refused"):
        await store.append([quarantined("no_status"), event])
    await store.append([event])
    assert len(positions(connection)) == 1


async def test_a_refusal_says_nothing_of_the_record(store: EventStore, connection: psycopg.Connection[Any]) -> None:
    """PostgreSQL's own words quote the row, with numbers and body; what is logged names the constraint."""
    connection.execute("ALTER TABLE events ADD CONSTRAINT refused CHECK (to_address IS NULL)")
    with pytest.raises(RecordsRefusedError) as caught:
        await store.append(new_events(1))
    assert str(caught.value) == "CheckViolation 23514 refused"


async def test_nothing_to_append_finds_out_whether_something_could_be(
    store: EventStore, connection: psycopg.Connection[Any]
) -> None:
    """It writes nothing."""
    await store.append(())
    assert positions(connection) == []
    AWAY["read only"](connection)
    await store.close()
    with pytest.raises(DatabaseUnavailableError, match="ReadOnlySqlTransaction 25006"):
        await store.append(())


@contextmanager
def frozen(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The store's backend stands still, as on a machine that hangs, until the block ends. Skips the test where the backend is not a
    process of this machine."""
    row = connection.execute(
        "SELECT pid, datname, current_setting('data_directory') FROM pg_stat_activity WHERE application_name = %s",
        (APPLICATION,),
    ).fetchone()
    assert row is not None
    pid, database, directory = row
    if not is_backend_here(pid, database, directory):
        pytest.skip(f"the server's process {pid} is not one of this machine: it runs in a container, or elsewhere")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_backend_here(pid: int, database: str, directory: str) -> bool:
    """Whether that process id, which the server gave, is the server's here too. Another machine's or container's may be anything."""
    try:
        process = psutil.Process(pid)
        return (
            process.name() == "postgres"
            and process.cwd() == os.path.realpath(directory)
            and database in " ".join(process.cmdline())
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def test_only_a_backend_of_this_machine_is_frozen(connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Not a process that happens to have its number, and not another server's."""
    row = connection.execute("SELECT current_database(), current_setting('data_directory')").fetchone()
    assert row is not None
    assert not is_backend_here(os.getpid(), *row)
    assert not is_backend_here(connection.info.backend_pid, row[0], str(tmp_path))


async def test_a_server_that_stands_still_is_given_up(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """Its own timeouts stand still with it. The commit that was in doubt is resolved by appending again."""
    store = EventStore(conninfo(database_url, role=Role.SERVICE, application=APPLICATION, timeout=10), timeout=0.2)
    events = new_events(3)
    await until_taken(store, events[0])
    with frozen(connection), pytest.raises(DatabaseUnavailableError, match="did not answer within 0.2 s"):
        await store.append(events[1:])
    for event in events:
        await until_taken(store, event)
    assert sorted(position for position, _ in positions(connection)) == [1, 2, 3]
    assert {event_id for _, event_id in positions(connection)} == {UUID(bytes=event.event_id) for event in events}
    await store.close()


async def test_an_interrupted_append_fails_at_once(
    store: EventStore, database_url: str, connection: psycopg.Connection[Any]
) -> None:
    """A stop does not wait for it."""
    await store.append(())
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM log_head FOR UPDATE")
        async with asyncio.TaskGroup() as group:
            appending = group.create_task(failing(store))
            while (
                connection.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
                    (APPLICATION,),
                ).fetchone()
                is None
            ):
                await asyncio.sleep(0)
            store.interrupt()
        assert "append_events" in appending.result()
    store.interrupt()
    await store.append(())


async def failing(store: EventStore) -> str:
    """What an append fails with."""
    with pytest.raises(DatabaseUnavailableError) as caught:
        await store.append(new_events(1))
    return str(caught.value)


async def until_taken(store: EventStore, event: NewEvent) -> None:
    """Append an event; a shared machine may take longer than the time allowed."""
    while True:
        try:
            await store.append([event])
        except DatabaseUnavailableError:
            continue
        return
