"""Spool files as an earlier run left them, and what has come of them in the log."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg

from tests.support.serving import callback
from tracker.log.event import NewEvent
from tracker.log.spool.spool_file import Spool
from tracker.postgres.sql_files import query


def stored(database_url: str) -> list[tuple[int, UUID]]:
    """Positions and identities, by position."""
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT position, event_id FROM events ORDER BY position").fetchall()


def log_size(database_url: str) -> int:
    """Events in the log, without a look at them."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query("read_log_head")).fetchone()
        assert row is not None
        return row[0]


def numbered(events: Sequence[NewEvent]) -> list[tuple[int, UUID]]:
    """What the log holds when it has taken these, in this order."""
    return [(position, UUID(bytes=event.event_id)) for position, event in enumerate(events, 1)]


def fill(path: Path, events: Sequence[NewEvent]) -> None:
    """Put events into a spool file, as an earlier run would have."""
    spool = Spool(path, 2**30)
    for start in range(0, len(events), 500):
        spool.write(events[start : start + 500])
    spool.close()


def messages(database_url: str) -> list[int]:
    """Which messages the log knows, as their numbers, by position."""
    with psycopg.connect(database_url) as connection:
        return [int(row[0][2:], 16) for row in connection.execute("SELECT message_sid FROM events ORDER BY position")]


def voice_callback() -> dict[str, str]:
    """Signed by Twilio, and no message status: it is set aside."""
    kept = {name: value for name, value in callback("completed").items() if "Message" not in name and "Sms" not in name}
    return kept | {"CallSid": "CA" + "0" * 32}
