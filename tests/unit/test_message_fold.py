"""The fold: what was said decides, never when it came."""

import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from projections.fold.message import MAX_PLACES, Message, Said, fold
from projections.fold.status_report import fact_of
from tests.support.projections.histories import NOON, SID, events, histories, say
from tests.support.projections.reference_fold import OUTCOMES, PHASES, reference_state, status_of

STATE = (*reference_state([say(1, "sent")]).keys() - {"superseded"}, "account_sid", "message_sid")
TIMES = ("first_received_at", "last_received_at", "sent_at", "delivered_at")
ROUTE = ("channel", "country", "from_address", "messaging_service_sid", "to_address")


def state(message: Message | None) -> dict[str, Any]:
    """Everything that is known of a message, but for what depends on the order of its events."""
    assert message is not None
    known = {name: getattr(message, name) for name in (*STATE, *ROUTE)}
    summary = message.standing.summary
    facts = {"decided_fact": message.decided_fact, "statuses": summary.statuses, "dates": summary.dates}
    return known | facts | {"superseded": message.decision.superseded}


def state_of(history: Iterable[Said]) -> dict[str, Any]:
    """The state after these events."""
    return state(fold(history)[0])


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_state(history: list[Said], random: Any) -> None:
    """Positions are the events' identity; the order in which they are taken in is not."""
    shuffled = random.sample(history, len(history))
    assert state_of(shuffled) == state_of(history)


@given(histories(max_size=5), st.data())
def test_any_repetition_gives_the_same_state(history: list[Said], data: st.DataObject) -> None:
    """Twilio says things twice. Only the number of events tells."""
    repeated = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=4))))
    assert state_of(repeated) == state_of(history) | {"event_count": len(repeated)}


@given(histories(max_size=5), st.data())
def test_a_duplicate_callback_changes_no_answer(history: list[Said], data: st.DataObject) -> None:
    """The same callback received again is an event of its own, and moves what counts events and nothing else."""
    again = data.draw(st.sampled_from(history))._replace(position=len(history) + 1)
    counted = {"event_count": len(history) + 1, "last_position": len(history) + 1}
    assert state_of([*history, again]) == state_of(history) | counted


@given(histories(max_size=9))
def test_the_fold_agrees_with_the_rule(history: list[Said]) -> None:
    """As it is written down a second time, for the whole set at once."""
    found = state_of(history)
    expected = reference_state(history)
    assert {name: found[name] for name in expected} == expected


@given(histories(max_size=5), events(6))
def test_no_event_removes_an_error_code_of_the_deciding_status(history: list[Said], added: Said) -> None:
    """A repetition without the code, or with another carrier's date, erases nothing."""
    before, after = state_of(history), state_of([*history, added])
    if after["status"] == before["status"] and before["error_code"] is not None:
        assert after["error_code"] is not None


@given(histories())
def test_an_error_code_was_said_of_the_deciding_status(history: list[Said]) -> None:
    """And one that was said of it is never left out."""
    decided = state_of(history)
    codes = {said.error_code for said in history if said.status.strip().lower() == decided["status"]} - {None}
    assert decided["error_code"] in (codes or {None})


@given(histories())
def test_times_are_those_of_the_first_and_the_last(history: list[Said]) -> None:
    """When it was first said to be sent and delivered, when anything was said first and last."""
    times: dict[str, list[object]] = {"sent": [], "delivered": []}
    for said in history:
        times.setdefault(said.status.strip().lower(), []).append(said.received_at)
    decided = state_of(history)
    assert decided["sent_at"] == min(times["sent"], default=None)  # pyright: ignore[reportArgumentType]
    assert decided["delivered_at"] == min(times["delivered"], default=None)  # pyright: ignore[reportArgumentType]
    assert decided["first_received_at"] == min(said.received_at for said in history)
    assert decided["last_received_at"] == max(said.received_at for said in history)
    assert decided["event_count"] == decided["last_position"] == len(history)


def order(said: Said) -> tuple[object, ...]:
    """How far the status of an event goes."""
    status = status_of(said)
    return PHASES.get(status, 0), OUTCOMES.index(status) if status in OUTCOMES else -1, status


