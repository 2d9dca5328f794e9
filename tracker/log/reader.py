"""Reads the log for people: the history of one message part by part, and chosen events with their evidence."""

from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from tracker.log.event import Event
from tracker.postgres.sql_files import query


async def read_facts(connection: AsyncConnection[TupleRow], message_sid: str, after: int, limit: int) -> list[TupleRow]:
    """What the fold reads of the message's next ``limit`` events behind a position, in log order. Raises psycopg.Error."""
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query("read_message_facts"), {"message_sid": message_sid, "after": after, "limit": limit})
        return await cursor.fetchall()


async def read_events(connection: AsyncConnection[TupleRow], positions: Sequence[int], max_bytes: int) -> list[Event]:
    """The events at these positions, in log order, as far as bodies and URLs fit into ``max_bytes``; at least the first.

    Raises psycopg.Error.
    """
    # Binary: the bodies come as they are rather than as hexadecimal text of twice the length.
    async with connection.cursor(binary=True, row_factory=class_row(Event)) as cursor:
        await cursor.execute(query("read_events"), {"positions": list(positions), "max_bytes": max_bytes})
        return await cursor.fetchall()
