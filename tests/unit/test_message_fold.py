"""The fold: what was said decides, never when it came."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projections.fact import fact_of
from projections.message import Message, Said, fold
from tests.histories import NOON, SID, events, histories, say
from tracker.twilio.done_date import credible_done_date

PHASES = {
    "accepted": 1,
    "scheduled": 1,
    "queued": 2,
    "receiving": 2,
    "sending": 3,
    "sent": 4,
    **dict.fromkeys(("canceled", "failed", "undelivered", "partially_delivered", "received", "delivered"), 5),
    "read": 6,
}
OUTCOMES = ("canceled", "failed", "undelivered", "partially_delivered", "received", "delivered")
"""Weakest first."""


def state(message: Message | None) -> dict[str, Any]:
    """Everything that is known of a message, but for the order in which its facts became known."""
    assert message is not None
    attributes = {name: getattr(message, name) for name in Message.__slots__ if name != "standing"}
    said = {"facts": set(message.facts), "decided_fact": message.decided_fact, "error_code": message.error_code}
    return attributes | said | {"status": message.status, "is_final": message.is_final}


def state_of(history: Iterable[Said]) -> dict[str, Any]:
    """The state after these events."""
    return state(fold(history)[0])


def key(said: Said) -> tuple[object, ...]:
    """The rule, written down a second time: (phase, done date, outcome, has an error code, error code)."""
    status, code = said.status.strip().lower(), said.error_code or ""
    date = said.raw_dlr_done_date or ""
    is_number = code.isascii() and code.isdigit()
    return (
        PHASES.get(status, 0),
        date if credible_done_date(date, said.received_at) else "",
        OUTCOMES.index(status) if status in OUTCOMES else -1,
        code != "",
        (int(code) if is_number else -1, code),
        status,
    )


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


@given(histories())
def test_the_greatest_key_decides(history: list[Said]) -> None:
    """And of several events that say the same, the first in the log."""
    greatest = max(map(key, history))
    decided = state_of(history)
    assert decided["decided_by"] == min(said.position for said in history if key(said) == greatest)
    assert decided["status"] == greatest[-1]
    assert decided["is_final"] == (greatest[0] in {5, 6})
    assert decided["raw_dlr_done_date"] == history[decided["decided_by"] - 1].raw_dlr_done_date


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


@given(histories())
def test_the_route_is_one_events_own(history: list[Said]) -> None:
    """Addresses are never mixed from several callbacks; a recipient that was named is known."""
    decided = state_of(history)
    fields = ("to_address", "from_address", "messaging_service_sid", "account_sid", "channel")
    routes = [said for said in history if all(getattr(said, name) == decided[name] for name in fields)]
    named = [said for said in history if said.to_address is not None]
    assert routes
    assert max(map(key, routes)) == max(map(key, named or history))
    assert decided["country"] == {None: None, "+14155238886": "US", "+447400123456": "GB"}[decided["to_address"]]


D1, D2, FUTURE = "2611231140", "2611231150", "9912312359"

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
        "decided corrected",
        "undelivered",
        "30003",
        2,
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
        "decided late",
        "undelivered",
        "30003",
        1,
    ),
    "undelivered with a date, then delivered without": (
        [f"undelivered 30003 {D1}", "delivered"],
        "decided late",
        "undelivered",
        "30003",
        1,
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
    "a repetition that lost its date": ([f"delivered - {D1}", "delivered"], "decided duplicate", "delivered", None, 1),
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
    known = key(added)[0] != 0
    assert (effect == "unknown") == (not known)
    if known:
        assert (effect in {"decided", "corrected"}) == (key(added) > max(map(key, history)))
    if effect == "corrected":
        assert before["is_final"]
        assert after["status"] != before["status"]
    if effect == "duplicate":
        assert added.status.strip().lower() in {said.status.strip().lower() for said in history}
        assert after["error_code"] == before["error_code"]


def test_no_events_are_no_message() -> None:
    """The fold of nothing."""
    assert fold([]) == (None, [])


@given(events(1), events(1))
def test_facts_are_equal_when_they_say_the_same(one: Said, other: Said) -> None:
    """No two different facts compare equal, or the order of arrival would choose between them."""
    facts = [fact_of(said.status, said.error_code, said.raw_dlr_done_date, said.received_at) for said in (one, other)]
    said = [(fact.status, fact.error_code, fact.done_date) for fact in facts]
    assert (facts[0] == facts[1]) == (said[0] == said[1])
    assert (facts[0].key == facts[1].key) == (said[0] == said[1])
    assert facts[0] != one


def test_a_code_that_is_no_number_or_an_endless_one_is_kept() -> None:
    """A code is any text; as a number it is compared only where it is one."""
    for code in ("no number", "³", "9" * 200, "-1", "1e5"):
        assert state_of([say(1, "failed", code)])["error_code"] == code
    assert state_of([say(1, "failed", "9" * 200), say(2, "failed", "30003")])["error_code"] == "30003"


def test_sid_is_kept() -> None:
    """The state names its message."""
    assert state_of([say(1, "sent")])["message_sid"] == SID
