"""What one more fact changes depends on what was said, and is remembered, within bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import standing
from projections.fact import Fact
from projections.standing import Standing, Step, beginning

FACTS = [
    Fact(status, error_code, done_date)
    for status in ("queued", "sent", "undelivered", "delivered", "read", "sideways")
    for error_code in ("", "30003", "30005")
    for done_date in ("", "2611231200", "2611231201")
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
    return (
        did,
        step.fact,
        step.decides,
        step.confirms,
        set(step.standing.facts),
        step.standing.decided,
        step.standing.error_code,
    )


@given(st.lists(st.sampled_from(FACTS), max_size=8))
def test_what_is_remembered_is_what_is_worked_out(facts: list[Fact]) -> None:
    """Along any way, whoever went there before."""
    assert list(map(told, steps(beginning(), facts))) == list(map(told, steps(Standing({}, None), facts)))


def test_messages_that_go_the_same_way_share_it() -> None:
    """So a million messages cost what their ways cost."""
    way = [FACTS[0], FACTS[9], FACTS[27]]
    first, second = steps(beginning(), way), steps(beginning(), way)
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_fact_that_is_stated_again_leads_nowhere() -> None:
    """However often: a carrier that repeats itself takes no memory."""
    first, *others = steps(Standing({}, None), [FACTS[0]] * 1000)
    assert {id(step.standing) for step in others} == {id(first.standing)}
    assert all(one is other for one, other in pairwise(others))


def test_done_dates_make_no_new_kinds() -> None:
    """They differ from minute to minute, and count alike."""
    queued = beginning().step(Fact("queued", "", "")).standing
    dates = [Fact("delivered", "", f"26112312{minute:02}") for minute in range(60)]
    assert len({id(queued.step(fact).kind) for fact in dates}) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step too many it begins anew; whoever is under way goes on."""
    monkeypatch.setattr(standing, "MAX_STEPS", 10)
    monkeypatch.setattr(standing, "_memory", standing._Memory())
    start = beginning()
    (queued,) = steps(start, [FACTS[0]])
    for minute in range(9):
        queued.standing.step(Fact("sent", "", f"26112312{minute:02}"))
        assert beginning() is start
    last = queued.standing.step(Fact("sent", "", "2611231259"))
    assert beginning() is not start
    assert told(steps(beginning(), [FACTS[0], last.fact])[1]) == told(last)
    assert queued.standing.step(last.fact) is last
