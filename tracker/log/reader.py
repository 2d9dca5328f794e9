"""Reads the log for people: the whole history of one message."""

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from tracker.database.queries import query
from tracker.log.event import Event


async def read_history(connection: AsyncConnection[TupleRow], message_sid: str) -> list[Event]:
    """The events of a message, by position; none for a SID that nothing was said of. Raises psycopg.Error."""
    # Binary: the bodies come as they are rather than as hexadecimal text of twice the length.
    async with connection.cursor(binary=True, row_factory=class_row(Event)) as cursor:
        await cursor.execute(query("read_message_events"), {"message_sid": message_sid})
        return await cursor.fetchall()
