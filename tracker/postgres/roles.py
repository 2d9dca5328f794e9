"""Connections that take one of our roles for the whole session, whoever ``DATABASE_URL`` logs in as."""

from enum import StrEnum
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_NETWORK: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Seconds, but tcp_user_timeout milliseconds. Half a minute after a server has gone from the network its connections fail; by default
that takes two hours (https://www.postgresql.org/docs/current/libpq-connect.html). ``DATABASE_URL`` may say otherwise."""


_PROJECTOR_PLANS: Final = ("enable_seqscan=off", "plan_cache_mode=force_generic_plan", "jit=off")
"""Its statements are few, prepared, and all walk an index. Plans that were made while a table was empty must not scan it later, and
estimating again, for each of a thousand message SIDs in a parameter, how common it is costs more than looking it up."""


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
    if role is Role.PROJECTOR:
        options += [f"-c {setting}" for setting in _PROJECTOR_PLANS]
    if timeout is not None:
        options.append(f"-c statement_timeout={int(timeout * 1000)}")
    for name, value in _NETWORK.items():
        given.setdefault(name, value)
    given["options"] = " ".join(options)
    given["application_name"] = application
    return make_conninfo("", **given)
