"""Counters and statistics of any history: each message once, nothing lost between batches, nothing without bound."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projections.delivery_stats import COUNTS, DELIVERY_STATS
from projections.fold.message import Said
from projections.fold.transitions import Batch, Messages
from projections.labels import CHANNELS
from projections.metric_counters import METRIC_COUNTERS
from tests.support.projections.histories import NOON, SID, histories, say
from tracker.twilio.error_codes import all_codes
from tracker.twilio.statuses import FINAL, INBOUND_STATUSES, PHASES

Values = dict[tuple[str, frozenset[tuple[str, str]]], Decimal]
"""Value of each series, by metric and labels."""

OTHER_SID = "MM" + "f" * 32


def batches(events: Sequence[Said], sizes: Iterable[int]) -> list[Batch]:
    """The log, taken in in batches of these sizes and one with what is left over."""
    messages = Messages(
        0, lambda sids, until: [said for said in events if said.message_sid in sids and said.position <= until]
    )
    found: list[Batch] = []
    start = 0
    for size in [*sizes, len(events)]:
        part = events[start : start + size]
        found.append(messages.advance(part))
        start += len(part)
    return found


def counted(events: Sequence[Said], sizes: Iterable[int] = ()) -> Values:
    """The series after these events."""
    values: defaultdict[Any, Decimal] = defaultdict(Decimal)
    for batch in batches(events, sizes):
        for (metric, labels), change in METRIC_COUNTERS.fold(batch).items():
            values[metric, frozenset(msgspec.json.decode(labels).items())] += change.amount
    return dict(values)


def total(values: Values, metric: str, **labels: str) -> Decimal:
    """The sum of a metric's series with these labels."""
    return sum(
        (value for (name, found), value in values.items() if name == metric and found >= set(labels.items())),
        Decimal(0),
    )


def statistics(events: Sequence[Said], sizes: Iterable[int] = ()) -> tuple[dict[Any, Counter[str]], Counter[Any]]:
    """Counts by place and code, and messages by place and bucket, after these events."""
    counts: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    latencies: Counter[Any] = Counter()
    for batch in batches(events, sizes):
        changes = DELIVERY_STATS.fold(batch)
        for key, row in changes.counts.items():
            counts[key].update(dict(zip(COUNTS, row, strict=True)))
        latencies.update(changes.latencies)
    return dict(counts), latencies


def busy_event(sid: str, said: tuple[str, str | None], to: str | None, service: str | None, seconds: int) -> Said:
    """An event without its position."""
    status, code = said
    event = say(0, status, code, sid=sid, to=to, received_at=NOON + timedelta(seconds=seconds))
    return event._replace(messaging_service_sid=service)


BUSY = st.lists(
    st.builds(
        busy_event,
        st.sampled_from([SID, OTHER_SID]),
        st.sampled_from(
            [
                ("sent", None),
                ("delivered", None),
                ("read", None),
                ("undelivered", "30003"),
                ("failed", "21610"),
                ("failed", "30008"),
            ]
        ),
        st.sampled_from(["+14155238886", "+447400123456", None]),
        st.sampled_from([None, "MG" + "1" * 32]),
        st.sampled_from([0, 1, 59, 60, 86_400]),
    ),
    min_size=3,
    max_size=8,
).map(lambda said: [event._replace(position=position) for position, event in enumerate(said, 1)])
"""Two messages about which little is said, but much at a time: outcomes that contradict each other, and reading."""

SIZES = st.lists(st.integers(0, 3), max_size=4)
LOGS = BUSY | histories(max_size=8, messages=3)


def outbound(log: list[Said]) -> list[Said]:
    """The events but for those of messages that were sent to us."""
    kept = [event for event in log if event.status.strip().lower() not in INBOUND_STATUSES]
    return [event._replace(position=position) for position, event in enumerate(kept, 1)]


OUTBOUND = LOGS.map(outbound)


