"""A login that is no superuser, as managed PostgreSQL gives one: it owns its database and may create roles."""

from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.support.database import PostgresForTests, database_of
from tests.support.events import new_events
from tracker.log.event_store import event_columns
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.migrations import migrate
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query

ROLES = (*Role, "tracker_writer")


def test_a_login_with_createrole_migrates_and_takes_the_roles(postgres: PostgresForTests) -> None:
    """It can create what the migrations create, become each of the three roles, and append as one of them. The roles of the cluster may be there
    already, made by somebody else; then it has to be given them, as a managed service's administrator would."""
    login = f"plain_{uuid4().hex[:8]}"
    with postgres.database(migrated=False) as superuser_url:
        name = urlsplit(superuser_url).path.removeprefix("/")
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'plain'").format(sql.Identifier(login))
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(login))
            )
            for role in ROLES:
                if connection.execute("SELECT rolname FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    # What CREATE ROLE itself gives its creator: to administer the role, not to take it.
                    options = "ADMIN TRUE, INHERIT FALSE, SET FALSE"
                    if connection.info.server_version < 160000:
                        options = "ADMIN OPTION"
                    connection.execute(
                        sql.SQL("GRANT {} TO {} WITH {}").format(
                            sql.Identifier(role), sql.Identifier(login), sql.SQL(options)
                        )
                    )
        parts = urlsplit(database_of(superuser_url, name))
        host = parts.netloc.rpartition("@")[2]
        url = parts._replace(netloc=f"{login}:plain@{host}").geturl()
        try:
            assert migrate(url)
            for role in Role:
                with psycopg.connect(conninfo(url, role=role, application="test"), autocommit=True) as connection:
                    assert connection.execute("SELECT current_user, session_user").fetchone() == (role.value, login)
            with psycopg.connect(conninfo(url, role=Role.SERVICE, application="test"), autocommit=True) as connection:
                register_packed_arrays(connection)
                connection.execute(query("append_events"), event_columns(new_events(3)))
                assert connection.execute("SELECT max(position) FROM events").fetchone() == (3,)
        finally:
            with psycopg.connect(superuser_url, autocommit=True) as connection:
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(login)))
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(login)))
                for role in ROLES:
                    connection.execute(
                        sql.SQL("REVOKE {} FROM {} CASCADE").format(sql.Identifier(role), sql.Identifier(login))
                    )
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))
