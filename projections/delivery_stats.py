"""The projection ``delivery_stats``: messages by minute, channel, country, messaging service and error code, and how long they took.

The minute is that of the event's own time, ``received_at``, so events that come late into the log (from the spool, or after a
time without the projector) count where they belong. A count is of messages that were first said to have reached a status, with
the event that said so first, each message once a status; ``read`` counts as delivered where that was not said before. A message
whose outcome is corrected later counts in the minutes of both outcomes, and as ``corrected`` in the second. So sums over all
minutes equal the counters of ``metric_counters``. Events with an inbound status (``receiving``, ``received``) count nowhere. A
latency belongs to the minute in which the first ``delivered`` reached us, whichever event completed the pair.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from projections.fold.grouping import alike
from projections.fold.milestones import completes_delivery, latency_of, reached_by
from projections.fold.transitions import Batch, Likeness, Transition
from projections.labels import channel_label, error_code_group, service_group
from projections.latency_digest import bucket_of
from projections.projection import Connection
from tracker.postgres.binary_arrays import PackedArray, pack_datetimes, pack_int8, pack_text
from tracker.postgres.sql_files import query
from tracker.twilio.statuses import direction_of

CountName = Literal["messages", "sent", "delivered", "undelivered", "failed", "read", "errors", "corrected"]

COUNTS: Final[tuple[CountName, ...]] = (
    "messages",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "read",
    "errors",
    "corrected",
)
"""What a row counts, in the order of its columns; the migration says what each means."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)

_MAX_KNOWN: Final = 10_000

Place = tuple[datetime, str, str, str]
"""Minute, channel, country (empty: cannot be told) and messaging service (empty: none)."""


_Counts = dict[tuple[Place, str], list[int]]
_Latencies = dict[tuple[Place, int], int]


_known: "dict[Likeness, _Kind]" = {}


class StatsChanges(msgspec.Struct):
    """What a batch adds to the two tables."""

    counts: _Counts
    """By place and error code, empty for none: numbers in the order of COUNTS."""
    latencies: _Latencies
    """Messages by place and bucket of the digest."""


class DeliveryStats:
    """Adds to the minutes that a batch concerns."""

    name = "delivery_stats"
    version = 2
    tables = ("delivery_stats", "delivery_latency")

    def fold(self, batch: Batch) -> StatsChanges:
        """What to add."""
        changes = StatsChanges({}, {})
        for likeness, group in alike(batch).items():
            kind = _kind_of(likeness, group[0])
            if kind.counts:
                for minute, transitions in _by_minute(group, [each.received_at for each in group]):
                    _count(changes.counts, minute, kind, len(transitions))
            if kind.has_latency:
                _digest(changes.latencies, kind, group)
        return changes

    def merge(self, changes: Sequence[StatsChanges]) -> StatsChanges:
        """Their sums."""
        total = StatsChanges({}, {})
        for each in changes:
            for key, row in each.counts.items():
                known = total.counts.get(key)
                total.counts[key] = (
                    row if known is None else [one + other for one, other in zip(known, row, strict=True)]
                )
            for place, messages in each.latencies.items():
                total.latencies[place] = total.latencies.get(place, 0) + messages
        return total

    def write(self, connection: Connection, changes: StatsChanges) -> None:
        """Add it."""
        if changes.counts:
            connection.execute(query("add_to_delivery_stats"), _count_columns(changes.counts), prepare=True)
        if changes.latencies:
            connection.execute(query("add_to_delivery_latency"), _latency_columns(changes.latencies), prepare=True)


def _by_minute(
    transitions: Iterable[Transition], times: Iterable[datetime | None]
) -> Iterable[tuple[datetime, Sequence[Transition]]]:
    """The transitions by the minute of their times, each in the order given. Neighbours mostly share a minute, and comparing is
    cheaper than cutting."""
    minutes: dict[datetime, list[Transition]] = {}
    members: list[Transition] = []
    start = end = _LONG_AGO
    for transition, at in zip(transitions, times, strict=True):
        assert at is not None
        if not start <= at < end:
            start = at.replace(second=0, microsecond=0)
            end = start + _MINUTE
            members = minutes.setdefault(start, [])
        members.append(transition)
    return minutes.items()


class _Kind(msgspec.Struct, frozen=True):
    """What follows from the likeness of events."""

    channel: str
    country: str
    service: str
    error_code: str
    counts: Sequence[int]
    """Where in COUNTS they count."""
    has_latency: bool


def _kind_of(likeness: Likeness, event: Transition) -> _Kind:
    """Remembered, because there are few and each batch has them again."""
    kind = _known.get(likeness)
    if kind is None:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        kind = _known[likeness] = _kind(event)
    return kind


def _kind(event: Transition) -> _Kind:
    names: list[CountName] = []
    if direction_of(event.kind.status) == "outbound":
        names += reached_by(event)
        if event.kind.status_before is None:
            names.append("messages")
        if event.kind.new_error_code:
            names.append("errors")
        if event.kind.effect == "corrected":
            names.append("corrected")
    return _Kind(
        channel_label(event.channel),
        event.country or "",
        service_group(event.messaging_service_sid),
        error_code_group(event.kind.error_code),
        [COUNTS.index(name) for name in names],
        completes_delivery(event),
    )


def _count(counts: _Counts, minute: datetime, kind: _Kind, events: int) -> None:
    """Add so many events of one minute."""
    key = ((minute, kind.channel, kind.country, kind.service), kind.error_code)
    row = counts.get(key)
    if row is None:
        row = counts[key] = [0] * len(COUNTS)
    for place in kind.counts:
        row[place] += events


def _digest(latencies: _Latencies, kind: _Kind, group: Sequence[Transition]) -> None:
    """Add the latencies of events that count alike."""
    for minute, transitions in _by_minute(group, [each.delivered_at for each in group]):
        place = (minute, kind.channel, kind.country, kind.service)
        for each in transitions:
            key = (place, bucket_of(latency_of(each)))
            latencies[key] = latencies.get(key, 0) + 1


def _place_columns(places: Sequence[Place]) -> dict[str, PackedArray]:
    return {
        "minutes": pack_datetimes([minute for minute, _, _, _ in places]),
        "channels": pack_text([channel for _, channel, _, _ in places]),
        "countries": pack_text([country for _, _, country, _ in places]),
        "messaging_service_sids": pack_text([service for _, _, _, service in places]),
    }


def _count_columns(counts: _Counts) -> dict[str, PackedArray]:
    columns = _place_columns([place for place, _ in counts])
    columns["error_codes"] = pack_text([error_code for _, error_code in counts])
    for place, name in enumerate(COUNTS):
        columns[name] = pack_int8([row[place] for row in counts.values()])
    return columns


def _latency_columns(latencies: _Latencies) -> dict[str, PackedArray]:
    columns = _place_columns([place for place, _ in latencies])
    columns["buckets"] = pack_int8([bucket for _, bucket in latencies])
    columns["messages"] = pack_int8(list(latencies.values()))
    return columns


DELIVERY_STATS = DeliveryStats()
