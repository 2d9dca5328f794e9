"""The log in PostgreSQL: one connection that appends batches."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import psycopg
import structlog

from tracker.database.queries import query
from tracker.errors import DatabaseUnavailableError
from tracker.log.event import Evidence, NewEvent, Quarantined
from tracker.log.packing import BYTEA_OID, UUID_OID, PackedArray, pack_bytes, pack_few, pack_text, pack_times, register_packed_arrays

_log = structlog.get_logger()


class Store(Protocol):
    """Where an appender puts its batches."""

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Take the events, each once, in this order. When this returns they are durable; when it raises
        DatabaseUnavailableError they may or may not be, and the same call may be repeated."""
        ...

    async def quarantine(self, callbacks: Sequence[Quarantined]) -> None:
        """The same for what is set aside."""
        ...


class EventStore:
    """A Store on one connection of its own, opened when first needed and again after a failure."""

    def __init__(self, conninfo: str, timeout: float) -> None:
        """timeout: seconds that connecting and one batch may take together."""
        self._conninfo = conninfo
        self._timeout = timeout
        self._connection: psycopg.AsyncConnection | None = None

    async def append(self, events: Sequence[NewEvent]) -> None:
        """As in Store."""
        await self._run("append_events", _event_columns(events))

    async def quarantine(self, callbacks: Sequence[Quarantined]) -> None:
        """As in Store."""
        await self._run("quarantine_callbacks", _quarantine_columns(callbacks))

    async def close(self) -> None:
        """Give the connection back. The store may be used again; it would connect anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _run(self, name: str, columns: dict[str, PackedArray]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                connection = self._connection or await self._connect()
                await connection.execute(query(name), columns, prepare=True)
        except (psycopg.Error, OSError, TimeoutError) as error:
            # After any failure the session's state is unknown: start from a new one.
            await self._discard()
            raise DatabaseUnavailableError(f"{name}: {type(error).__name__}: {error}") from error
        except BaseException:
            # Cancelled in the middle: the answer of this statement must not be taken for the next one's.
            await self._discard()
            raise

    async def _connect(self) -> psycopg.AsyncConnection:
        self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        register_packed_arrays(self._connection)
        _log.info("store.connected")
        return self._connection

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not close(): that would wait for a server that does not answer.
            connection.pgconn.finish()


def _event_columns(events: Sequence[NewEvent]) -> dict[str, PackedArray]:
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
