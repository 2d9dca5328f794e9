"""What keeps callbacks, put together for one worker: the log, the spool, the drain between them, and the appender in front."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from tracker.errors import SpoolUnavailableError
from tracker.log.appender import Appender
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import EventStore
from tracker.log.failover import Failover
from tracker.log.spool.drain import Drain
from tracker.log.spool.orphans import Leftovers, worker_file
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool
from tracker.log.spool.spooled_record import SpoolSize
from tracker.postgres.roles import Role, conninfo
from tracker.settings import Settings
from tracker.web.telemetry.shared_counters import SpoolTotals, WebStats
from tracker.web.worker_context import Runtime

DRAIN_SECONDS = 2.0
"""How long a drained batch may take. Nobody waits for it, but a stop does."""


class Receiver:
    """Keeps callbacks from ``open`` to ``close``."""

    def __init__(self, runtime: Runtime, stats: WebStats) -> None:
        settings = runtime.settings
        self._stats = stats
        self._thread = ThreadPoolExecutor(1, "spool")
        directory = spool_directory(settings)
        self._limit = settings.spool_max_bytes // settings.workers
        spool = Spool(worker_file(directory, runtime.worker), self._limit)
        on_damage = partial(stats.count_spool_damage, files=1)
        self._journal = Journal(spool, self._thread, lambda _: self._publish(), on_damage=on_damage)
        self._leftovers = (
            Leftovers(directory, settings.workers, self._thread, self._publish, on_damage)
            if runtime.worker == 0
            else None
        )
        self._store = _store(runtime, "tracker-append", settings.append_timeout)
        self._drain_store = _store(runtime, "tracker-drain", DRAIN_SECONDS)
        self.database = Availability(settings.append_timeout)
        self._drain = Drain(
            self._drain_store,
            self._journal,
            self._leftovers,
            self.database,
            live_seconds=settings.append_timeout,
            on_lost=lambda events: stats.count_spool_damage(lost_events=events),
        )
        failover = Failover(self._store, self._journal, self.database, self._drain.wake)
        self.accepts_callbacks = failover.accepts_callbacks
        self.appender = Appender(failover, spool=failover.spool, on_batch=stats.count_batch)

    async def open(self) -> None:
        """Begin to drain what an earlier run left. A spool that cannot be opened keeps nobody from taking callbacks."""
        with suppress(SpoolUnavailableError):
            # The journal logs it, and tries again with every batch.
            await self._journal.open()
        self._drain.start()

    async def close(self) -> None:
        """Answer what was received; what is still in the spool stays there. Takes seconds at most, whatever the database does."""
        await self.appender.drain()
        await self._drain.stop()
        for store in (self._store, self._drain_store):
            await store.close()
        try:
            await self._journal.close()
        finally:
            self._thread.shutdown()

    def _publish(self) -> None:
        own, left = self._journal.size, self._leftovers.size if self._leftovers else SpoolSize()
        self._stats.set_spool(
            SpoolTotals(
                own.events + left.events,
                own.refused + left.refused,
                own.bytes + left.bytes,
                self._limit,
                int(self._journal.is_unusable),
                int(self._journal.is_full),
                self._leftovers.kept if self._leftovers else 0,
            )
        )


def spool_directory(settings: Settings) -> Path:
    """Where the spool files are."""
    return settings.data_dir / "spool"


def _store(runtime: Runtime, application: str, seconds: float) -> EventStore:
    """The server gives a statement up when we do: sessions that wait for a lock must not pile up behind one another."""
    return EventStore(
        conninfo(runtime.database_url, role=Role.SERVICE, application=application, timeout=seconds), seconds
    )
