"""Questions of commands to the database: the one that is configured, with the rights of the service."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from tracker.errors import DatabaseUnavailableError
from tracker.postgres.embedded.server import open_database
from tracker.postgres.roles import Role, conninfo
from tracker.settings import load_settings

QUERY_SECONDS = 30
"""A statement that takes longer is given up."""

NO_LOG = "The database has no log yet; run `tracker migrate` or `tracker serve` first."

Answer = TypeVar("Answer")


def ask_database(application: str, question: Callable[[AsyncConnection[TupleRow]], Awaitable[Answer]]) -> Answer:
    """The question's answer. application: what PostgreSQL shows for the session. Raises TrackerError, and what the question raises."""
    settings = load_settings()
    given = None if settings.database_url is None else settings.database_url.get_secret_value()
    with open_database(given, settings.data_dir) as database_url:
        service = conninfo(database_url, role=Role.SERVICE, application=application, timeout=QUERY_SECONDS)
        try:
            return asyncio.run(_ask(service, question))
        except psycopg.errors.UndefinedTable:
            raise DatabaseUnavailableError(NO_LOG) from None
        except psycopg.OperationalError as error:
            # The role comes with the first migration, too.
            no_role = f'role "{Role.SERVICE}" does not exist' in str(error)
            raise DatabaseUnavailableError(NO_LOG if no_role else f"The database does not answer: {error}") from error


async def _ask(service: str, question: Callable[[AsyncConnection[TupleRow]], Awaitable[Answer]]) -> Answer:
    async with await psycopg.AsyncConnection.connect(service, autocommit=True) as connection:
        return await question(connection)
