"""Sessions that take a role, whoever logs in."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracker.postgres.roles import Role, conninfo


@pytest.mark.parametrize("role", Role)
def test_a_session_has_its_role_from_the_start(shared_database_url: str, role: Role) -> None:
    """And its name in the server's views, and times in UTC."""
    with psycopg.connect(conninfo(shared_database_url, role=role, application="tracker test")) as connection:
        row = connection.execute(
            "SELECT current_user, current_setting('application_name'), current_setting('timezone'),"
            " current_setting('transaction_isolation'), current_setting('statement_timeout')"
        ).fetchone()
    assert row == (role.value, "tracker test", "UTC", "read committed", "0")


def test_without_a_role_the_login_stays(shared_database_url: str) -> None:
    """For migrations, which make what the roles are granted."""
    with psycopg.connect(conninfo(shared_database_url, role=None, application="tracker test")) as connection:
        assert connection.execute("SELECT current_user = session_user").fetchone() == (True,)


def test_a_statement_is_given_up_by_the_server(shared_database_url: str) -> None:
    """After the time allowed, in seconds."""
    with psycopg.connect(
        conninfo(shared_database_url, role=Role.READER, application="tracker test", timeout=0.05)
    ) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("50ms",)
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")


def test_what_the_url_says_is_kept(shared_database_url: str) -> None:
    """Options of its own, and a time limit for connecting."""
    url = make_conninfo(
        shared_database_url,
        options="-c work_mem=5MB -c timezone=Asia/Tokyo",
        connect_timeout=3,
        application_name="theirs",
    )
    ours = conninfo(url, role=Role.SERVICE, application="tracker test")
    assert conninfo_to_dict(ours)["connect_timeout"] == "3"
    with psycopg.connect(ours) as connection:
        row = connection.execute(
            "SELECT current_setting('work_mem'), current_setting('timezone'), current_user"
        ).fetchone()
    assert row == ("5MB", "UTC", "tracker_service")


def test_connecting_is_bounded() -> None:
    """A host that swallows packets must not hold a start for minutes."""
    assert conninfo_to_dict(conninfo("postgresql://h/d", role=None, application="a"))["connect_timeout"] == "5"
