"""What a stranger can do to the log who got hold of the web service's login: append what is signed, and nothing else."""

from collections.abc import Iterator
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest

from tests.support.events import new_event, new_events, quarantined, uuid_of
from tracker.log.event import NewEvent
from tracker.log.event_store import EventStore, event_columns
from tracker.postgres.binary_arrays import PackedArray, pack_text, register_packed_arrays
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query

ROW = (
    "(position, event_id, source, message_sid, status, channel, received_at, recorded_at, body, url, signature, key_id)"
    " SELECT position + {}, gen_random_uuid(), 'callback', 'SM' || repeat('0', 32), 'delivered', 'sms', now(), '2020-01-01', '',"
    " 'https://h/', 's', 'k' FROM log_head"
)


@pytest.fixture(params=["tracker_web", "tracker_projections", "grafana"])
def stolen(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A session of each login that runs for long, as itself and without the settings that were meant to bind it."""
    with psycopg.connect(
        urls[request.param], autocommit=True, options="-c default_transaction_read_only=off"
    ) as session:
        yield session


@pytest.fixture
def web(urls: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A session of the web service's login, as the service takes it."""
    with psycopg.connect(
        conninfo(urls["tracker_web"], role=Role.SERVICE, application="test"), autocommit=True
    ) as session:
        register_packed_arrays(session)
        yield session


@pytest.fixture
def head(superuser_url: str, urls: dict[str, str]) -> Iterator[None]:
    """Whatever a test tries, positions stay dense and the head is the last of them."""
    assert urls
    yield
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute(
            "SELECT count(*), coalesce(max(events.position), 0), (SELECT position FROM log_head) FROM events"
        ).fetchone()
    assert row is not None
    assert len(set(row)) == 1, row


pytestmark = pytest.mark.usefixtures("head")

ATTACKS: dict[str, LiteralString] = {
    "insert the next event": "INSERT INTO events " + ROW.replace("{}", "1"),
    "insert an event further on, which jams the log": "INSERT INTO events " + ROW.replace("{}", "5"),
    "copy events": "COPY events FROM STDIN",
    "move the head": "UPDATE log_head SET position = position + 1",
    "lock the head": "SELECT FROM log_head FOR UPDATE",
    "lock the log": "DO $$ BEGIN LOCK TABLE events IN EXCLUSIVE MODE; END $$",
    "empty the head": "DELETE FROM log_head",
    "set callbacks aside by hand": "INSERT INTO quarantined_callbacks (quarantine_id) VALUES (gen_random_uuid())",
    "call the inner function": "SELECT store_events(ARRAY['api'], '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',"
    " '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    "replace the function": "CREATE OR REPLACE FUNCTION append_quarantined(uuid[], text[], timestamptz[], text[], bytea[], text[],"
    " text[], text[]) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
    "take the function": "ALTER FUNCTION append_events OWNER TO CURRENT_USER",
    "open the function": "ALTER FUNCTION append_events SECURITY INVOKER",
    "become the writer": "SET ROLE tracker_writer",
    "become the owner": "SET ROLE tracker_owner",
    "become the superuser": "SET ROLE postgres",
    "become somebody else altogether": "SET SESSION AUTHORIZATION tracker_owner",
    "join the writer": "GRANT tracker_writer TO CURRENT_USER",
    "switch triggers off": "SET session_replication_role = replica",
}


@pytest.mark.parametrize("statement", ATTACKS.values(), ids=ATTACKS.keys())
def test_no_login_of_ours_writes_around_the_functions(
    stolen: psycopg.Connection[Any], statement: LiteralString
) -> None:
    """Neither as itself nor as the role that it may take."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stolen.execute(statement)
    stolen.execute("SET ROLE NONE")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stolen.execute(statement)


def append(session: psycopg.Connection[Any], events: list[NewEvent], **columns: PackedArray) -> None:
    """Call the function, with some columns replaced."""
    session.execute(query("append_events"), event_columns(events) | columns)


@pytest.mark.parametrize("source", ["api", "event_stream", "reconciliation", "alert", "erasure", "", None])
def test_the_service_appends_callbacks_only(web: psycopg.Connection[Any], source: str | None) -> None:
    """An event of another source needs no signature; one among good ones is enough for the batch to be refused."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        append(web, new_events(2), sources=pack_text(["callback", source]))
    assert caught.value.diag.constraint_name == "events_source_is_allowed"


@pytest.mark.parametrize("column", ["urls", "signatures", "key_ids"])
def test_a_callback_needs_its_evidence(web: psycopg.Connection[Any], column: str) -> None:
    """Through the function as well."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        append(web, new_events(1), **{column: pack_text([None])})
    assert caught.value.diag.constraint_name == "events_callback_has_evidence"


@pytest.mark.parametrize("column", ["sources", "statuses", "bodies", "message_sids"])
def test_columns_of_other_lengths_are_refused(web: psycopg.Connection[Any], column: str) -> None:
    """A longer one would make rows without a position, a shorter one rows without a value."""
    columns = event_columns(new_events(2))
    for other in (event_columns(new_events(3)), event_columns(new_events(1))):
        with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.CheckViolation)):
            web.execute(query("append_events"), columns | {column: other[column]})


LIES: dict[str, LiteralString] = {
    "the role": "SET ROLE tracker_service",
    "a search path of one's own": "SET search_path = pg_temp, public",
    "a table of one's own": "CREATE TEMP TABLE log_head (only_row boolean, position bigint)",
    "the time zone": "SET timezone = 'Pacific/Kiritimati'",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_settings_of_the_caller_do_not_matter(
    superuser_url: str, web: psycopg.Connection[Any], lie: LiteralString
) -> None:
    """The function finds our tables, and its clock is the server's."""
    if "TEMP" in lie:
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute("GRANT TEMPORARY ON DATABASE tracker TO tracker_service")
    web.execute(lie)
    event = new_event(9)
    append(web, [event])
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute(
            "SELECT now() - recorded_at < interval '1 minute' FROM public.events WHERE event_id = %s", (uuid_of(event),)
        ).fetchone()
    assert row == (True,)


@pytest.mark.anyio
async def test_the_service_still_works(superuser_url: str, urls: dict[str, str]) -> None:
    """Events and what is set aside, each once, over the login that can do nothing else."""
    store = EventStore(conninfo(urls["tracker_web"], role=Role.SERVICE, application="test"), timeout=30)
    event, aside = new_event(77), quarantined("no_status")
    event = msgspec.structs.replace(
        event, callback=msgspec.structs.replace(event.callback, error_message="Not a WhatsApp user")
    )
    for _ in range(2):
        await store.append([event, aside])
    await store.close()
    with psycopg.connect(superuser_url) as connection:
        found = connection.execute("SELECT error_message FROM events WHERE event_id = %s", (uuid_of(event),)).fetchall()
        assert found == [("Not a WhatsApp user",)]
        row = connection.execute(
            "SELECT now() - recorded_at < interval '1 minute' FROM quarantined_callbacks WHERE quarantine_id = %s",
            (aside.quarantine_id.hex(),),
        ).fetchall()
        assert row == [(True,)]
