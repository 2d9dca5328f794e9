"""The metrics that exist, with their labels.

This is the one place to switch over to the metrics that the tracker declares (``tracker.web.metrics``): replace
``DECLARED`` by a reading of them, and keep ``known()``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tests.grafana.shipped import rules

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """A metric's kind and its own labels; scraping adds ``job`` and ``instance``."""

    kind: Kind
    labels: frozenset[str] = frozenset()


def counter(*labels: str) -> Metric:
    """Only grows; its name ends in ``_total``."""
    return Metric("counter", frozenset(labels))


def gauge(*labels: str) -> Metric:
    """Goes up and down."""
    return Metric("gauge", frozenset(labels))


def histogram(*labels: str) -> Metric:
    """Observations in buckets: series ``_bucket`` with ``le``, ``_sum`` and ``_count``."""
    return Metric("histogram", frozenset(labels))


DECLARED: Final[Mapping[str, Metric]] = {
    "twilio_messages_sent_total": counter("channel", "country"),
    "twilio_messages_delivered_total": counter("channel", "country"),
    "twilio_messages_undelivered_total": counter("channel", "country"),
    "twilio_messages_failed_total": counter("channel", "country"),
    "twilio_messages_read_total": counter("channel", "country"),
    "twilio_message_errors_total": counter("error_code", "channel"),
    "twilio_message_delivery_seconds": histogram("channel"),
    "twilio_status_events_total": counter("status", "effect"),
    "twilio_failed_message_fees_usd_total": counter(),
    "twilio_messages_open": gauge("status"),
    "tracker_callbacks_total": counter("result"),
    "tracker_callback_seconds": histogram(),
    "tracker_append_batch_events": histogram(),
    "tracker_spool_events": gauge(),
    "tracker_spool_bytes": gauge(),
    "tracker_spool_limit_bytes": gauge(),
    "tracker_log_position": gauge(),
    "tracker_projection_position": gauge("projection"),
    "tracker_projection_lag_seconds": gauge("projection"),
    "tracker_projection_lag_events": gauge("projection"),
    "tracker_projection_stopped": gauge("projection"),
    "tracker_projection_rebuilds_total": counter("projection"),
    "tracker_build_info": gauge("version"),
    "tracker_error_code_info": gauge("error_code", "label", "fault", "advice"),
    "tracker_collector_success": gauge(),
    "tracker_collector_seconds": gauge(),
}

FROM_PROMETHEUS: Final[Mapping[str, frozenset[str]]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "service"}),
}

SCRAPED: Final = frozenset({"job", "instance", "__name__"})

RECORDED_LABELS: Final = frozenset({"channel", "country", "status", "error_code"})
"""The labels that levels of recording rules are made of."""


def known() -> dict[str, frozenset[str]]:
    """Every series name that may be asked for, with the labels it has: declared, recorded, and Prometheus' own."""
    series = {name: labels | SCRAPED for name, labels in FROM_PROMETHEUS.items()}
    for name, metric in DECLARED.items():
        labels = metric.labels | SCRAPED
        if metric.kind == "histogram":
            series |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            series[name] = labels
    for rule in rules():
        if rule.record is not None:
            level = rule.record.partition(":")[0]
            series[rule.record] = frozenset(label for label in RECORDED_LABELS if label in level)
    return series
