"""A connection that gives a server up that does not answer.

PostgreSQL's own timeouts need a server that runs: one that is frozen, or behind a cable that was pulled, lets its clients wait for
ever.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

_Answer = TypeVar("_Answer")


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """Raises psycopg.OperationalError, and is broken, when an answer takes too long."""

    answer_seconds: float = 5.0
    """That the server may take for an answer."""

    async def wait(self, gen: PQGen[_Answer], interval: float = 0.1, timeout: float | None = None) -> _Answer:  # noqa: ASYNC109  # psycopg's
        """As in psycopg, within ``answer_seconds``. interval, timeout: seconds."""
        seconds = self.answer_seconds if timeout is None else timeout
        try:
            return await super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # The answer may still come, and must not be taken for the next one's.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {seconds:.3g} s") from error
