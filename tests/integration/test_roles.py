"""Least privilege: what each role may do, and everything else it may not."""

from collections.abc import Iterator
from itertools import product
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from projections.registry import PROJECTIONS
from tests.support.events import new_events
from tracker.log.event_store import event_columns
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query

READ = frozenset({"SELECT"})
CHANGE = READ | {"INSERT", "UPDATE", "DELETE"}
NOTHING: frozenset[str] = frozenset()
ALL_PRIVILEGES = CHANGE | {"TRUNCATE", "REFERENCES", "TRIGGER"}

SERVICE, PROJECTOR, READER = Role.SERVICE, Role.PROJECTOR, Role.READER

PROJECTION_TABLES = (
    "projections",
    "projection_runner",
    *(table for projection in PROJECTIONS for table in projection.tables),
)

MAY: dict[str, dict[Role, frozenset[str]]] = {
    "log_head": {SERVICE: READ, PROJECTOR: READ, READER: READ},
    # The reader sees some columns only, which is no privilege on the table.
    "events": {SERVICE: READ, PROJECTOR: READ, READER: NOTHING},
    "quarantined_callbacks": {SERVICE: READ, PROJECTOR: NOTHING, READER: NOTHING},
    "quarantine_acceptances": {SERVICE: READ, PROJECTOR: NOTHING, READER: NOTHING},
    # The service inserts into two columns only, which is no privilege on the table.
    "annotations": {SERVICE: READ, PROJECTOR: NOTHING, READER: READ},
    **{table: {SERVICE: READ, PROJECTOR: CHANGE, READER: READ} for table in PROJECTION_TABLES},
}

WRITER = "tracker_writer"
"""Owns the functions that write the log; no session of ours takes it."""

EXECUTE: dict[str, set[str]] = {
    "append_events": {SERVICE},
    "append_quarantined": {SERVICE},
    "accept_quarantined": {SERVICE},
    "store_events": set(),
    "is_in_log": {SERVICE, PROJECTOR, READER},
}
"""Which roles may call a function of ours, beside its owner."""

EVIDENCE = {"url", "body", "signature", "idempotency_token"}
"""Columns that dashboards have no business with."""


def as_role(database_url: str, role: Role) -> psycopg.Connection[Any]:
    """A session of that role, as our processes open them."""
    return psycopg.connect(conninfo(database_url, role=role, application="test"), autocommit=True)


