"""Reading from the database for a request: within a bound, whatever state the database is in."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from tracker.errors import DatabaseUnavailableError

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]

READ_SECONDS: Final = 2.0
"""How long a question may take, waiting for a connection included."""

Answer = TypeVar("Answer")
Question = Callable[[Connection], Awaitable[Answer]]

_given_up: set["asyncio.Task[object]"] = set()
"""Questions that nobody waits for any more, kept until they have given their connections back."""


async def ask(pool: Pool, question: Question[Answer], seconds: float | None = None) -> Answer:
    """What ``question`` answers; it only reads, and may be asked again on another connection.

    Raises DatabaseUnavailableError after ``seconds``, None for READ_SECONDS, and psycopg.OperationalError when the database cannot be reached.
    """
    seconds = READ_SECONDS if seconds is None else seconds
    task = asyncio.create_task(_ask(pool, question, seconds))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except BaseException:
        task.cancel()
        raise
    if done:
        return task.result()
    # Not awaited: psycopg gives a query up only after it has asked the server to, and a server that hangs answers that
    # no better.
    _given_up.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    raise DatabaseUnavailableError(f"The database did not answer within {seconds:g} seconds.")


async def _ask(pool: Pool, question: Question[Answer], seconds: float) -> Answer:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        connection: Connection | None = None
        try:
            async with pool.connection(timeout=max(0.0, deadline - loop.time())) as connection:
                return await question(connection)
        except psycopg.OperationalError:
            # A server that was restarted leaves dead connections in the pool; the pool replaces them as they are found.
            if connection is None or not connection.broken:
                raise


def _forget(task: "asyncio.Task[object]") -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()