def key(event: Said) -> tuple[str | None, str]:
    """What identifies a message."""
    return event.account_sid, event.message_sid


@given(LOGS, SIZES)
def test_a_batch_counts_what_its_parts_count(log: list[Said], sizes: list[int]) -> None:
    """However the log is cut, with whatever was forgotten in between."""
    whole, parts = counted(log), counted(log, sizes)
    assert {series: value for series, value in parts.items() if value} == {
        series: value for series, value in whole.items() if value
    }
    assert statistics(log, sizes) == statistics(log)


@given(LOGS, SIZES)
def test_what_a_row_says_of_its_events_does_not_depend_on_the_cut(log: list[Said], sizes: list[int]) -> None:
    """The first event that counted (the time of creation) and the last one (the exemplar), with what it added."""

    def ends(sizes: Iterable[int]) -> dict[Any, tuple[datetime, int, Decimal]]:
        found: dict[Any, tuple[datetime, int, Decimal]] = {}
        for batch in batches(log, sizes):
            for series, change in METRIC_COUNTERS.fold(batch).items():
                created_at = found[series][0] if series in found else change.first.received_at
                found[series] = (created_at, change.last.position, change.last_amount)
        return found

    assert ends(sizes) == ends(())


@given(LOGS)
def test_counters_never_go_down(log: list[Said]) -> None:
    """Event by event; only the gauge does."""
    for batch in batches(log, [1] * len(log)):
        for (metric, _), change in METRIC_COUNTERS.fold(batch).items():
            assert change.amount >= 0 or metric == "twilio_messages_open"


@given(OUTBOUND)
def test_each_message_counts_once(log: list[Said]) -> None:
    """Compared with sets of messages, which know nothing of batches and transitions."""
    said: defaultdict[str, set[tuple[str | None, str]]] = defaultdict(set)
    codes: set[tuple[object, str]] = set()
    for event in log:
        said[event.status.strip().lower()].add(key(event))
        if event.error_code:
            codes.add((key(event), event.error_code))
    values = counted(log)
    for status in ("sent", "undelivered", "failed", "read"):
        assert total(values, f"twilio_messages_{status}_total") == len(said[status])
    assert total(values, "twilio_messages_delivered_total") == len(said["delivered"] | said["read"])
    assert total(values, "twilio_message_errors_total") == len(codes)
    assert total(values, "twilio_status_events_total") == len(log)


@given(LOGS)
def test_the_open_messages_are_those_that_are_not_final(log: list[Said]) -> None:
    """The gauge against the states themselves."""
    states = {(message.account_sid, message.message_sid): message for message in batches(log, ())[0].messages}
    expected = Counter(
        message.status if message.status in PHASES else "other"
        for message in states.values()
        if message.status not in FINAL and message.direction == "outbound"
    )
    values = counted(log)
    found = {
        dict(labels)["status"]: value for (metric, labels), value in values.items() if metric == "twilio_messages_open"
    }
    assert {status: value for status, value in found.items() if value} == dict(expected)


@given(OUTBOUND)
def test_statistics_add_up_to_the_counters(log: list[Said]) -> None:
    """Over all minutes."""
    values = counted(log)
    counts, latencies = statistics(log)
    sums = Counter[str]()
    for row in counts.values():
        sums.update(row)
    for name in ("sent", "delivered", "undelivered", "failed", "read"):
        assert sums[name] == total(values, f"twilio_messages_{name}_total")
    assert sums["errors"] == total(values, "twilio_message_errors_total")
    assert sums["corrected"] == total(values, "twilio_status_events_total", effect="corrected")
    assert sums["messages"] == len(set(map(key, log)))
    assert latencies.total() == total(values, "twilio_message_delivery_seconds")


