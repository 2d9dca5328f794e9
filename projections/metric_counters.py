"""The projection ``metric_counters``: the counters that ``/metrics`` shows of messages, as rows.

A row is a series. Each batch adds to the rows in the transaction that moves the checkpoint (docs/adr/0005-counters-as-rows.md).
The series count:

* ``twilio_messages_{sent,delivered,undelivered,failed,read}_total`` {channel, country}: messages first said to be so, each once;
  read counts as delivered where that was not said before. The labels are the message's, as it is known at that event.
* ``twilio_message_errors_total`` {error_code, channel}: messages first said to have that code, each once a code, whatever the status.
* ``twilio_message_delivery_seconds`` {channel, le}: latencies in one bucket alone; their sum is in ``…_sum`` {channel}.
* ``twilio_status_events_total`` {status, effect}: every event of an outbound message.
* ``twilio_failed_message_fees_usd_total`` {}: the fee of each message, when it is first said to have failed, unless that event's code
  is exempt. A code that comes later changes nothing: a counter never goes down.
* ``twilio_messages_open`` {status}: a gauge, the messages that have this status, which is not final.

Events with an inbound status (``receiving``, ``received``) count in none of them: they are about messages that were sent to us.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from projections.fold.grouping import alike
from projections.fold.milestones import completes_delivery, latency_of, reached_by
from projections.fold.transitions import Batch, Likeness, Transition
from projections.labels import channel_label, country_label, status_label
from projections.projection import Connection
from tracker.postgres.binary_arrays import pack_datetimes, pack_int8, pack_text
from tracker.postgres.sql_files import query
from tracker.twilio.error_codes import FAILED_FEE_USD, failed_fee_applies, metric_label
from tracker.twilio.statuses import FINAL, direction_of

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

_MAX_KNOWN: Final = 10_000
_known: dict[Likeness, Sequence[tuple[Series, Decimal]]] = {}


class Change(msgspec.Struct):
    """What a batch adds to one series."""

    amount: Decimal
    first: Transition
    """The first event that counts, by position."""
    last: Transition
    """The last one."""
    last_amount: Decimal
    """What the last one adds."""


_Changes = dict[Series, Change]


class MetricCounters:
    """Adds to the series that a batch concerns."""

    name = "metric_counters"
    version = 2
    tables = ("metric_counters",)

    def fold(self, batch: Batch) -> dict[Series, Change]:
        """What to add to each series."""
        changes: _Changes = {}
        for likeness, group in alike(batch).items():
            for series, amount in _counted_by(likeness, group[0]):
                _add(changes, series, group, amount * len(group), amount)
            if completes_delivery(group[0]):
                _add_latencies(changes, group)
        return changes

    def merge(self, changes: Sequence[dict[Series, Change]]) -> dict[Series, Change]:
        """Their sums, each series with the first and the last event of all."""
        total: _Changes = {}
        for each in changes:
            for series, change in each.items():
                _merge(total, series, change)
        return total

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


def _add(
    changes: _Changes, series: Series, events: Sequence[Transition], amount: Decimal, last_amount: Decimal
) -> None:
    """Add what these events, in log order, add to a series. last_amount: what the last one of them does."""
    _merge(changes, series, Change(amount, events[0], events[-1], last_amount))


def _merge(changes: _Changes, series: Series, added: Change) -> None:
    """Add to a series what other events add, before, after or between those that were counted."""
    change = changes.get(series)
    if change is None:
        changes[series] = added
        return
    change.amount += added.amount
    if added.first.position < change.first.position:
        change.first = added.first
    if added.last.position > change.last.position:
        change.last, change.last_amount = added.last, added.last_amount


def _counted_by(likeness: Likeness, event: Transition) -> Sequence[tuple[Series, Decimal]]:
    """The series that count such events, and what each adds. Remembered, because there are few and each batch has them again."""
    known = _known.get(likeness)
    if known is None:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        known = _known[likeness] = tuple(_count(event))
    return known


def _count(event: Transition) -> Iterator[tuple[Series, Decimal]]:
    """The series that count an event, but for latencies, and what it adds to each."""
    did, channel = event.kind, channel_label(event.channel)
    if did.status_before != did.status_after:
        if did.status_before is not None and _is_open(did.status_before):
            yield _series("twilio_messages_open", status=status_label(did.status_before)), -_ONE
        if _is_open(did.status_after):
            yield _series("twilio_messages_open", status=status_label(did.status_after)), _ONE
    if direction_of(did.status) == "inbound":
        return
    yield _series("twilio_status_events_total", status=status_label(did.status), effect=did.effect), _ONE
    for status in reached_by(event):
        yield _series(f"twilio_messages_{status}_total", channel=channel, country=country_label(event.country)), _ONE
    if did.reached and did.status == "failed" and failed_fee_applies(did.error_code):
        yield _series("twilio_failed_message_fees_usd_total"), _FEE
    if did.error_code and did.new_error_code:
        yield _series("twilio_message_errors_total", error_code=metric_label(did.error_code), channel=channel), _ONE


def _is_open(status: str) -> bool:
    """Whether an outcome of a message with this status is waited for. Of one that was sent to us none is."""
    return status not in FINAL and direction_of(status) == "outbound"


def _add_latencies(changes: _Changes, group: Sequence[Transition]) -> None:
    """Each to its bucket, and all to the sum."""
    channel = channel_label(group[0].channel)
    latencies = [latency_of(transition) for transition in group]
    buckets: defaultdict[int, list[Transition]] = defaultdict(list)
    for transition, latency in zip(group, latencies, strict=True):
        buckets[bisect_left(_BOUNDS, latency)].append(transition)
    for bucket, members in buckets.items():
        series = _series("twilio_message_delivery_seconds", channel=channel, le=LES[bucket])
        _add(changes, series, members, Decimal(len(members)), _ONE)
    series = _series("twilio_message_delivery_seconds_sum", channel=channel)
    _add(changes, series, group, sum(latencies) * _MICROSECOND, latencies[-1] * _MICROSECOND)


@lru_cache(maxsize=_MAX_KNOWN)
def _series(metric: str, **labels: str) -> Series:
    return metric, msgspec.json.encode(labels).decode()


METRIC_COUNTERS = MetricCounters()