@given(histories())
def test_the_route_is_one_events_own(history: list[Said]) -> None:
    """Addresses are never mixed from several callbacks; a recipient that was named is known."""
    decided = state_of(history)
    fields = ("to_address", "from_address", "messaging_service_sid", "channel")
    routes = [said for said in history if all(getattr(said, name) == decided[name] for name in fields)]
    named = [said for said in history if said.to_address is not None]
    assert routes
    assert max(map(order, routes)) == max(map(order, named or history))
    assert decided["country"] == {None: None, "+14155238886": "US", "+447400123456": "GB"}[decided["to_address"]]


D0, D1, D2, FUTURE = "2611221100", "2611231140", "2611231150", "9912312359"
D27 = "2611231400"
"""27 hours after D0."""

SEQUENCES = {
    # What is said, in this order; what each event did when it came; then the status, the error code and who decided.
    "an ordinary life": (["queued", "sent", "delivered", "read"], "decided decided decided decided", "read", None, 4),
    "a late sent after delivered": (["delivered", "sent"], "decided late", "delivered", None, 1),
    "read before delivered": (["read", "delivered"], "decided late", "read", None, 1),
    "everything backwards": (
        ["read", "delivered", "sent", "queued", "accepted"],
        "decided late late late late",
        "read",
        None,
        1,
    ),
    "undelivered, then delivered": (["undelivered 30003", "delivered"], "decided corrected", "delivered", None, 2),
    "delivered, then undelivered": (["delivered", "undelivered 30003"], "decided late", "delivered", None, 1),
    "undelivered, then delivered, both with dates": (
        [f"undelivered 30003 {D1}", f"delivered - {D2}"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "delivered, then undelivered, both with dates": (
        [f"delivered - {D1}", f"undelivered 30003 {D2}"],
        "decided late",
        "delivered",
        None,
        1,
    ),
    "the carrier's earlier failure comes after its later receipt": (
        [f"delivered - {D2}", f"undelivered 30003 {D1}"],
        "decided late",
        "delivered",
        None,
        1,
    ),
    "the carrier's earlier receipt comes after its later failure": (
        [f"undelivered 30003 {D2}", f"delivered - {D1}"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "undelivered with a date, then delivered without": (
        [f"undelivered 30003 {D1}", "delivered"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "undelivered without a date, then delivered with": (
        ["undelivered 30003", f"delivered - {D1}"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "both outcomes in the same minute": (
        [f"undelivered 30003 {D1}", f"delivered - {D1}"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "both outcomes in the same minute, the other way round": (
        [f"delivered - {D1}", f"undelivered 30003 {D1}"],
        "decided late",
        "delivered",
        None,
        1,
    ),
    "a failure repeated without its code": (["failed 30003", "failed"], "decided duplicate", "failed", "30003", 1),
    "a failure repeated with a date and without its code": (
        [f"undelivered 30003 {D1}", f"undelivered - {D2}"],
        "decided decided",
        "undelivered",
        "30003",
        2,
    ),
    "a failure whose code comes later": (["failed", "failed 30003"], "decided decided", "failed", "30003", 2),
    "a failure with two codes": (["undelivered 30005", "undelivered 30003"], "decided late", "undelivered", "30005", 1),
    "a failure whose later code is greater": (
        ["undelivered 30003", "undelivered 30005"],
        "decided decided",
        "undelivered",
        "30005",
        2,
    ),
    "codes are compared as numbers": (
        ["undelivered 9999", "undelivered 30003"],
        "decided decided",
        "undelivered",
        "30003",
        2,
    ),
    "an unknown status in the middle": (
        ["sent", "teleported", "delivered"],
        "decided unknown decided",
        "delivered",
        None,
        3,
    ),
    "an unknown status alone": (["teleported", "teleported"], "unknown unknown", "teleported", None, 1),
    "two unknown statuses": (["zzz", "teleported"], "unknown unknown", "zzz", None, 1),
    "a known status after an unknown one": (["teleported", "queued"], "unknown decided", "queued", None, 2),
    "failed, then sent": (["failed 30001", "sent"], "decided late", "failed", "30001", 1),
    "failed, then delivered": (["failed 30001", "delivered"], "decided corrected", "delivered", None, 2),
    "canceled, then delivered": (["canceled", "delivered"], "decided corrected", "delivered", None, 2),
    "delivered, then canceled": (["delivered", "canceled"], "decided late", "delivered", None, 1),
    "undelivered, then read": (["undelivered 63016", "read"], "decided corrected", "read", None, 2),
    "the same done date from a carrier whose clock is wrong": (
        [f"undelivered 30003 {FUTURE}", "delivered"],
        "decided corrected",
        "delivered",
        None,
        2,
    ),
    "a date that adds to what is known": (["delivered", f"delivered - {D1}"], "decided decided", "delivered", None, 2),
    "a repetition that lost its date": ([f"delivered - {D1}", "delivered"], "decided late", "delivered", None, 1),
    "both outcomes, the later report more than 26 hours later by its date": (
        [f"delivered - {D0}", f"undelivered 30003 {D27}"],
        "decided corrected",
        "undelivered",
        "30003",
        2,
    ),
    "the same, but one receipt has no date": (
        [f"delivered - {D0}", "delivered", f"undelivered 30003 {D27}"],
        "decided late late",
        "delivered",
        None,
        1,
    ),
    "a third outcome supersedes the strongest, and the second decides": (
        [f"delivered - {D0}", f"undelivered 30003 {D1}", f"canceled - {D27}"],
        "decided late corrected",
        "undelivered",
        "30003",
        2,
    ),
    "Event Streams say it in capitals": (["delivered", "DELIVERED"], "decided duplicate", "delivered", None, 1),
    "the same said three times": (
        ["delivered", "delivered", "delivered"],
        "decided duplicate duplicate",
        "delivered",
        None,
        1,
    ),
}


def spoken(sequence: list[str]) -> list[Said]:
    """Events from ``status [code or -] [done date]``."""
    history: list[Said] = []
    for position, text in enumerate(sequence, start=1):
        status, code, date = (*text.split(), None, None)[:3]
        history.append(say(position, str(status), None if code == "-" else code, date))
    return history


@pytest.mark.parametrize(
    ("sequence", "effects", "status", "error_code", "decided_by"), SEQUENCES.values(), ids=SEQUENCES.keys()
)
def test_what_each_event_does(
    sequence: list[str], effects: str, status: str, error_code: str | None, decided_by: int
) -> None:
    """In the order of arrival; and what is known after all of them."""
    message, steps = fold(spoken(sequence))
    assert message is not None
    assert " ".join(step.kind.effect for step in steps) == effects
    assert (message.status, message.error_code, message.decided_by) == (status, error_code, decided_by)


def test_both_halves_of_a_race_within_one_second() -> None:
    """Sent and delivered are received at the same moment, by two workers, and appended either way round."""
    sent = say(1, "sent", received_at=NOON)
    delivered = say(2, "delivered", received_at=NOON)
    for first, second in ((sent, delivered), (delivered._replace(position=1), sent._replace(position=2))):
        message, _ = fold([first, second])
        assert message is not None
        assert (message.status, message.sent_at, message.delivered_at) == ("delivered", NOON, NOON)
        assert message.event_count == 2


FINAL = {
    **dict.fromkeys(
        ("delivered", "undelivered", "failed", "canceled", "read", "received", "partially_delivered"), True
    ),
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent", "receiving", "teleported"), False),
}


@pytest.mark.parametrize(("status", "is_final"), FINAL.items())
def test_final_statuses(status: str, is_final: bool) -> None:
    """Those after which nothing more is waited for."""
    assert state_of([say(1, status)])["is_final"] is is_final


def test_rcs_that_fell_back_to_sms_has_the_route_that_was_used() -> None:
    """Sender and channel differ between callbacks; the one that says the most names them, unless it names no recipient."""
    sent = say(1, "sent", sender="rcs:agent", channel="rcs")
    delivered = say(2, "delivered", sender="+15017122661", channel="sms")
    read = say(3, "read", sender=None, channel="sms", to=None)
    for history in ([sent, delivered, read], [read, delivered, sent], [delivered, read, sent]):
        decided = state_of(history)
        assert (decided["channel"], decided["from_address"], decided["to_address"]) == (
            "sms",
            "+15017122661",
            "+14155238886",
        )


def test_what_is_reached_is_reached_once() -> None:
    """For projections that count messages, not events: each status and each error code once a message, in any order."""
    _, steps = fold(
        spoken(["sent", "delivered", "sent", "undelivered 30003", "undelivered 30005", "failed 30003", "delivered"])
    )
    assert [step.kind.reached for step in steps] == [True, True, False, True, False, True, False]
    assert [step.kind.new_error_code for step in steps] == [False, False, False, True, True, False, False]
    assert [step.kind.status_before for step in steps] == [None, "sent", *["delivered"] * 5]


@given(histories())
def test_each_status_and_each_code_is_new_exactly_once(history: list[Said]) -> None:
    """However often it is said."""
    _, steps = fold(history)
    statuses = [step.fact.status for step in steps if step.kind.reached]
    codes = [step.fact.error_code for step in steps if step.kind.new_error_code]
    assert sorted(statuses) == sorted({said.status.strip().lower() for said in history})
    assert sorted(codes) == sorted({said.error_code for said in history if said.error_code})


@given(histories(), events(6))
@example([say(1, "delivered")], say(6, "read"))
def test_effects_tell_what_happened_to_the_state(history: list[Said], added: Said) -> None:
    """Decided and corrected change what decides, late and duplicate do not, and a duplicate adds no fact to the status."""
    before = state_of(history)
    message, steps = fold([*history, added])
    after, effect = state(message), steps[-1].kind.effect
    known = status_of(added) in PHASES
    assert (effect == "unknown") == (not known)
    if effect == "decided":
        assert after["decided_by"] == added.position
    if effect == "corrected":
        assert before["is_final"]
        assert after["status"] != before["status"]
    elif before["is_final"]:
        assert after["status"] == before["status"] or (before["status"], after["status"]) == ("delivered", "read")
    if effect == "duplicate":
        counted = {name: after[name] for name in ("event_count", "last_position", *TIMES, *ROUTE)}
        assert after == before | counted


HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def date(moment: datetime) -> str:
    """A done date as carriers write it."""
    return moment.strftime("%y%m%d%H%M")


@pytest.mark.parametrize(("apart", "status"), [(26 * HOUR, "delivered"), (26 * HOUR + MINUTE, "undelivered")])
def test_an_outcome_is_superseded_by_a_date_more_than_26_hours_later(apart: timedelta, status: str) -> None:
    """So far apart no two time zones are. At exactly 26 hours the stronger outcome still decides, in any order."""
    history = [
        say(1, "delivered", date=date(NOON - 20 * HOUR), received_at=NOON),
        say(2, "undelivered", date=date(NOON - 20 * HOUR + apart), received_at=NOON),
    ]
    assert state_of(history)["status"] == state_of(reversed(history))["status"] == status


@pytest.mark.parametrize(("ahead", "status"), [(15 * HOUR, "undelivered"), (15 * HOUR + MINUTE, "delivered")])
def test_a_date_more_than_15_hours_ahead_of_its_event_is_not_credible(ahead: timedelta, status: str) -> None:
    """It counts as none, so it supersedes nothing."""
    history = [
        say(1, "delivered", date=date(NOON - 20 * HOUR), received_at=NOON),
        say(2, "undelivered", date=date(NOON + ahead), received_at=NOON),
    ]
    assert state_of(history)["status"] == state_of(reversed(history))["status"] == status


@pytest.mark.parametrize(("before", "status"), [(26 * HOUR, "undelivered"), (26 * HOUR + MINUTE, "delivered")])
def test_a_date_more_than_26_hours_before_the_first_event_is_not_credible(before: timedelta, status: str) -> None:
    """It counts as none, so its outcome is not superseded."""
    history = [
        say(1, "delivered", date=date(NOON - before), received_at=NOON + HOUR),
        say(2, "undelivered", date=date(NOON + HOUR), received_at=NOON + HOUR),
        say(3, "sent", received_at=NOON),
    ]
    assert {state_of(order)["status"] for order in permutations(history)} == {status}


def test_a_date_is_credible_once_any_event_states_it_in_time() -> None:
    """A callback that came before its time, by the carrier's clock, is believed when the same date is stated later."""
    early = say(1, "undelivered", "30003", date(NOON + 20 * HOUR), received_at=NOON)
    receipt = say(2, "delivered", date=date(NOON - 20 * HOUR), received_at=NOON)
    again = say(3, "failed", date=date(NOON + 20 * HOUR), received_at=NOON + 6 * HOUR)
    assert state_of([early, receipt])["status"] == "delivered"
    for order in permutations([early, receipt, again]):
        assert (state_of(order)["status"], state_of(order)["decided_by"]) == ("undelivered", 1)


def test_an_earlier_event_can_make_a_date_credible() -> None:
    """The lower bound is that of the whole message: an event that comes last and was received first lowers it."""
    receipt = say(1, "delivered", date=date(NOON - 28 * HOUR), received_at=NOON)
    failure = say(2, "undelivered", "30003", date(NOON), received_at=NOON)
    first = say(3, "sent", received_at=NOON - 2 * HOUR)
    message, steps = fold([receipt, failure, first])
    assert message is not None
    assert (message.status, message.decided_by, message.error_code) == ("undelivered", 2, "30003")
    assert [step.kind.effect for step in steps] == ["decided", "late", "corrected"]
    assert (steps[-1].kind.status_before, steps[-1].kind.status_after) == ("delivered", "undelivered")


def test_the_readmes_example_holds() -> None:
    """projections/README.md works the rule out for two reports, one of them dated in India."""
    failure = say(1, "undelivered", "30003", "2611242053", received_at=datetime(2026, 11, 24, 15, 25, tzinfo=UTC))
    receipt = say(2, "delivered", None, "2611241524", received_at=datetime(2026, 11, 24, 15, 26, tzinfo=UTC))
    earlier = receipt._replace(raw_dlr_done_date="2611231524")
    undated = receipt._replace(position=3, raw_dlr_done_date=None)
    for history, status in (
        ([failure, receipt], "delivered"),
        ([failure, earlier], "undelivered"),
        ([failure, earlier, undated], "delivered"),
    ):
        assert {state_of(order)["status"] for order in permutations(history)} == {status}
        assert state_of(history)["has_conflict"]


TRICKY = (
    say(1, "delivered", date="2611221000", received_at=NOON),
    say(2, "undelivered", "30003", "2611231201", received_at=NOON),
    say(3, "undelivered", "30005", "2611240400", received_at=NOON),
    say(4, "failed", date="2611240400", received_at=NOON + 6 * HOUR),
    say(5, "sent", received_at=NOON - 2 * HOUR),
    say(6, "delivered", received_at=NOON + HOUR, message="a text"),
    say(7, "canceled", "9", "9912312359", received_at=NOON),
    say(8, "undelivered", "30003", "2611220900", received_at=NOON - HOUR, message="another text"),
)
"""Events whose dates stand and fall with each other."""


@pytest.mark.parametrize("size", range(1, 7))
def test_every_permutation_of_up_to_six_events_gives_one_state(size: int) -> None:
    """Of every choice of the events, and it is the state of the rule."""
    for chosen in combinations(TRICKY, size):
        expected = reference_state(chosen)
        states = [state_of(order) for order in permutations(chosen)]
        assert all(each == states[0] for each in states)
        assert {name: states[0][name] for name in expected} == expected


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(100, 400))
def test_a_giant_message_is_folded_by_the_same_rule(seed: int, size: int) -> None:
    """More dates, codes and statuses than are remembered: still a function of the set, and the bounded rule's."""
    random = Random(seed)
    history = [
        say(
            position,
            random.choice([*OUTCOMES, "sent", f"odd{random.randrange(90)}"]),
            random.choice([None, str(random.randrange(1, 99_999)), f"x{random.randrange(99)}"]),
            random.choice([None, date(NOON + random.randrange(-40 * 60, 40 * 60) * MINUTE)]),
            received_at=NOON + random.randrange(0, 24 * 60) * MINUTE,
            message=random.choice([None, None, f"text {random.randrange(9)}"]),
        )
        for position in range(1, size + 1)
    ]
    expected = reference_state(history)
    first = state_of(history)
    assert {name: first[name] for name in expected} == expected
    assert state_of(random.sample(history, size)) == first


def test_a_giant_message_costs_the_same_per_event_however_many_it_has() -> None:
    """What is remembered is bounded, and so is the work: counted in facts compared, not in seconds."""
    history = [
        say(position, "undelivered", str(position), date(NOON - position % 1500 * MINUTE))
        for position in range(1, 10_001)
    ]
    message, _ = fold(history)
    assert message is not None
    summary = message.standing.summary
    assert (len(summary.codes), summary.has_more_codes, len(summary.dates)) == (32, True, 32)
    assert len(summary.statuses) == 1
    assert len(message.places or ()) <= MAX_PLACES
    sizes = []
    for size in (1_000, 10_000):
        tracemalloc.start()
        fold(history[:size])
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The steps that are returned are of their size; nothing else is.
    assert sizes[1] < 11 * sizes[0]


def test_the_messages_text_is_that_of_the_deciding_status() -> None:
    """Of the deciding event, or of the greatest other event of the same status that has one; never of another status."""
    texts = [
        say(1, "undelivered", "63016", message="outside the window"),
        say(2, "undelivered", "63016"),
        say(3, "failed", "63024", message="no such user"),
    ]
    for order in permutations(texts):
        assert state_of(order)["error_message"] == "outside the window"
    assert state_of([*texts, say(4, "delivered")])["error_message"] is None


@pytest.mark.parametrize(
    ("statuses", "conflict"),
    [
        ("delivered", False),
        ("delivered read", False),
        ("delivered undelivered", True),
        ("undelivered read", True),
        ("failed failed", False),
        ("failed undelivered", True),
        ("sent queued delivered", False),
        ("teleported delivered", False),
    ],
)
def test_two_different_outcomes_are_a_conflict(statuses: str, conflict: bool) -> None:
    """Reading confirms a delivery and contradicts everything else."""
    for order in permutations(spoken(statuses.split())):
        assert state_of(order)["has_conflict"] is conflict


def test_effects_seen_are_those_of_all_events() -> None:
    """A bit each."""
    message, steps = fold(spoken(["sent", "delivered", "sent", "undelivered 30003", "teleported", "read"]))
    assert message is not None
    assert [step.kind.effect for step in steps] == ["decided", "decided", "duplicate", "late", "unknown", "decided"]
    assert message.effects_seen == 1 | 4 | 2 | 16
    assert fold(spoken(["failed", "delivered"]))[0].effects_seen == 1 | 8  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("statuses", "direction"),
    [("received", "inbound"), ("receiving", "inbound"), ("receiving received", "inbound"), ("sent", "outbound")],
)
def test_the_direction_follows_from_the_status(statuses: str, direction: str) -> None:
    """Only messages to us are received."""
    message, _ = fold(spoken(statuses.split()))
    assert message is not None
    assert message.direction == direction


def test_no_events_are_no_message() -> None:
    """The fold of nothing."""
    assert fold([]) == (None, [])


@given(events(1), events(1))
def test_facts_are_equal_when_they_say_the_same(one: Said, other: Said) -> None:
    """No two different facts compare equal, or the order of arrival would choose between them."""
    facts = [
        fact_of(said.status, said.error_code, said.raw_dlr_done_date, said.received_at, said.error_message)
        for said in (one, other)
    ]
    same = len({(fact.status, fact.error_code, fact.done_at, fact.is_ahead, fact.error_message) for fact in facts}) == 1
    assert (facts[0] == facts[1]) == same
    assert (facts[0].order == facts[1].order) == same
    assert facts[0] != one


def test_a_code_that_is_no_number_or_an_endless_one_is_kept() -> None:
    """A code is any text; as a number it is compared only where it is one."""
    for code in ("no number", "³", "9" * 200, "-1", "1e5"):
        assert state_of([say(1, "failed", code)])["error_code"] == code
    assert state_of([say(1, "failed", "9" * 200), say(2, "failed", "30003")])["error_code"] == "30003"


def test_sid_is_kept() -> None:
    """The state names its message."""
    assert state_of([say(1, "sent")])["message_sid"] == SID
