"""The metrics that exist, with their labels: what the tracker's collectors declare, and what the recording rules make of it."""

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric

from tests.grafana.shipped import rules
from tracker.web.telemetry.derived_metrics import DerivedCollector
from tracker.web.telemetry.metrics import FaultCollector, LogCollector, SpoolCollector, WebCollector
from tracker.web.telemetry.shared_counters import WebStats

FROM_PROMETHEUS: Final[Mapping[str, frozenset[str]]] = {
    "up": frozenset(),
    "scrape_duration_seconds": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "service"}),
}

PENDING: Final[Mapping[str, frozenset[str]]] = {
    "tracker_quarantined_callbacks_total": frozenset({"reason"}),
    "tracker_refused_callbacks_total": frozenset({"account"}),
    "tracker_database_up": frozenset(),
    "tracker_fault": frozenset({"fault"}),
    "tracker_spool_lost_events_total": frozenset(),
    "tracker_spool_damaged_files_total": frozenset(),
}
"""Metrics with alerts that not every collector declares yet. One that is declared must have exactly these labels."""

SCRAPED: Final = frozenset({"job", "instance", "__name__"})

RECORDED_LABELS: Final = frozenset({"channel", "country", "status", "error_code"})
"""The labels that levels of recording rules are made of."""


def declared() -> Iterator[Metric]:
    """Every family that ``/metrics`` may show, but for those of the Python process itself."""
    with tempfile.TemporaryDirectory() as directory:
        stats = WebStats(Path(directory) / "stats", workers=1, worker=0)
        log = LogCollector()
        for collector in (WebCollector(stats), SpoolCollector(stats), log, FaultCollector(), DerivedCollector()):
            yield from collector.describe()
        # What it shows even when the database does not answer.
        yield from log.collect()


def labels_of(metric: Metric) -> frozenset[str]:
    """The labels that the family was declared with. A family without samples tells them by nothing but a private attribute."""
    names: tuple[str, ...] = vars(metric)["_labelnames"]
    return frozenset(names)


@cache
def known() -> dict[str, frozenset[str]]:
    """Every series name that may be asked for, with the labels it has: declared, recorded, and Prometheus' own."""
    series = {name: labels | SCRAPED for name, labels in FROM_PROMETHEUS.items()}
    for metric in declared():
        labels = labels_of(metric) | SCRAPED
        if metric.type == "histogram":
            name = metric.name
            series |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            series[f"{metric.name}_total" if metric.type == "counter" else metric.name] = labels
    for name, labels in PENDING.items():
        assert series.setdefault(name, labels | SCRAPED) == labels | SCRAPED, name
    for rule in rules():
        if rule.record is not None:
            level = rule.record.partition(":")[0]
            series[rule.record] = frozenset(label for label in RECORDED_LABELS if label in level)
    return series
