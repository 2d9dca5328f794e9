"""``/metrics``: every metric this program shows, declared here with its help text and labels.

Names are interface. What is counted in the web workers comes from ``WebStats``; what is known of the log and the projections comes
from the database. All of it is read and rendered at most once per second (``metrics_rendering``), whatever scrapes come.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
import structlog
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from tracker.errors import DatabaseUnavailableError
from tracker.postgres.sql_files import query
from tracker.queries.reads import ask
from tracker.web.telemetry.derived_metrics import DerivedCollector, read_series
from tracker.web.telemetry.faults import DATABASE_FAULTS, LOCAL_FAULTS, Fault, find_database_faults, find_local_faults
from tracker.web.telemetry.metrics_rendering import MEDIA_TYPES, MetricsFormat, choose_format, encode_metrics
from tracker.web.telemetry.shared_counters import BATCH_BOUNDS, RESULTS, SECONDS_BOUNDS, Histogram, WebStats

_log = structlog.get_logger()

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]

SCRAPE_SECONDS: Final = 5.0
"""Time that a scrape waits for the database. Prometheus gives a scrape up after ten seconds."""

VERSION: Final = version("twilio-status-tracker")


class WebCollector(Collector):
    """What the web workers counted."""

    def __init__(self, stats: WebStats) -> None:
        self._stats = stats

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering reads nothing."""
        return self._families(dict.fromkeys(RESULTS, 0.0), _empty(SECONDS_BOUNDS), _empty(BATCH_BOUNDS))

    def collect(self) -> Iterable[Metric]:
        """The counts of this moment."""
        return self._families(dict(self._stats.results()), self._stats.seconds(), self._stats.batches())

    def _families(self, results: dict[Any, float], seconds: Histogram, batches: Histogram) -> Iterator[Metric]:
        callbacks = CounterMetricFamily(
            "tracker_callbacks", "Requests to the webhook by what became of them.", labels=["result"]
        )
        for result, count in results.items():
            callbacks.add_metric([result], count)
        yield callbacks
        yield HistogramMetricFamily(
            "tracker_callback_seconds",
            "From a webhook request's first byte to its answer, in seconds.",
            buckets=seconds.cumulative(),
            sum_value=seconds.total,
        )
        yield HistogramMetricFamily(
            "tracker_append_batch_events",
            "Events that were appended to the log in one transaction.",
            buckets=batches.cumulative(),
            sum_value=batches.total,
        )
        quarantined = CounterMetricFamily(
            "tracker_quarantined_callbacks", "Verified callbacks that were set aside, by reason.", labels=["reason"]
        )
        for reason, count in self._stats.quarantined().items():
            quarantined.add_metric([reason], count)
        yield quarantined
        refused = CounterMetricFamily(
            "tracker_refused_callbacks",
            "Webhook requests that were refused as not verified; account: whether they name an account of the settings.",
            labels=["account"],
        )
        for account, count in self._stats.refused().items():
            refused.add_metric([account], count)
        yield refused
        build = GaugeMetricFamily("tracker_build_info", "The running version; always 1.", labels=["version"])
        build.add_metric([VERSION], 1)
        yield build


class SpoolCollector(Collector):
    """What waits on the local disk, over all workers."""

    def __init__(self, stats: WebStats) -> None:
        self._stats = stats

    def describe(self) -> Iterable[Metric]:
        """The families; nothing but memory is read."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """The sizes of this moment."""
        spool = self._stats.spool()
        gauges = (
            ("tracker_spool_events", "Events on the local disk that wait for the database.", spool.events),
            ("tracker_spool_refused_events", "Records on the local disk that the database refuses.", spool.refused),
            ("tracker_spool_bytes", "What the spool takes on the local disk, in bytes.", spool.bytes),
            ("tracker_spool_limit_bytes", "What the spool may take on the local disk, in bytes.", spool.limit),
        )
        for name, documentation, value in gauges:
            gauge = GaugeMetricFamily(name, documentation)
            gauge.add_metric([], value)
            yield gauge
        damage = self._stats.spool_damage()
        counters = (
            ("tracker_spool_damaged_files", "Spool files that were found damaged and set aside.", damage.files),
            ("tracker_spool_lost_events", "Acknowledged events that damaged spool files lost.", damage.lost_events),
        )
        for name, documentation, value in counters:
            counter = CounterMetricFamily(name, documentation)
            counter.add_metric([], value)
            yield counter


class FaultCollector(Collector):
    """Faults that need an operator; those of the database are left out while it does not answer."""

    def __init__(self, local: Sequence[Fault] = (), database: Sequence[Fault] | None = None) -> None:
        """database: None when the database did not answer."""
        self._local = local
        self._database = database

    def describe(self) -> Iterable[Metric]:
        """The family without samples, so that registering reads nothing."""
        yield self._family()

    def collect(self) -> Iterable[Metric]:
        """One sample per fault name."""
        gauge = self._family()
        for names, found in ((LOCAL_FAULTS, self._local), (DATABASE_FAULTS, self._database)):
            if found is not None:
                present = {fault.name for fault in found}
                for name in names:
                    gauge.add_metric([name], 1 if name in present else 0)
        yield gauge

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("tracker_fault", "Whether this fault exists: 1 or 0.", labels=["fault"])


def _empty(bounds: tuple[float, ...]) -> Histogram:
    return Histogram(bounds, [0.0] * (len(bounds) + 1), 0.0)


class ProjectionHealth(msgspec.Struct, frozen=True):
    """Where a projection stands."""

    name: str
    version: int
    position: int
    failed_position: int | None
    failed_reason: str | None
    lag_events: int
    """Events of the log that it has not taken in."""
    lag_seconds: float
    """How long the oldest of these has been in the log; 0 when there are none."""


class LogHealth(msgspec.Struct, frozen=True):
    """Where the log and the projections stand."""

    position: int | None
    """None: the log's head is missing."""
    projections: list[ProjectionHealth]
    faults: list[Fault] = []