@pytest.mark.parametrize("statuses", [["received"], ["receiving", "received"], ["received", "received"], ["receiving"]])
def test_a_message_that_was_sent_to_us_counts_nowhere(statuses: list[str]) -> None:
    """It is known and shown, and no figure of deliveries moves, whatever code it has."""
    log = [say(position, status, "30003") for position, status in enumerate(statuses, 1)]
    counts, latencies = statistics(log)
    assert not any(counted(log).values())
    assert (counts, latencies) == ({}, {})


def test_an_inbound_status_closes_what_was_open() -> None:
    """A message that seemed to be ours is no longer waited for."""
    values = counted([say(1, "queued"), say(2, "received")])
    assert total(values, "twilio_messages_open") == 0


REACHED: dict[str, tuple[list[Said], dict[str, int]]] = {
    "the usual way": ([say(1, "queued"), say(2, "sent"), say(3, "delivered"), say(4, "read")], {"sent": 1, "delivered": 1, "read": 1}),
    "read implies delivered": ([say(1, "read")], {"delivered": 1, "read": 1}),
    "delivered is late": ([say(1, "read"), say(2, "delivered")], {"delivered": 1, "read": 1}),
    "delivered is late, twice": ([say(1, "read"), say(2, "delivered"), say(3, "delivered", date="2611231200")], {"delivered": 1, "read": 1}),
    "read twice": ([say(1, "delivered"), say(2, "read"), say(3, "read", date="2611231200")], {"delivered": 1, "read": 1}),
    "corrected": ([say(1, "undelivered", "30003"), say(2, "delivered")], {"undelivered": 1, "delivered": 1}),
    "failed, twice": ([say(1, "failed", "21610"), say(2, "failed", "30008")], {"failed": 1}),
    "other spellings": ([say(1, "SENT"), say(2, " sent ")], {"sent": 1}),
    "unknown and unfinished": ([say(1, "teleported"), say(2, "accepted")], {}),
    "some read early, some late": (
        [say(1, "read"), say(2, "delivered", sid=OTHER_SID), say(3, "read", sid=OTHER_SID), say(4, "delivered")], {"delivered": 2, "read": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("log", "expected"), REACHED.values(), ids=REACHED.keys())
def test_what_a_message_reached_counts_once(log: list[Said], expected: dict[str, int]) -> None:
    """In the counters and in the statistics."""
    names = ("sent", "delivered", "undelivered", "failed", "read")
    values = counted(log)
    assert {name: value for name in names if (value := total(values, f"twilio_messages_{name}_total"))} == expected
    sums = sum(statistics(log)[0].values(), Counter[str]())
    assert {name: sums[name] for name in names if sums[name]} == expected


def test_messages_are_told_apart() -> None:
    """By channel, country and messaging service, each where it is counted apart."""
    log = [
        say(1, "sent", sid=f"SM{1:032x}"),
        say(2, "sent", sid=f"SM{2:032x}", to="+447400123456"),
        say(3, "sent", sid=f"SM{3:032x}", channel="whatsapp"),
        say(4, "sent", sid=f"SM{4:032x}")._replace(messaging_service_sid="MG" + "1" * 32),
    ]
    values = counted(log)
    found = {
        (dict(labels)["channel"], dict(labels)["country"]): value
        for (name, labels), value in values.items()
        if "sent" in name
    }
    assert found == {("sms", "US"): 2, ("sms", "GB"): 1, ("whatsapp", "US"): 1}
    places = {place[1:]: row["sent"] for (place, _), row in statistics(log)[0].items()}
    assert places == {
        ("sms", "US", ""): 1,
        ("sms", "GB", ""): 1,
        ("whatsapp", "US", ""): 1,
        ("sms", "US", "MG" + "1" * 32): 1,
    }


def test_a_series_names_its_first_and_its_last_event() -> None:
    """Although the events between them differ in what other series tell apart."""
    log = [
        say(1, "sent", sid=f"SM{1:032x}"),
        say(2, "sent", sid=f"SM{2:032x}", to="+447400123456"),
        say(3, "sent", sid=f"SM{3:032x}"),
    ]
    change = METRIC_COUNTERS.fold(batches(log, ())[0])[
        "twilio_status_events_total", '{"status":"sent","effect":"decided"}'
    ]
    assert (change.amount, change.first.position, change.last.position) == (3, 1, 3)


HOSTILE = st.text(max_size=20) | st.sampled_from(["\0", "é", "x" * 256, '"}', "other", "30003", "unknown"])


@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=6))
@example([(f"status {number}", str(number), f"channel{number}", f"+{number}") for number in range(40)])
def test_labels_come_from_bounded_sets(said: list[tuple[str, str, str, str]]) -> None:
    """Whatever a signed callback says, it makes no series of its own."""
    log = [
        say(position, status or "?", code, channel=channel, to=to, sid=f"SM{position:032x}")
        for position, (status, code, channel, to) in enumerate(said, 1)
    ]
    codes = {entry.code for entry in all_codes()} | {"other"}
    for _, labels in counted(log):
        for name, value in labels:
            match name:
                case "status":
                    assert value in PHASES.keys() | {"other"}
                case "channel":
                    assert value in CHANNELS | {"other"}
                case "error_code":
                    assert value in codes
                case "country":
                    assert value == "unknown" or (len(value) == 2 and value.isupper())
                case "effect":
                    assert value in {"decided", "late", "duplicate", "corrected", "unknown"}
                case _:
                    pytest.fail(f"no such label: {name}")
    counts, _ = statistics(log)
    for (_, channel, country, service), code in counts:
        assert channel in CHANNELS | {"other"}
        assert country == "" or len(country) == 2
        assert service in {"", "other"}
        assert code in {"", "other"} or (len(code) == 5 and code.isdigit())


