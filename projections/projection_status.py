"""Where the projections stand, for operators."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

from projections.projection import Projection
from projections.runner import RUNNER_LOCK
from tracker.errors import LogHeadMissingError
from tracker.postgres.sql_files import query

BEHIND_SECONDS: Final = 10.0
"""A projection that has left an event waiting for longer is behind, not just busy."""


class Health(StrEnum):
    """How a projection does."""

    OK = "ok"
    BEHIND = "behind"
    """It has left events waiting for more than BEHIND_SECONDS."""
    STOPPED = "stopped"
    """It does not go on: an event stopped it, or its rows are of another version than the program."""
    NEW = "new"
    """No runner has ever kept it."""


class ProjectionStatus(msgspec.Struct, frozen=True):
    """One projection."""

    name: str
    health: Health
    version: int | None
    """Of the rows; None: there are none yet."""
    program_version: int | None
    """Of this program; None: it does not know the projection."""
    position: int
    """The last event that it has taken in."""
    lag_events: int
    """Events of the log that it has not."""
    lag_seconds: float
    """How long the oldest of these has been in the log; 0 when there are none."""
    failed_position: int | None
    """Of the event that stopped it."""
    failed_reason: str | None


class Status(msgspec.Struct, frozen=True):
    """All of them."""

    log_position: int
    active: bool
    """Whether a runner keeps them now."""
    instance_id: UUID | None
    """Of the server whose runner is active, or was last; None: there never was one."""
    since: datetime | None
    """When that runner became active."""
    projections: list[ProjectionStatus]

    @property
    def stopped(self) -> bool:
        """Whether any does not go on."""
        return any(each.health is Health.STOPPED for each in self.projections)


def read_status(connection: psycopg.Connection[Any], projections: Sequence[Projection[Any]]) -> Status:
    """Where these projections, and others that were kept, stand. connection: in autocommit mode.

    Raises psycopg.Error, LogHeadMissingError.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        runner = connection.cursor(row_factory=dict_row).execute(query("read_runner"), {"key": RUNNER_LOCK}).fetchone()
        rows = connection.cursor(row_factory=dict_row).execute(query("read_projection_health")).fetchall()
    if runner is None:
        raise LogHeadMissingError
    program = {projection.name: projection.version for projection in projections}
    found = [_status(row, program.get(row["name"])) for row in rows]
    missing = [
        ProjectionStatus(name, Health.NEW, None, version, 0, runner["log_position"], 0.0, None, None)
        for name, version in program.items()
        if name not in {each.name for each in found}
    ]
    return Status(
        runner["log_position"], runner["is_active"], runner["instance_id"], runner["acquired_at"], found + missing
    )


def _status(row: dict[str, Any], program_version: int | None) -> ProjectionStatus:
    """From a row of ``read_projection_health``."""
    if row["failed_position"] is not None or program_version not in {None, row["version"]}:
        health = Health.STOPPED
    elif row["lag_seconds"] > BEHIND_SECONDS:
        health = Health.BEHIND
    else:
        health = Health.OK
    return ProjectionStatus(health=health, program_version=program_version, **row)
