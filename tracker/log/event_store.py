"""The log in PostgreSQL: one connection that appends batches.

A batch is one transaction and one round trip, and gets dense positions (docs/adr/0001-dense-positions.md).
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import psycopg
import structlog

from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.record import Record
from tracker.postgres.binary_arrays import (
    BYTEA_OID,
    UUID_OID,
    PackedArray,
    pack_bytes,
    pack_few,
    pack_text,
    pack_times,
)
from tracker.postgres.direct_connection import DirectConnection
from tracker.postgres.roles import Role
from tracker.postgres.sql_files import statement

_log = structlog.get_logger()

_AWAY: Final = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58"})
"""Classes of errors that are about the server and not about what it was given: no connection; read only; login refused; no such
database; deadlock; no disk, memory or connection left; lock not available; shutdown or timeout; I/O error. Of others it is found out
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_LEAST_SECONDS: Final = 0.01
"""Time for a statement whose connection took all of the time allowed."""


Kept = Literal["appended", "spooled"]
"""Where records are: in the database, or on the local disk, from where they are drained into it."""


class Store(Protocol):
    """Something that batches are appended to."""

    async def append(self, records: Sequence[Record]) -> Kept:
        """Take events into the log and set callbacks aside, each once, in this order. When this returns they are durable, and when
        there were no records, some could have been taken.

        DatabaseUnavailableError: they may or may not be durable, and the same call may be repeated. RecordsRefusedError: the
        database takes others, but not these.
        """
        ...


class InterruptibleStore(Store, Protocol):
    """A Store that need not be waited for."""

    def interrupt(self) -> None:
        """Let what is under way fail now, as if the connection had broken."""
        ...


class EventStore:
    """A Store on one connection of its own, opened when first needed and again after a failure."""

    def __init__(self, conninfo: str, timeout: float) -> None:
        """conninfo: as tracker_service, which is checked. timeout: seconds that connecting and one statement may take together."""
        self._conninfo = conninfo
        self._timeout = timeout
        self._connection: DirectConnection | None = None

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        try:
            await self._append(records)
            return "appended"
        except DatabaseUnavailableError:
            raise
        except Exception as error:
            # The server's refusal, or a fault of ours in packing. When it refuses even nothing, it is not about these records.
            reason = _reason(error)
            if not records:
                raise DatabaseUnavailableError(reason) from error
            await self.append(())
            raise RecordsRefusedError(reason) from error

    async def close(self) -> None:
        """Give the connection back. The store may be used again; it would connect anew."""
        self._discard()

    def interrupt(self) -> None:
        """As in InterruptibleStore. Does nothing while a connection is being made."""
        if self._connection is not None:
            self._connection.interrupt()

    async def _append(self, records: Sequence[Record]) -> None:
        events = [record for record in records if isinstance(record, NewEvent)]
        if len(events) < len(records):
            await self._run(
                "quarantine_callbacks", _quarantine_columns([each for each in records if isinstance(each, Quarantined)])
            )
            if not events:
                return
        if len({event.event_id for event in events}) < len(events):
            # append_events() compares a batch with the log, not with itself.
            events = list({event.event_id: event for event in events}.values())
        await self._run("append_events", event_columns(events))

    async def _run(self, name: str, columns: dict[str, PackedArray]) -> None:
        """Raises DatabaseUnavailableError, or psycopg.Error when the server answers that it will not take this."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout
        wanted = statement(name)
        try:
            connection = await self._connected(deadline)
            await connection.execute(
                wanted, [columns[each] for each in wanted.parameters], max(deadline - clock(), _LEAST_SECONDS)
            )
        except (psycopg.Error, OSError, TimeoutError) as error:
            sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
            if sqlstate and sqlstate[:2] not in _AWAY:
                raise
            # The session's state is unknown: start from a new one.
            self._discard()
            reason = f"no connection within {self._timeout} s" if isinstance(error, TimeoutError) else _reason(error)
            raise DatabaseUnavailableError(f"{name}: {reason}") from error

    async def _connected(self, deadline: float) -> DirectConnection:
        """The connection; a new one where there was none, or the server has gone since. deadline: on the event loop's clock."""
        if self._connection is None or not self._connection.is_open:
            connection = await DirectConnection.connect(self._conninfo, self._timeout, Role.SERVICE)
            try:
                left = max(deadline - asyncio.get_running_loop().time(), _LEAST_SECONDS)
                await connection.execute(statement("require_durable_commits"), (), left)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            _log.info("store.connected")
        return self._connection

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _reason(error: Exception) -> str:
    """What happened, without what the server says of the values it was given."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        words = (type(error).__name__, error.sqlstate, error.diag.constraint_name)
        return " ".join(word for word in words if word)
    if isinstance(error, psycopg.OperationalError | OSError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def event_columns(events: Sequence[NewEvent]) -> dict[str, PackedArray]:
    """The parameters of ``append_events``."""
    callbacks = [event.callback for event in events]
    return {
        "event_ids": pack_bytes(UUID_OID, [event.event_id for event in events]),
        "sources": pack_few([event.source for event in events]),
        "account_sids": pack_few([callback.account_sid for callback in callbacks]),
        "message_sids": pack_text([callback.message_sid for callback in callbacks]),
        "statuses": pack_few([callback.status for callback in callbacks]),
        "error_codes": pack_few([callback.error_code for callback in callbacks]),
        "raw_dlr_done_dates": pack_few([callback.raw_dlr_done_date for callback in callbacks]),
        "channels": pack_few([callback.channel for callback in callbacks]),
        "from_addresses": pack_few([callback.from_address for callback in callbacks]),
        "to_addresses": pack_text([callback.to_address for callback in callbacks]),
        "messaging_service_sids": pack_few([callback.messaging_service_sid for callback in callbacks]),
        "received_ats": pack_times([event.received_at for event in events]),
        **_evidence_columns([event.evidence for event in events]),
        "error_messages": pack_few([callback.error_message for callback in callbacks]),
    }


def _quarantine_columns(callbacks: Sequence[Quarantined]) -> dict[str, PackedArray]:
    return {
        "quarantine_ids": pack_bytes(UUID_OID, [callback.quarantine_id for callback in callbacks]),
        "reasons": pack_text([callback.reason for callback in callbacks]),
        "received_ats": pack_times([callback.received_at for callback in callbacks]),
        **_evidence_columns([callback.evidence for callback in callbacks]),
    }


def _evidence_columns(evidence: Sequence[Evidence]) -> dict[str, PackedArray]:
    return {
        "urls": pack_few([each.url for each in evidence]),
        "bodies": pack_bytes(BYTEA_OID, [each.body for each in evidence]),
        "signatures": pack_text([each.signature for each in evidence]),
        "idempotency_tokens": pack_text([each.idempotency_token for each in evidence]),
        "key_ids": pack_few([each.key_id for each in evidence]),
    }