LATENCIES = {
    "in order": ([say(1, "sent", received_at=NOON), say(2, "delivered", received_at=NOON + timedelta(seconds=9.5))], "10.0", "9.5"),
    "delivered came first": ([say(1, "delivered", received_at=NOON), say(2, "sent", received_at=NOON - timedelta(seconds=3))], "5.0", "3"),
    "sent received later": ([say(1, "delivered", received_at=NOON), say(2, "sent", received_at=NOON + timedelta(seconds=3))], "1.0", "0"),
    "on a bound": ([say(1, "sent", received_at=NOON), say(2, "delivered", received_at=NOON + timedelta(seconds=600))], "600.0", "600"),
    "over the last bound": ([say(1, "sent", received_at=NOON), say(2, "delivered", received_at=NOON + timedelta(days=9))], "+Inf", "777600"),
    "to the microsecond": (
        [say(1, "sent", received_at=NOON), say(2, "delivered", received_at=NOON + timedelta(microseconds=1_000_001))], "2.5", "1.000001",
    ),
    "a repetition changes nothing": (
        [say(1, "sent", received_at=NOON), say(2, "delivered", received_at=NOON + timedelta(seconds=7)), say(3, "delivered", date="2611231200")],
        "10.0", "7",
    ),
    "done dates are no clock": (
        [say(1, "sent", date="7001010000", received_at=NOON), say(2, "delivered", date="9912312359", received_at=NOON + timedelta(seconds=7))],
        "10.0", "7",
    ),
    "a done date of five digits": (
        [say(1, "sent", received_at=NOON), say(2, "delivered", date="26112", received_at=NOON + timedelta(seconds=7))], "10.0", "7",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("log", "le", "seconds"), LATENCIES.values(), ids=LATENCIES.keys())
def test_a_latency_counts_once_in_its_bucket(log: list[Said], le: str, seconds: str) -> None:
    """As of the event that completes the pair, never negative, in both projections."""
    values = counted(log)
    assert total(values, "twilio_message_delivery_seconds", le=le) == 1
    assert total(values, "twilio_message_delivery_seconds") == 1
    assert total(values, "twilio_message_delivery_seconds_sum", channel="sms") == Decimal(seconds)
    assert statistics(log)[1].total() == 1


@pytest.mark.parametrize(
    "log",
    [[say(1, "sent")], [say(1, "delivered")], [say(1, "sent"), say(2, "read")], [say(1, "read"), say(2, "delivered")]],
)
def test_half_a_pair_is_no_latency(log: list[Said]) -> None:
    """Reading says nothing of when a message was delivered."""
    assert total(counted(log), "twilio_message_delivery_seconds") == 0
    assert statistics(log)[1].total() == 0


FEES = {
    "a code that costs": ([say(1, "failed", "21610")], "0.001"),
    "no code": ([say(1, "failed")], "0.001"),
    "an unknown code": ([say(1, "failed", "99999")], "0.001"),
    "an exempt code": ([say(1, "failed", "30008")], "0"),
    "said twice": ([say(1, "failed", "21610"), say(2, "failed", "21610")], "0.001"),
    "an exempt code that comes late": ([say(1, "failed"), say(2, "failed", "30008")], "0.001"),
    "a costly code after an exempt one": ([say(1, "failed", "30008"), say(2, "failed", "21610")], "0"),
    "delivered after all": ([say(1, "failed", "21610"), say(2, "delivered")], "0.001"),
    "undelivered": ([say(1, "undelivered", "30003")], "0"),
    "after an outcome with a code of its own": ([say(1, "undelivered", "30003"), say(2, "failed", "30008")], "0"),
    "two messages": ([say(1, "failed", "21610"), say(2, "failed", "21610", sid=OTHER_SID)], "0.002"),
}


@pytest.mark.parametrize(("log", "dollars"), FEES.values(), ids=FEES.keys())
def test_a_failed_message_costs_its_fee_once(log: list[Said], dollars: str) -> None:
    """As the event that first says so has it; what comes later changes nothing, because a counter never goes down."""
    assert total(counted(log), "twilio_failed_message_fees_usd_total") == Decimal(dollars)


def test_a_correction_is_in_both_minutes() -> None:
    """Undelivered at noon, delivered after all seven minutes later."""
    log = [
        say(1, "undelivered", "30003", received_at=NOON),
        say(2, "delivered", received_at=NOON + timedelta(minutes=7, seconds=30)),
    ]
    counts, _ = statistics(log)
    rows = {(minute, code): +row for ((minute, *_), code), row in counts.items()}
    assert rows == {
        (NOON, "30003"): Counter(messages=1, undelivered=1, errors=1),
        (NOON + timedelta(minutes=7), ""): Counter(delivered=1, corrected=1),
    }
    assert all(set(row) == set(COUNTS) for row in counts.values())


def test_late_events_count_in_their_own_minute() -> None:
    """By when they were received, wherever they are in the log."""
    log = [
        say(1, "sent", sid=OTHER_SID, received_at=NOON),
        say(2, "sent", sid=SID, received_at=NOON - timedelta(hours=3, seconds=1)),
    ]
    counts, _ = statistics(log)
    assert sorted(minute for (minute, *_), _ in counts) == [NOON - timedelta(hours=3, minutes=1), NOON]


def test_a_latency_is_in_the_minute_of_the_delivery() -> None:
    """Also where the late sent completes the pair."""
    log = [say(1, "delivered", received_at=NOON), say(2, "sent", received_at=NOON + timedelta(minutes=5))]
    _, latencies = statistics(log)
    assert [(minute, bucket) for ((minute, *_), bucket) in latencies] == [(NOON, 0)]


def test_an_unknown_country_is_counted() -> None:
    """In the counters as unknown; in the statistics it is empty."""
    log = [say(1, "sent", to=None), say(2, "sent", sid=OTHER_SID, to="+999")]
    assert total(counted(log), "twilio_messages_sent_total", country="unknown") == 2
    assert [country for (_, _, country, _), _ in statistics(log)[0]] == [""]
