"""The logins of deploy/postgres/10-roles.sql: each may do what its service does, and nothing else."""

import psycopg
import pytest
from psycopg import sql

from tests.deployment.conftest import LOGINS
from tracker.postgres.migrations import pending_migrations
from tracker.postgres.roles import Role, conninfo


def test_the_passwords_are_the_secrets(superuser_url: str) -> None:
    """Each login has one, stored as SCRAM; none is the name of a file or the text of a command."""
    with psycopg.connect(superuser_url) as connection:
        rows = connection.execute(
            "SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid"
            " WHERE rolcanlogin AND rolname = ANY(%s)",
            [list(LOGINS)],
        ).fetchall()
    assert dict(rows) == dict.fromkeys(LOGINS, True)


def test_no_login_may_do_more_than_log_in(superuser_url: str) -> None:
    """No superuser, no maker of roles or databases, nobody who passes by row security."""
    with psycopg.connect(superuser_url) as connection:
        rows = connection.execute(
            "SELECT rolname FROM pg_roles"
            " WHERE (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
            " AND rolname NOT LIKE 'pg\\_%%' AND rolname <> current_user"
        ).fetchall()
    assert rows == []


def test_the_owner_migrates(urls: dict[str, str]) -> None:
    """Without being allowed to create roles; and once is enough."""
    assert pending_migrations(urls["tracker_owner"]) == []


@pytest.mark.parametrize(
    ("login", "role"),
    [("tracker_web", Role.SERVICE), ("tracker_projections", Role.PROJECTOR), ("grafana", Role.READER)],
)
def test_a_login_takes_its_own_role_and_no_other(login: str, role: Role, urls: dict[str, str]) -> None:
    """Whoever gets hold of one service's URL has what that service has."""
    with psycopg.connect(conninfo(urls[login], role=role, application="test")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role.value,)
    for other in set(Role) - {role}:
        with pytest.raises(psycopg.OperationalError, match="permission denied to set role"):
            psycopg.connect(conninfo(urls[login], role=other, application="test"))


@pytest.mark.parametrize("login", sorted(LOGINS - {"tracker_owner"}))
def test_only_the_owner_changes_the_schema(login: str, urls: dict[str, str]) -> None:
    """So nothing that runs for long could take away what keeps the log append-only."""
    with psycopg.connect(urls[login], autocommit=True, options="-c default_transaction_read_only=off") as connection:
        for statement in (
            "DROP TRIGGER events_are_append_only ON events",
            "CREATE TABLE mine (id int)",
            "DELETE FROM events",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_grafana_sees_no_evidence(urls: dict[str, str]) -> None:
    """Without taking a role first: Grafana takes none."""
    with psycopg.connect(urls["grafana"], autocommit=True) as connection:
        connection.execute("SELECT position, message_sid, status FROM events")
        connection.execute("SELECT * FROM message_state")
        for column in ("body", "signature", "url", "idempotency_token"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SELECT {} FROM events").format(sql.Identifier(column)))


def test_a_query_of_grafana_ends(urls: dict[str, str]) -> None:
    """And cannot write, whatever is granted one day."""
    with psycopg.connect(urls["grafana"]) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("30s",)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)


def test_nobody_else_comes_in(superuser_url: str, urls: dict[str, str]) -> None:
    """A login of another database of the same server is refused."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(urls["grafana"].replace("grafana@", "stranger@"))