async def read_log_health(pool: Pool) -> LogHealth:
    """Ask the database, on another connection where the pooled one is dead. Raises psycopg.Error or DatabaseUnavailableError when it
    does not answer."""
    return await ask(pool, query_log_health)


async def query_log_health(connection: psycopg.AsyncConnection[Any]) -> LogHealth:
    """The same on a connection that is there already."""
    row = await (await connection.execute(query("read_log_head"))).fetchone()
    cursor = connection.cursor(row_factory=class_row(ProjectionHealth))
    await cursor.execute(query("read_projection_health"))
    projections = await cursor.fetchall()
    return LogHealth(row[0] if row else None, projections, await find_database_faults(connection))


class LogCollector(Collector):
    """What the database said when it was last asked; nothing but the failure when it did not answer."""

    def __init__(self) -> None:
        self.health: LogHealth | None = None
        """None: the database did not answer."""
        self.seconds = 0.0
        """How long asking took, the derived metrics included."""
        self.is_database_up = False
        """Whether the database answered, and accepted what this worker appended last."""
        self.read_at = 0.0
        """When the values were read, seconds since 1970."""

    def describe(self) -> Iterable[Metric]:
        """The families without samples."""
        return self._families(LogHealth(0, []))

    def collect(self) -> Iterable[Metric]:
        """The last answer's families."""
        success = GaugeMetricFamily("tracker_collector_success", "Whether the database answered this scrape: 1 or 0.")
        success.add_metric([], 0 if self.health is None else 1)
        yield success
        seconds = GaugeMetricFamily(
            "tracker_collector_seconds", "How long this scrape waited for the database, in seconds."
        )
        seconds.add_metric([], self.seconds)
        yield seconds
        up = GaugeMetricFamily(
            "tracker_database_up", "Whether the database answers queries and accepts events of this worker: 1 or 0."
        )
        up.add_metric([], 1 if self.is_database_up else 0)
        yield up
        read_at = GaugeMetricFamily(
            "tracker_metrics_timestamp_seconds",
            "When these metrics were read, in seconds since 1970; scrapes within one second share a reading.",
        )
        read_at.add_metric([], self.read_at)
        yield read_at
        if self.health is not None:
            yield from self._families(self.health)

    def _families(self, health: LogHealth) -> Iterator[Metric]:
        position = GaugeMetricFamily("tracker_log_position", "The log's last position.")
        if health.position is not None:
            position.add_metric([], health.position)
        yield position
        gauges = (
            ("tracker_projection_position", "The last position that a projection has taken in.", "position"),
            ("tracker_projection_lag_events", "Events that a projection has not taken in yet.", "lag_events"),
            ("tracker_projection_lag_seconds", "Age in the log of the oldest event not yet taken in.", "lag_seconds"),
        )
        for name, documentation, attribute in gauges:
            gauge = GaugeMetricFamily(name, documentation, labels=["projection"])
            for projection in health.projections:
                gauge.add_metric([projection.name], getattr(projection, attribute))
            yield gauge
        stopped = GaugeMetricFamily(
            "tracker_projection_stopped", "Whether an event stopped a projection: 1 or 0.", labels=["projection"]
        )
        for projection in health.projections:
            stopped.add_metric([projection.name], 0 if projection.failed_position is None else 1)
        yield stopped


class Metrics:
    """The metrics of one worker."""

    def __init__(
        self, stats: WebStats, pool: Pool, instance_id: UUID | None = None, is_away: Callable[[], bool] = lambda: False
    ) -> None:
        """instance_id: of this server, whose derived metrics are shown while its runner is active; None: they are not shown.
        is_away: whether the database did not accept what this worker appended last."""
        self.stats = stats
        self._pool = pool
        self._instance_id = instance_id
        self._is_away = is_away
        # Finds two collectors that declare one name.
        registry = CollectorRegistry(auto_describe=False)
        for collector in self._collectors(LogCollector(), DerivedCollector(), FaultCollector()):
            registry.register(collector)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their media type, in the format that the ``Accept`` header asks for."""
        wanted = choose_format(accept)
        return await self.render_as(wanted), MEDIA_TYPES[wanted]

    async def render_as(self, wanted: MetricsFormat) -> bytes:
        """Read the database and render the metrics. The rendering, up to some 0.2 s, runs on a thread."""
        log, derived = LogCollector(), DerivedCollector()
        log.read_at, started = time.time(), time.monotonic()
        instance_id = self._instance_id

        async def read(connection: psycopg.AsyncConnection[Any]) -> LogHealth:
            health = await query_log_health(connection)
            if instance_id is not None:
                derived.series = await read_series(connection, instance_id)
            return health

        try:
            log.health = await ask(self._pool, read, SCRAPE_SECONDS)
        except (psycopg.Error, DatabaseUnavailableError) as error:
            _log.warning("metrics.incomplete", reason=f"{type(error).__name__}: {error}")
        log.seconds = time.monotonic() - started
        log.is_database_up = log.health is not None and not self._is_away()
        faults = FaultCollector(find_local_faults(self.stats), None if log.health is None else log.health.faults)
        return await asyncio.to_thread(encode_metrics, self._collectors(log, derived, faults), wanted)

    def _collectors(self, *of_this_reading: Collector) -> tuple[Collector, ...]:
        own = (WebCollector(self.stats), SpoolCollector(self.stats))
        return (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR, *own, *of_this_reading)
