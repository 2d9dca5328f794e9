"""Faults that need an operator while callbacks are still accepted: in ``/readyz``, ``/healthz`` and ``tracker_fault{fault}``.

To add a fault: add its name to one of the two tuples of names, write a function that returns it while it lasts, and add the function to
``LOCAL_CHECKS`` (it reads only memory) or ``DATABASE_CHECKS`` (it queries the database).
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal

import msgspec
import psycopg
from psycopg.rows import dict_row

from projections.runner import RUNNER_LOCK
from tracker.errors import LogHeadMissingError
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query
from tracker.web.telemetry.shared_counters import WebStats

LocalFaultName = Literal["spool_unusable", "spool_damaged"]
DatabaseFaultName = Literal["log_head_missing", "fsync_off", "log_rewound", "runner_lock_held", "login_is_superuser"]

LOCAL_FAULTS: Final[tuple[LocalFaultName, ...]] = ("spool_unusable", "spool_damaged")
"""Names of faults that a worker detects by itself."""

DATABASE_FAULTS: Final[tuple[DatabaseFaultName, ...]] = (
    "log_head_missing", "fsync_off", "log_rewound", "runner_lock_held", "login_is_superuser",
)  # fmt: skip
"""Names of faults that are detected in the database; unknown while it does not answer."""

LOGIN_CHECK_SECONDS: Final = 5.0
"""Statement timeout of ``find_login_fault``."""


class Fault(msgspec.Struct, frozen=True):
    """A fault that exists now."""

    name: LocalFaultName | DatabaseFaultName
    """Label value of ``tracker_fault``."""
    reason: str
    """One sentence for the operator: what is wrong, and what to do. No secret, no phone number."""


Connection = psycopg.AsyncConnection[Any]
LocalCheck = Callable[[WebStats], Iterable[Fault]]
"""Returns the faults that shared memory shows. It runs on the event loop or a thread: no I/O, and it does not raise."""
DatabaseCheck = Callable[[Connection], Awaitable[Iterable[Fault]]]
"""Returns the faults that the database shows. It may raise psycopg.Error, which means that the database does not answer."""

_REASONS: Final[dict[DatabaseFaultName, str]] = {
    "log_head_missing": str(LogHeadMissingError()),
    "fsync_off": "PostgreSQL runs with fsync or full_page_writes off: a crash of its machine loses callbacks that were answered 200;"
    " set both to on",
    "log_rewound": "the log was put back to an earlier state than the projections: run tracker rebuild",
    "runner_lock_held": "a session that is no projector holds the projector's advisory lock, so no projection goes on: end it, see"
    f" pg_locks, objid {RUNNER_LOCK}",
    "login_is_superuser": "the login of DATABASE_URL is a superuser or owns the log, so it could change it: give the server a login"
    " that is only a member of tracker_service, see docs/OPERATIONS.md",
}


async def find_faults_of_database(connection: Connection) -> list[Fault]:
    """Faults that one query shows: of the server's settings, the log, the projector's lock and this session's login."""
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(query("read_database_faults"), {"runner_key": RUNNER_LOCK})
    found = await cursor.fetchone() or {}
    return [Fault(name, reason) for name, reason in _REASONS.items() if found.get(name)]


def find_login_fault(database_url: str) -> Fault | None:
    """``login_is_superuser`` of the login in this URL, on a connection of its own as the web workers open them. Raises psycopg.Error."""
    info = conninfo(database_url, role=Role.SERVICE, application="tracker-login-check", timeout=LOGIN_CHECK_SECONDS)
    with psycopg.connect(info, autocommit=True) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        found = cursor.execute(query("read_database_faults"), {"runner_key": RUNNER_LOCK}).fetchone() or {}
    name: DatabaseFaultName = "login_is_superuser"
    return Fault(name, _REASONS[name]) if found.get(name) else None


def find_spool_faults(stats: WebStats) -> Iterable[Fault]:
    """``spool_unusable`` while a worker cannot use its spool, ``spool_damaged`` while a damaged file is in the spool directory."""
    spool, damage = stats.spool(), stats.spool_damage()
    if spool.unusable:
        yield Fault(
            "spool_unusable",
            f"{spool.unusable} spools cannot be used: callbacks are refused while the database is away; "
            "the log says why (spool.unavailable)",
        )
    if spool.kept_damaged or damage.lost_events:
        yield Fault(
            "spool_damaged",
            f"{spool.kept_damaged} damaged spool files are kept in the spool directory, and {damage.lost_events} events of such files "
            "were lost since the start; the log names them (spool.damaged, spool.salvaged)",
        )


LOCAL_CHECKS: tuple[LocalCheck, ...] = (find_spool_faults,)
DATABASE_CHECKS: tuple[DatabaseCheck, ...] = (find_faults_of_database,)


def find_local_faults(stats: WebStats) -> list[Fault]:
    """Faults of this server that need no database to be known, in the order of ``LOCAL_CHECKS``."""
    return [fault for check in LOCAL_CHECKS for fault in check(stats)]


async def find_database_faults(connection: Connection) -> list[Fault]:
    """Faults that the database shows, in the order of ``DATABASE_CHECKS``. Raises psycopg.Error."""
    return [fault for check in DATABASE_CHECKS for fault in await check(connection)]
