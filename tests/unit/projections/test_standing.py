"""What one more fact changes depends on what was said, and is remembered, within bounds."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.fold import lifecycle as standing
from projections.fold.lifecycle import MAX_FACTS, Standing, Step, beginning
from projections.fold.status_report import Fact
from projections.fold.summary import EMPTY


def fact(status: str, error_code: str = "", minute: int | None = None) -> Fact:
    """A fact; dated at that minute after noon, or without a date."""
    done_at = None if minute is None else datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
    return Fact(status, error_code, done_at, "", is_ahead=False)


FACTS = [
    fact(status, error_code, minute)
    for status in ("queued", "sent", "undelivered", "delivered", "read", "sideways")
    for error_code in ("", "30003", "30005")
    for minute in (None, 0, 1)
]


def steps(start: Standing, facts: list[Fact]) -> list[Step]:
    """One after the other."""
    found: list[Step] = []
    for fact in facts:
        found.append(start.step(fact))
        start = found[-1].standing
    return found


def told(step: Step) -> tuple[object, ...]:
    """All that a step says."""
    did = tuple(getattr(step.kind, name) for name in type(step.kind).__slots__)
    summary = step.standing.summary
    return (did, step.fact, step.standing.decision, summary.statuses, summary.dates, summary.codes)


@given(st.lists(st.sampled_from(FACTS), max_size=8))
def test_what_is_remembered_is_what_is_worked_out(facts: list[Fact]) -> None:
    """Along any way, whoever went there before."""
    assert list(map(told, steps(beginning(), facts))) == list(map(told, steps(Standing(EMPTY, 0), facts)))


def test_messages_that_go_the_same_way_share_it() -> None:
    """So a million messages cost what their ways cost."""
    way = [FACTS[0], FACTS[9], FACTS[27]]
    first, second = steps(beginning(), way), steps(beginning(), way)
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_fact_that_is_stated_again_leads_nowhere() -> None:
    """However often: a carrier that repeats itself takes no memory."""
    first, *others = steps(Standing(EMPTY, 0), [FACTS[0]] * 1000)
    assert {id(step.standing) for step in others} == {id(first.standing)}
    assert all(one is other for one, other in pairwise(others))


def test_done_dates_make_no_new_kinds() -> None:
    """They differ from minute to minute, and count alike."""
    queued = beginning().step(fact("queued")).standing
    dates = [fact("delivered", minute=minute) for minute in range(60)]
    assert len({id(queued.step(fact).kind) for fact in dates}) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step too many it begins anew; whoever is under way goes on."""
    monkeypatch.setattr(standing, "MAX_STEPS", 10)
    monkeypatch.setattr(standing, "_memory", standing._Memory())
    start = beginning()
    (queued,) = steps(start, [FACTS[0]])
    for minute in range(9):
        queued.standing.step(fact("delivered", minute=minute))
        assert beginning() is start
    last = queued.standing.step(fact("delivered", minute=59))
    assert beginning() is not start
    assert told(steps(beginning(), [FACTS[0], last.fact])[1]) == told(last)
    assert queued.standing.step(last.fact) is last


def test_long_ways_are_not_remembered() -> None:
    """No two messages with so many facts go the same way, and each of their standings is large."""
    way = [fact("undelivered", str(code)) for code in range(1, 2 * MAX_FACTS)]
    first, second = steps(beginning(), way), steps(beginning(), way)
    assert [one is other for one, other in zip(first, second, strict=True)] == [
        place < MAX_FACTS for place in range(len(way))
    ]
