"""The metrics that are derived from the log: the rows of the projection ``metric_counters``, as families.

They are shown by the workers of one server only, the one whose runner is active, so a sum over all scraped servers is right.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import class_row

from projections.metric_counters import LES
from tracker.postgres.sql_files import query
from tracker.twilio.error_codes import all_codes


class Series(msgspec.Struct, frozen=True):
    """A row: one series, or a bucket of one."""

    metric: str
    labels: dict[str, str]
    value: float
    created_at: float | None
    """Seconds since 1970, as are all times here. None: it has always been there."""
    exemplar_position: int | None
    """Of the last event that moved it; None, with the next two: no event does."""
    exemplar_value: float | None
    """What that event added."""
    exemplar_at: float | None
    """When it was received."""

    @property
    def exemplar(self) -> Exemplar | None:
        """The event behind a spike, by its position in the log."""
        if self.exemplar_position is None or self.exemplar_value is None:
            return None
        return Exemplar({"position": str(self.exemplar_position)}, self.exemplar_value, self.exemplar_at)


class _Family(msgspec.Struct, frozen=True):
    name: str
    documentation: str
    labels: tuple[str, ...]


_REACHED: Final = ("channel", "country")
_COUNTERS: Final = (
    _Family("twilio_messages_sent_total", "Messages that were said to be sent, each once.", _REACHED),
    _Family(
        "twilio_messages_delivered_total", "Messages that were said to be delivered, or read, each once.", _REACHED
    ),
    _Family("twilio_messages_undelivered_total", "Messages that were said to be undelivered, each once.", _REACHED),
    _Family("twilio_messages_failed_total", "Messages that were said to have failed, each once.", _REACHED),
    _Family("twilio_messages_read_total", "Messages that were said to be read, each once.", _REACHED),
    _Family("twilio_message_errors_total", "Messages with an error code, each once a code.", ("error_code", "channel")),
    _Family("twilio_status_events_total", "Events of the log, by what each did to its message.", ("status", "effect")),
    _Family("twilio_failed_message_fees_usd_total", "Twilio's fees for failed messages, in US dollars.", ()),
    _Family("tracker_projection_rebuilds_total", "How often a projection was rebuilt.", ("projection",)),
)
_LATENCY: Final = _Family(
    "twilio_message_delivery_seconds",
    "From the first sent received to the first delivered received, in seconds.",
    ("channel",),
)
_OPEN: Final = _Family("twilio_messages_open", "Messages that have this status, which is not final.", ("status",))
_CODES: Final = _Family(
    "tracker_error_code_info", "What an error code means; always 1.", ("error_code", "label", "fault", "advice")
)


async def read_series(connection: psycopg.AsyncConnection[Any], instance_id: UUID) -> list[Series]:
    """The series that this server is to show: none when another's runner is active. Raises psycopg.Error."""
    async with connection.cursor(row_factory=class_row(Series)) as cursor:
        await cursor.execute(query("read_metric_counters"), {"instance_id": instance_id})
        return await cursor.fetchall()


class DerivedCollector(Collector):
    """What the database said when it was last asked."""

    def __init__(self) -> None:
        self.series: Sequence[Series] = ()
        """Empty: the database did not answer, or another server's runner is active."""

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering reads nothing."""
        return _families(())

    def collect(self) -> Iterable[Metric]:
        """The families of the last answer."""
        return _families(self.series)


def _families(series: Sequence[Series]) -> Iterator[Metric]:
    by_metric: defaultdict[str, list[Series]] = defaultdict(list)
    for each in series:
        by_metric[each.metric].append(each)
    for family in _COUNTERS:
        yield _counter(family, by_metric[family.name], shown=bool(series))
    yield _histogram(by_metric[_LATENCY.name], by_metric[f"{_LATENCY.name}_sum"])
    messages_open = GaugeMetricFamily(_OPEN.name, _OPEN.documentation, labels=_OPEN.labels)
    for each in by_metric[_OPEN.name]:
        messages_open.add_metric([each.labels.get("status", "")], each.value)
    yield messages_open
    codes = GaugeMetricFamily(_CODES.name, _CODES.documentation, labels=_CODES.labels)
    # All codes, so that one that occurs for the first time is a rise from zero.
    for code in all_codes() if series else ():
        codes.add_metric([code.code, code.label, code.fault, code.advice], 1)
    yield codes


def _counter(family: _Family, series: Iterable[Series], *, shown: bool) -> Metric:
    metric = CounterMetricFamily(family.name, family.documentation, labels=family.labels)
    for each in series:
        metric.add_metric(
            [each.labels.get(label, "") for label in family.labels], each.value, each.created_at, exemplar=each.exemplar
        )
    if shown and not family.labels and not metric.samples:
        # The only series there can be, before anything was counted.
        metric.add_metric([], 0)
    return metric


def _histogram(buckets: Iterable[Series], sums: Iterable[Series]) -> Metric:
    """Rows hold what fell into one bucket alone; Prometheus wants what fell into it and those below."""
    metric = HistogramMetricFamily(_LATENCY.name, _LATENCY.documentation, labels=_LATENCY.labels)
    found = {(each.labels.get("channel", ""), each.labels.get("le", "")): each for each in buckets}
    for total in sums:
        channel = total.labels.get("channel", "")
        running = 0.0
        cumulative: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for le in LES:
            bucket = found.get((channel, le))
            running += bucket.value if bucket else 0
            cumulative.append((le, running, bucket.exemplar) if bucket and bucket.exemplar else (le, running))
        metric.add_metric([channel], cumulative, total.value)
        if total.created_at is not None:
            metric.add_sample(f"{_LATENCY.name}_created", {"channel": channel}, total.created_at)
    return metric
