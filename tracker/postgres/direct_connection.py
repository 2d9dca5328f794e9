"""A connection for the few statements that are executed thousands of times: prepared, with parameters that are packed already.

psycopg's cursors determine, at each execution, how the statement is written, how each parameter is adapted, and whether it is
worth preparing. That costs a fifth of a millisecond per batch (docs/adr/0004-binary-arrays.md). This module does the rest, with
psycopg's wrapper of libpq (https://www.psycopg.org/psycopg3/docs/api/pq.html), as libpq's manual describes it
(https://www.postgresql.org/docs/current/libpq-async.html).
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

import psycopg
from psycopg.abc import ConnDict
from psycopg.conninfo import conninfo_attempts_async, conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic, error_from_result
from psycopg.pq import ConnStatus, ExecStatus

from tracker.logging_setup import mask
from tracker.postgres.roles import Role
from tracker.postgres.sql_files import Statement, query

_BINARY: Final = 1
_DONE: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Packed(Protocol):
    """A parameter as it is sent."""

    @property
    def oid(self) -> int:
        """Of its type."""
        ...

    @property
    def data(self) -> bytes:
        """In the type's binary format."""
        ...


class DirectConnection:
    """One statement at a time, each its own transaction. It listens between statements too, so it knows when the server has gone."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """connection: just made, and from now on this object's own."""
        # Kept, because it would complain of being forgotten while it is open.
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._pgconn.socket
        self._prepared: set[str] = set()
        self._answer: asyncio.Future[None] | None = None
        self._refusal: psycopg.Error | None = None
        self._warning: str | None = None
        connection.add_notice_handler(self._note)
        self._loop.add_reader(self._descriptor, self._read)

    @classmethod
    async def connect(cls, conninfo: str, seconds: float, role: Role | None = None) -> "DirectConnection":
        """role: that the session must have; None for any. A session that has another one, or another isolation level than READ COMMITTED,
        is refused: a proxy between may leave the parameters out that ask for them.

        Where there are several hosts, or addresses of one, each that is tried has its equal share of the time that is left: psycopg
        gives each at least two seconds, so that behind a first one that does not answer no other would get its turn.

        Raises psycopg.OperationalError, or TimeoutError when it takes longer.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout(seconds):
            *others, last = await conninfo_attempts_async(conninfo_to_dict(conninfo))
        for number, attempt in enumerate(others):
            left = max(deadline - asyncio.get_running_loop().time(), 0)
            try:
                return await cls._connect(attempt, left / (len(others) - number + 1), role)
            except (psycopg.OperationalError, TimeoutError):
                continue
        return await cls._connect(last, max(deadline - asyncio.get_running_loop().time(), 0), role)

    @classmethod
    async def _connect(cls, attempt: ConnDict, seconds: float, role: Role | None) -> "DirectConnection":
        async with asyncio.timeout(seconds):
            connection = await psycopg.AsyncConnection.connect(make_conninfo("", **attempt), autocommit=True)
            try:
                if role is not None:
                    await _check_session(connection, role)
            except BaseException:
                await connection.close()
                raise
            return cls(connection)

    @property
    def is_open(self) -> bool:
        """Whether the server is there, as far as is known."""
        return self._pgconn.status == ConnStatus.OK

    async def execute(self, statement: Statement, parameters: Sequence[Packed], seconds: float) -> None:
        """Execute a statement, whose rows nobody wants, and wait for the server's answer.

        Raises psycopg.Error when the server refuses; psycopg.OperationalError, and the connection is closed, when it has gone, does not
        answer within ``seconds``, or answers with a warning. A commit that a synchronous standby has not confirmed is one: it is in doubt.
        """
        deadline = self._loop.time() + seconds
        if statement.name not in self._prepared:
            self._pgconn.send_prepare(statement.name.encode(), statement.text, [each.oid for each in parameters])
            await self._wait_for_answer(deadline, seconds)
            self._prepared.add(statement.name)
        self._pgconn.send_query_prepared(
            statement.name.encode(), [each.data for each in parameters], [_BINARY] * len(parameters), _BINARY
        )
        await self._wait_for_answer(deadline, seconds)

    def close(self) -> None:
        """Close it, whatever is under way; that fails then. It may be closed already."""
        self._fail(psycopg.OperationalError("the connection was closed"))

    def interrupt(self) -> None:
        """Let what is under way fail now, as if the connection had broken."""
        if self.is_open:
            with socket.socket(fileno=os.dup(self._descriptor)) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    async def _wait_for_answer(self, deadline: float, seconds: float) -> None:
        """Raises what the server answers if that is an error."""
        self._refusal = self._warning = None
        self._answer = answer = self._loop.create_future()
        timer = self._loop.call_at(
            deadline, self._fail, psycopg.OperationalError(f"the server did not answer within {seconds:.3g} s")
        )
        try:
            self._write()
            await answer
        except BaseException:
            # This answer must not be taken for the next one's.
            self.close()
            raise
        finally:
            timer.cancel()
        if self._refusal is not None:
            raise self._refusal
        if self._warning is not None:
            self.close()
            raise psycopg.OperationalError(self._warning)

    def _note(self, notice: Diagnostic) -> None:
        """A message of the server beside its answer. Warnings are kept for the caller of ``execute``."""
        if notice.severity_nonlocalized == "WARNING":
            self._warning = mask(f"the server warned: {notice.sqlstate} {notice.message_primary}")

    def _write(self) -> None:
        """Send what libpq holds; when the socket takes no more, go on when it does."""
        if not self.is_open:
            return
        try:
            is_all = self._pgconn.flush() == 0
        except psycopg.Error as error:
            self._fail(error)
            return
        if is_all:
            self._loop.remove_writer(self._descriptor)
        else:
            self._loop.add_writer(self._descriptor, self._write)

    def _read(self) -> None:
        """The server has said something, or has gone."""
        try:
            self._pgconn.consume_input()
            while self._answer is not None and not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    answer, self._answer = self._answer, None
                    answer.set_result(None)
                elif result.status not in _DONE:
                    self._refusal = error_from_result(result)
        except psycopg.Error as error:
            self._fail(error)

    def _fail(self, error: psycopg.Error) -> None:
        """Close the connection; who waits for an answer gets this error, or what the server had said before."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._descriptor = -1
            self._pgconn.finish()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(self._refusal or error)


async def _check_session(connection: psycopg.AsyncConnection[Any], role: Role) -> None:
    """Raises psycopg.OperationalError when the session is not what its connection parameters ask for."""
    row = await (await connection.execute(query("read_session"))).fetchone()
    if row != (role.value, "read committed"):
        raise psycopg.OperationalError(
            f"the session is {row}, not {role.value} at READ COMMITTED: a proxy between leaves out the connection's options;"
            " connect directly, or let the proxy pass them on"
        )
