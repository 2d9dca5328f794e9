"""The projection ``metric_counters``: the counters that ``/metrics`` shows of messages, as rows.

A row is a series. Each batch adds what it counts, in the transaction that moves the checkpoint. What the series count:

* ``twilio_messages_{sent,delivered,undelivered,failed,read}_total`` {channel, country}: messages first said to be so, each once;
  read counts as delivered where that was not said before. The labels are the message's, as it is known at that event.
* ``twilio_message_errors_total`` {error_code, channel}: messages first said to have that code, each once a code, whatever the status.
* ``twilio_message_delivery_seconds`` {channel, le}: latencies in one bucket alone; their sum is in ``…_sum`` {channel}.
* ``twilio_status_events_total`` {status, effect}: every event.
* ``twilio_failed_message_fees_usd_total`` {}: the fee of each message, when it is first said to have failed, unless that event's code
  is exempt. A code that comes later changes nothing: a counter never goes down.
* ``twilio_messages_open`` {status}: a gauge, the messages that have this status, which is not final.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from projections.alike import alike
from projections.labels import channel_label, country_label, status_label
from projections.projection import Connection
from projections.reached import completes_delivery, latency_of, reached_by
from projections.transitions import Batch, Transition
from tracker.database.queries import query
from tracker.log.packing import pack_datetimes, pack_int8, pack_text
from tracker.twilio.error_codes import FAILED_FEE_USD, failed_fee_applies, metric_label
from tracker.twilio.statuses import FINAL

BUCKETS: Final = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
"""Upper bounds of the buckets of ``twilio_message_delivery_seconds``, in seconds; one more has none."""

LES: Final = (*(str(float(bound)) for bound in BUCKETS), "+Inf")
"""The same as label values."""

_BOUNDS: Final = tuple(int(bound * 1_000_000) for bound in BUCKETS)
_ONE: Final = Decimal(1)
_MICROSECOND: Final = Decimal("0.000001")
_FEE: Final = Decimal(str(FAILED_FEE_USD))

Series = tuple[str, str]
"""A metric's name and its labels as a JSON object."""


class Change(msgspec.Struct):
    """What a batch adds to one series."""

    amount: Decimal
    first: Transition
    """The first event that counts, by position."""
    last: Transition
    """The last one."""
    last_amount: Decimal
    """What the last one adds."""

    def add(self, other: "Change") -> None:
        """Add what other events of the batch add."""
        self.amount += other.amount
        if other.first.position < self.first.position:
            self.first = other.first
        if other.last.position > self.last.position:
            self.last, self.last_amount = other.last, other.last_amount


class MetricCounters:
    """Adds to the series that a batch concerns."""

    name = "metric_counters"
    version = 1
    tables = ("metric_counters",)

    def fold(self, batch: Batch) -> dict[Series, Change]:
        """What to add to each series."""
        changes: dict[Series, Change] = {}
        for group in alike(batch.transitions):
            for metric, labels, change in _changes(group):
                series = (metric, msgspec.json.encode(labels).decode())
                if series in changes:
                    changes[series].add(change)
                else:
                    changes[series] = change
        return changes

    def write(self, connection: Connection, changes: dict[Series, Change]) -> None:
        """Add it."""
        columns = {
            "metrics": pack_text([metric for metric, _ in changes]),
            "labels": pack_text([labels for _, labels in changes]),
            "amounts": pack_text([str(change.amount) for change in changes.values()]),
            "created_ats": pack_datetimes([change.first.received_at for change in changes.values()]),
            "positions": pack_int8([change.last.position for change in changes.values()]),
            "last_amounts": pack_text([str(change.last_amount) for change in changes.values()]),
            "received_ats": pack_datetimes([change.last.received_at for change in changes.values()]),
        }
        connection.execute(query("add_to_metric_counters"), columns, prepare=True)


_Part = tuple[str, dict[str, str], Change]
"""Metric, labels, and what is added."""


def _changes(group: Sequence[Transition]) -> Iterator[_Part]:
    """What events that count alike add. A series may come more than once."""
    event = group[0]
    channel = channel_label(event.channel)
    yield "twilio_status_events_total", {"status": status_label(event.status), "effect": event.effect}, _times(group)
    if event.status_before != event.status_after:
        yield from _moves(group)
    for status in reached_by(event):
        labels = {"channel": channel, "country": country_label(event.country)}
        yield f"twilio_messages_{status}_total", labels, _times(group)
    if event.reached and event.status == "failed" and failed_fee_applies(event.error_code):
        yield "twilio_failed_message_fees_usd_total", {}, _times(group, _FEE)
    if event.error_code and event.new_error_code:
        yield (
            "twilio_message_errors_total",
            {"error_code": metric_label(event.error_code), "channel": channel},
            _times(group),
        )
    if completes_delivery(event):
        yield from _latencies(group, channel)


def _moves(group: Sequence[Transition]) -> Iterator[_Part]:
    """From the number of open messages of one status to that of another."""
    before, after = group[0].status_before, group[0].status_after
    if before is not None and before not in FINAL:
        yield "twilio_messages_open", {"status": status_label(before)}, _times(group, Decimal(-1))
    if after not in FINAL:
        yield "twilio_messages_open", {"status": status_label(after)}, _times(group)


def _latencies(group: Sequence[Transition], channel: str) -> Iterator[_Part]:
    """The latencies by bucket, and their sum."""
    latencies = [latency_of(transition) for transition in group]
    buckets: defaultdict[int, list[Transition]] = defaultdict(list)
    for transition, latency in zip(group, latencies, strict=True):
        buckets[bisect_left(_BOUNDS, latency)].append(transition)
    for bucket, members in buckets.items():
        yield "twilio_message_delivery_seconds", {"channel": channel, "le": LES[bucket]}, _times(members)
    total = Change(sum(latencies) * _MICROSECOND, group[0], group[-1], latencies[-1] * _MICROSECOND)
    yield "twilio_message_delivery_seconds_sum", {"channel": channel}, total


def _times(group: Sequence[Transition], amount: Decimal = Decimal(1)) -> Change:
    """The amount for each event of the group."""
    return Change(amount * len(group), group[0], group[-1], amount)


METRIC_COUNTERS = MetricCounters()
