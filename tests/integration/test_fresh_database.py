"""A database that has just been made: nothing has been analysed, and plans are kept for as long as a session lives."""

import asyncio
from uuid import uuid4

import psycopg

from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import new_events
from tracker.log.event_store import EventStore
from tracker.postgres.roles import Role, conninfo

SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'events'"

BATCHES = 12
"""More than the five after which PostgreSQL keeps a plan for good."""


def scans(database_url: str) -> int:
    """How often all of the log was read, by any session that has ended."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(SCANS).fetchone()
    assert row is not None
    return row[0]


def test_nothing_scans_the_log(database_url: str) -> None:
    """Neither appends nor the projector, whose plans were all made while the table was empty: at forty thousand events a scan made an
    append ten times as dear."""
    before = scans(database_url)

    async def append() -> None:
        store = EventStore(conninfo(database_url, role=Role.SERVICE, application="tests"), 10)
        for number in range(BATCHES):
            await store.append(new_events(40, start=1000 * number))
        await store.close()

    with psycopg.connect(
        conninfo(database_url, role=Role.PROJECTOR, application="tests"), autocommit=True
    ) as connection:
        runner = Runner(connection, PROJECTIONS, batch_events=40)
        assert runner.try_to_start(uuid4())
        runner.run_once()
        asyncio.run(append())
        while runner.run_once():
            pass
    assert scans(database_url) == before
