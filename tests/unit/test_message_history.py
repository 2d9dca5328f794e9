"""A message's history as of a moment, and the sentences that explain it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.fold.message import Message, Said
from tracker.log.event import Event
from tracker.queries.as_of import AsOf, Clock, time_of
from tracker.queries.history import History, HistoryFold

SID = "SM" + "0" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def said(position: int, status: str, seconds: float = 0, code: str | None = None, date: str | None = None) -> Event:
    """An event that reached us so long after noon."""
    return Event(
        position=position,
        event_id=UUID(int=position),
        source="callback",
        account_sid=None,
        message_sid=SID,
        status=status,
        error_code=code,
        raw_dlr_done_date=date,
        channel="sms",
        from_address=None,
        to_address="+14155238886",
        messaging_service_sid=None,
        received_at=NOON + timedelta(seconds=seconds),
        recorded_at=NOON,
        url="",
        body=b"",
        signature="",
        idempotency_token=None,
        key_id="",
    )


def history(*given: tuple[str, str | None, str | None]) -> list[Event]:
    """Statuses with code and date, at positions 1, 2, 3 …"""
    return [
        said(position, status, position, code, date) for position, (status, code, date) in enumerate(given, start=1)
    ]


def fold_of(events: Iterable[Event], as_of: AsOf | None = None) -> HistoryFold:
    """The events folded, all of them on one page."""
    fold = HistoryFold(as_of)
    fold.add(
        Said(
            event.position,
            event.message_sid,
            event.account_sid,
            event.status,
            event.error_code,
            event.raw_dlr_done_date,
            event.channel,
            event.from_address,
            event.to_address,
            event.messaging_service_sid,
            event.received_at,
        )
        for event in events
    )
    return fold


def tell(events: Sequence[Event], as_of: AsOf | None = None) -> History | None:
    """The history that the events make; None when none of them counts."""
    fold = fold_of(events, as_of)
    noted = {each.position for each in fold.noted}
    return None if fold.message is None else fold.history([event for event in events if event.position in noted])


def state(events: Sequence[Event], as_of: AsOf | None = None) -> Message | None:
    """The state after the events that count; None when none does."""
    return fold_of(events, as_of).message


@pytest.mark.parametrize(
    ("given", "explanation"),
    [
        pytest.param([("sent", None, None)], None, id="the first"),
        pytest.param([("sent", None, None), ("delivered", None, None)], None, id="one step further"),
        pytest.param([("delivered", None, None), ("read", None, None)], None, id="read after delivered"),
        pytest.param(
            [("delivered", None, None), ("sent", None, None)],
            "Position 2 said sent after position 1 had said delivered: late, the message stays delivered.",
            id="late sent",
        ),
        pytest.param(
            [("read", None, None), ("delivered", None, None)],
            "Position 2 said delivered after position 1 had said read: late, the message stays read.",
            id="read before delivered",
        ),
        pytest.param(
            [("sent", None, None), ("delivered", None, None), ("sent", None, None)],
            "Position 3 repeats what position 1 had said: duplicate, the message stays delivered.",
            id="a duplicate names the event that it repeats",
        ),
        pytest.param(
            [("queued", None, None), ("sent", None, None), ("sent", None, None)],
            "Position 3 repeats what position 2 had said: duplicate, the message stays sent.",
            id="not any earlier event",
        ),
        pytest.param(
            [("queued", None, None), ("undelivered", "30003", None), ("undelivered", "30003", None)],
            "Position 3 repeats what position 2 had said: duplicate, the message stays undelivered.",
            id="nor one of another status",
        ),
        pytest.param(
            [("failed", "30003", None), ("failed", "30005", None), ("failed", None, None)],
            "Position 3 repeats what position 1 had said: duplicate, the message stays failed.",
            id="of those that say more the first",
        ),
        pytest.param(
            [("undelivered", "30003", None), ("undelivered", None, None)],
            "Position 2 repeats what position 1 had said: duplicate, the message stays undelivered.",
            id="a repetition that says less",
        ),
        pytest.param(
            [("undelivered", "30003", None), ("delivered", None, None)],
            "Position 2 said delivered after position 1 had said undelivered: it corrects the outcome, because "
            "delivered outweighs "
            "undelivered unless the carrier dates it more than 26 hours earlier.",
            id="corrected without dates",
        ),
        pytest.param(
            [("delivered", None, "2602281200"), ("undelivered", None, "2603011401")],
            "Position 2 said undelivered after position 1 had said delivered: it corrects the outcome, because "
            "the carrier dates it more than 26 hours later, 2026-03-01 14:01 over 2026-02-28 12:00, "
            "which no difference of time zones explains.",
            id="corrected by a later date",
        ),
        pytest.param(
            [
                ("delivered", None, "2602281200"),
                ("undelivered", None, "2603010000"),
                ("canceled", None, "2603011401"),
            ],
            "Position 3 said canceled after position 1 had said delivered: it corrects the outcome to undelivered, "
            "because the carrier dates another outcome more than 26 hours later than delivered.",
            id="corrected in favour of a third",
        ),
        pytest.param(
            [("delivered", None, None), ("undelivered", None, "2603011205")],
            "Position 2 said undelivered after position 1 had said delivered: late, the message stays delivered.",
            id="the only date supersedes nothing",
        ),
        pytest.param(
            [("undelivered", None, None), ("undelivered", None, "2603011205")],
            "Position 2 said undelivered again and decides now, because it carries the carrier's done date and "
            "the other report has none that is credible.",
            id="decided by the only date",
        ),
        pytest.param(
            [("undelivered", None, None), ("undelivered", "30003", None)],
            "Position 2 said undelivered again and decides now, because it names an error code and the other "
            "report has none.",
            id="the code comes second",
        ),
        pytest.param(
            [("failed", "30003", None), ("failed", "30005", None)],
            "Position 2 said failed again and decides now, because of two error codes the greater is taken, "
            "30005 over 30003.",
            id="two codes",
        ),
        pytest.param(
            [("undelivered", None, "2603011205"), ("undelivered", "30003", None)],
            "Position 2 said undelivered after position 1 had said undelivered: late, the message stays "
            "undelivered, now with the error "
            "code 30003.",
            id="late, but it brings the code",
        ),
        pytest.param(
            [("sent", None, None), ("Teleported", None, None)],
            "Position 2 said “teleported”, a status that is not known here: kept, and the message stays sent.",
            id="unknown",
        ),
        pytest.param(
            [("teleported", None, None)],
            "Position 1 said “teleported”, a status that is not known here: kept, and it stands until a known "
            "status comes.",
            id="unknown and alone",
        ),
    ],
)
def test_the_last_event_is_explained(given: list[tuple[str, str | None, str | None]], explanation: str | None) -> None:
    """In one sentence, and only where its effect is not what anyone would expect."""
    told = tell(history(*given))
    assert told is not None
    assert told.entries[-1].explanation == explanation


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param([("sent", None, None)], "Position 1 decides, with sent: nothing else was said.", id="alone"),
        pytest.param(
            [("sent", None, None), ("delivered", None, None), ("sent", None, None)],
            "Position 2 decides, with delivered: delivered goes further than sent.",
            id="further",
        ),
        pytest.param(
            [("teleported", None, None), ("queued", None, None)],
            "Position 2 decides, with queued: “teleported” is a status that is not known here.",
            id="over an unknown one",
        ),
        pytest.param(
            [("undelivered", None, "2603011205"), ("undelivered", "30003", None)],
            "Position 1 decides, with undelivered: it carries the carrier's done date and the other report has "
            "none that is credible; the error code "
            "30003 was said of the same status by another event.",
            id="a code from another event",
        ),
        pytest.param(
            [("accepted", None, None), ("scheduled", None, None)],
            "Position 2 decides, with scheduled: between scheduled and accepted only the alphabet decides.",
            id="no reason at all",
        ),
    ],
)
def test_the_decision_is_explained(given: list[tuple[str, str | None, str | None]], why: str) -> None:
    """Against the strongest of the others."""
    told = tell(history(*given))
    assert told is not None
    assert told.why == why


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["queued", "sent", "delivered", "undelivered", "failed", "read", "odd"]),
        st.sampled_from([None, "30003", "30005"]),
        st.sampled_from([None, "2603011150", "2603011201", "2603011210", "9912312359", "junk"]),
        st.integers(0, 900),
    ),
    min_size=1,
    max_size=8,
).map(
    lambda given: [said(place, status, at, code, date) for place, (status, code, date, at) in enumerate(given, start=1)]
)
MOMENTS = st.builds(
    AsOf, st.integers(-900, 1000).map(lambda seconds: NOON + timedelta(seconds=seconds)), st.sampled_from(list(Clock))
)


@given(EVENTS, MOMENTS)
def test_an_answer_as_of_a_moment_is_the_answer_of_the_events_that_count(events: list[Event], as_of: AsOf) -> None:
    """No other event leaves a trace in the state; and there is no answer exactly where no event counts."""
    counting = [event for event in events if time_of(event, as_of.clock) <= as_of.moment]
    message, told = state(events, as_of), tell(events, as_of)
    if message is None or told is None:
        assert (message, told, counting) == (None, None, [])
        assert fold_of(events, as_of).why_nothing(SID).startswith(("Nothing was known of", "Nothing had happened to"))
        return
    alone = state(counting)
    assert alone is not None
    for name in (
        "status",
        "is_final",
        "error_code",
        "decided_by",
        "event_count",
        "sent_at",
        "delivered_at",
        "last_received_at",
    ):
        assert getattr(message, name) == getattr(alone, name) == getattr(told.message, name)
    assert [entry.event for entry in told.entries] == counting


@given(EVENTS, MOMENTS)
def test_an_effect_does_not_depend_on_the_moment(events: list[Event], as_of: AsOf) -> None:
    """It is what the event did when it was appended, after everything before it and nothing else."""
    told = tell(events, as_of)
    for entry in () if told is None else told.entries:
        until = tell([event for event in events if event.position <= entry.event.position])
        assert until is not None
        assert entry == until.entries[-1]


@given(EVENTS)
def test_every_history_can_be_explained(events: list[Event]) -> None:
    """Each sentence names its own position, and late, corrected, duplicate and unknown events all have one."""
    told = tell(events)
    assert told is not None
    assert told.why.startswith(f"Position {told.message.decided_by} decides")
    for event, effect, explanation in told.entries:
        assert explanation is None or explanation.startswith(f"Position {event.position} ")
        assert explanation is not None or effect == "decided"


@pytest.mark.parametrize(
    ("date", "clock", "moment"),
    [
        pytest.param("2603011130", Clock.HAPPENED, NOON - timedelta(minutes=30), id="the carrier's date"),
        pytest.param("2603011130", Clock.KNOWN, NOON, id="not on the other clock"),
        pytest.param(None, Clock.HAPPENED, NOON, id="no date"),
        pytest.param("junk", Clock.HAPPENED, NOON, id="no date that can be read"),
        pytest.param("9912312359", Clock.HAPPENED, NOON, id="nothing happens after it is reported"),
        pytest.param("2603011201", Clock.HAPPENED, NOON, id="not even a minute after"),
        pytest.param("2603011200", Clock.HAPPENED, NOON, id="the same minute"),
        pytest.param("2603011730", Clock.HAPPENED, NOON, id="a date in another time zone"),
    ],
)
def test_the_time_of_an_event(date: str | None, clock: Clock, moment: datetime) -> None:
    """The carrier's only on the clock that asks for it, and never after the event was received."""
    assert time_of(said(1, "delivered", 0, None, date), clock) == moment