@pytest.fixture(params=Role)
def role_session(request: pytest.FixtureRequest, shared_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of each role in turn."""
    with as_role(shared_database_url, request.param) as connection:
        yield connection


def test_every_table_has_exactly_the_privileges_it_should(undone: psycopg.Connection[Any]) -> None:
    """Of every role; the migration tool's own tables are nobody's. A new table stands here before it stands anywhere."""
    rows = undone.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    )
    tables = [name for (name,) in rows]
    ours = {name for name in tables if not name.startswith(("_yoyo", "yoyo_"))}
    assert ours == MAY.keys()
    found: dict[str, dict[Role, frozenset[str]]] = {}
    for table, role in product(tables, Role):
        held = undone.execute(
            "SELECT privilege FROM unnest(%s::text[]) AS privilege"
            " WHERE has_table_privilege(%s, format('public.%%I', %s::text), privilege)",
            (sorted(ALL_PRIVILEGES), role.value, table),
        )
        found.setdefault(table, {})[role] = frozenset(name for (name,) in held)
    nobodys = {table: dict.fromkeys(Role, NOTHING) for table in tables if table not in MAY}
    assert found == MAY | nobodys


def test_the_reader_sees_no_evidence(undone: psycopg.Connection[Any]) -> None:
    """Everything else of an event it does."""
    columns = undone.execute(
        "SELECT attname, has_column_privilege(%s, 'events', attname, 'SELECT')"
        " FROM pg_attribute WHERE attrelid = 'events'::regclass AND attnum > 0",
        (READER.value,),
    ).fetchall()
    assert {name for name, visible in columns if not visible} == EVIDENCE


def test_nobody_gets_anything_by_default(undone: psycopg.Connection[Any]) -> None:
    """Neither the schema nor a function in it; nor do our roles get another schema of ours."""
    assert (
        undone.execute(
            "SELECT nspname, privilege_type FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'public' AND grantee = 0"
        ).fetchall()
        == []
    )
    assert (
        undone.execute(
            "SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))"
            " WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype AND grantee = 0"
        ).fetchall()
        == []
    )
    others = undone.execute(
        "SELECT nspname, role FROM pg_namespace, unnest(%s::text[]) AS role"
        " WHERE nspname <> 'public' AND nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'"
        " AND has_schema_privilege(role, oid, 'USAGE, CREATE')",
        ([role.value for role in Role],),
    )
    assert others.fetchall() == []


def test_every_function_has_exactly_the_callers_it_should(undone: psycopg.Connection[Any]) -> None:
    """Each role has the functions of its own. A new function stands here before it stands anywhere."""
    rows = undone.execute(
        "SELECT proname, array(SELECT role FROM unnest(%s::text[]) AS role WHERE has_function_privilege(role, oid, 'EXECUTE'))"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype",
        ([role.value for role in Role],),
    )
    assert {name: set(roles) for name, roles in rows} == EXECUTE


def test_functions_with_the_rights_of_their_owner_are_safe(undone: psycopg.Connection[Any]) -> None:
    """Each belongs to the writer, who is no member of anything, and resolves names in our schemas before a caller's own."""
    rows = undone.execute(
        "SELECT proname, pg_get_userbyid(proowner), proconfig[1] FROM pg_proc WHERE prosecdef ORDER BY proname"
    ).fetchall()
    assert rows == [
        (name, WRITER, "search_path=pg_catalog, public, pg_temp")
        for name in ("accept_quarantined", "append_events", "append_quarantined")
    ]


def test_the_writer_reads_no_evidence_of_events(undone: psycopg.Connection[Any]) -> None:
    """It has what an append needs, and of the quarantine what an acceptance copies: a fault in a function gives away nothing else."""
    privileges = undone.execute(
        "SELECT relname, attname, privilege FROM pg_class"
        " INNER JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
        " CROSS JOIN unnest(ARRAY['SELECT', 'UPDATE']) AS privilege"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND has_column_privilege(%s, pg_class.oid, attnum, privilege) ORDER BY 1, 2, 3",
        (WRITER,),
    ).fetchall()
    assert privileges == [
        ("events", "event_id", "SELECT"),
        ("log_head", "only_row", "SELECT"),
        ("log_head", "only_row", "UPDATE"),
        ("log_head", "position", "SELECT"),
        ("log_head", "position", "UPDATE"),
        ("quarantine_acceptances", "quarantine_id", "SELECT"),
        *(
            ("quarantined_callbacks", column, "SELECT")
            for column in ("body", "idempotency_token", "key_id", "quarantine_id", "received_at", "signature", "url")
        ),
    ]
    assert undone.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", (WRITER,)).fetchone() == (False,)


def test_roles_cannot_log_in_and_are_members_of_nothing(undone: psycopg.Connection[Any]) -> None:
    """They are taken by whoever DATABASE_URL names, and lead no further."""
    assert undone.execute(
        "SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)"
        " FROM pg_roles WHERE rolname = ANY(%s) ORDER BY rolname",
        ([*Role, WRITER],),
    ).fetchall() == [(role, *[False] * 7) for role in sorted([*Role, WRITER])]


FORBIDDEN: dict[str, LiteralString] = {
    "change an event": "UPDATE events SET status = 'delivered'",
    "delete events": "DELETE FROM events",
    "truncate the log": "TRUNCATE events",
    "truncate with what refers to it": "TRUNCATE events CASCADE",
    "drop the log": "DROP TABLE events",
    "drop the trigger": "DROP TRIGGER events_are_append_only ON events",
    "switch the trigger off": "ALTER TABLE events DISABLE TRIGGER ALL",
    "switch all triggers off": "SET session_replication_role = replica",
    "replace the trigger's function": "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql RETURN NULL",
    "make a table": "CREATE TABLE public.more ()",
    "change the quarantine": "UPDATE quarantined_callbacks SET reason = 'no_status'",
    "delete from the quarantine": "DELETE FROM quarantined_callbacks",
    "take the head away": "DELETE FROM log_head",
    "move the head": "UPDATE log_head SET position = position + 1",
    "lock the head": "SELECT FROM log_head FOR UPDATE",
    "insert an event": "INSERT INTO events (position) VALUES (1)",
    "insert an event further on": "INSERT INTO events (position) SELECT position + 5 FROM log_head",
    "insert into the quarantine": "INSERT INTO quarantined_callbacks (reason) VALUES ('no_status')",
    "insert an acceptance": "INSERT INTO quarantine_acceptances (reason) VALUES ('mine')",
    "change an acceptance": "UPDATE quarantine_acceptances SET reason = 'mine'",
    "delete an acceptance": "DELETE FROM quarantine_acceptances",
    "change an annotation": "UPDATE annotations SET text = 'mine'",
    "call what the functions call": "SELECT store_events(ARRAY['api'], NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
    " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_no_role_may_do(role_session: psycopg.Connection[Any], statement: LiteralString) -> None:
    """The database refuses before a trigger is asked."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        role_session.execute(statement)


@pytest.mark.parametrize("role", [PROJECTOR, READER])
def test_only_the_service_may_append(shared_database_url: str, role: Role) -> None:
    """Not through the function, nor around it."""
    with as_role(shared_database_url, role) as session:
        register_packed_arrays(session)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(query("append_events"), event_columns(new_events(1)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT accept_quarantined(NULL, '', '', '', '', '', '', '', '', '', '', '', '')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("INSERT INTO events DEFAULT VALUES")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("UPDATE log_head SET position = 0")


def test_the_service_appends_and_reads(database_url: str) -> None:
    """All of an event, its evidence too: it answers auditors."""
    with as_role(database_url, SERVICE) as session:
        register_packed_arrays(session)
        session.execute(query("append_events"), event_columns(new_events(2)))
        assert session.execute("SELECT position, signature FROM events").fetchall() == [
            (1, "c2lnbmF0dXJl"),
            (2, "c2lnbmF0dXJl"),
        ]


def test_the_service_does_not_write_what_is_derived(shared_database_url: str) -> None:
    """Only the projector knows what it has taken in."""
    with as_role(shared_database_url, SERVICE) as session:
        for table in PROJECTION_TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def test_the_reader_selects_what_it_may(shared_database_url: str) -> None:
    """By name; a star would ask for the evidence."""
    with as_role(shared_database_url, READER) as session:
        session.execute("SELECT position, status, key_id, recorded_at FROM events")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM events")
