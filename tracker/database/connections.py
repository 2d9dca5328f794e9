"""Connections that take one of our roles for the whole session, whoever ``DATABASE_URL`` logs in as."""

from enum import StrEnum

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Role(StrEnum):
    """The database roles; the migration that creates them says what each may do."""

    SERVICE = "tracker_service"
    PROJECTOR = "tracker_projector"
    READER = "tracker_reader"


def conninfo(database_url: str, *, role: Role | None, application: str, timeout: float | None = None) -> str:
    """Connection parameters for psycopg.

    role: taken at connection time; None keeps the login role (migrations, rebuild switches).
    application: what PostgreSQL shows for the session in its own views and logs.
    timeout: seconds after which a statement is given up by the server; None: never.
    """
    given = conninfo_to_dict(database_url)
    options = [str(given["options"])] if given.get("options") else []
    # append_events relies on READ COMMITTED, and times are UTC everywhere.
    options += ["-c default_transaction_isolation=read\\ committed", "-c timezone=UTC"]
    if role is not None:
        options.append(f"-c role={role.value}")
    if timeout is not None:
        options.append(f"-c statement_timeout={int(timeout * 1000)}")
    given.setdefault("connect_timeout", 5)
    given["options"] = " ".join(options)
    given["application_name"] = application
    return make_conninfo("", **given)
