"""Figures and verdicts: a target that is missed fails the run."""

import json
from datetime import UTC, datetime

import pytest

from tests.bench.report import as_json, markdown
from tests.bench.results import NAMES, Comparison, History, Machine, Name, Rebuild, Results, Round, verdicts

MACHINE = Machine("a processor", 2, 8.0, "Linux", "ext4", 1.0, 0.0, {"python": "3.11"}, "abc1234")


def round_of(rate: float, p99_ms: float = 10.0, catch_up_seconds: float = 0.0) -> Round:
    """A round of ten seconds."""
    cpu = {"web": 5.0, "wrk": 1.0}
    return Round(int(rate * 10), 10.0, 1.0, p99_ms, cpu, 0.0, catch_up_seconds=catch_up_seconds)


def results_of(tracker: float = 6_000, **others: float) -> Results:
    """Results in which every target is just reached, but for what is given."""
    rates: dict[Name, float] = {"ceiling": 10_000, "doing_nothing": 6_000, "usual_way": 1_000, "tracker": tracker}
    p99 = {"tracker": others.get("p99_ms", 30.0)}
    comparison = Comparison(10, 64, {name: [round_of(rates[name], p99.get(name, 10.0))] for name in NAMES})
    rebuild = Rebuild(
        "tracker rebuild", 1_000_000, 30.0, 1_000_000 / others.get("rebuild", 48_000),
        {"10%": 60.0, "50%": 100.0, "100%": others.get("memory", 115.0), "peak": 130.0},
    )  # fmt: skip
    histories = [History(10_000, 400, 2.0, 4.0), History(1_000_000, 400, others.get("history", 4.0), 8.0)]
    return Results(datetime(2026, 1, 1, tzinfo=UTC), MACHINE, False, comparison, rebuild, histories)


def missed(results: Results) -> list[str]:
    """The claims that do not hold."""
    return [verdict.claim for verdict in verdicts(results) if not verdict.holds]


def test_what_reaches_every_target_passes() -> None:
    """Exactly at the bounds."""
    assert len(verdicts(results_of())) == 7
    assert missed(results_of()) == []


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"p99_ms": 30.1}, "p99 of (d) / (a)"),
        ({"rebuild": 47_900}, "rate at which a rebuild takes in events / (d)"),
        ({"memory": 115.1}, "memory of a rebuild at its end / half-way"),
        ({"history": 4.01}, "history among 1,000,000 events / 10,000"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_each_target_is_missed_by_itself(change: dict[str, float], claim: str) -> None:
    """A little beyond the bound, and that claim alone fails."""
    assert missed(results_of(**change)) == [claim]


def test_a_slow_tracker_misses_every_ratio_of_rates() -> None:
    """All three, and it is not helped by a rebuild that is then fast in comparison."""
    assert missed(results_of(tracker=5_990)) == [
        "rate of (d) / (c), the usual way", "rate of (d) / (b), doing nothing", "rate of (d) / (a), the ceiling",
    ]  # fmt: skip


def test_catching_up_counts() -> None:
    """An event is done when it is projected: a projector that falls behind lowers the rate."""
    assert round_of(6_000).rate == 6_000
    assert round_of(6_000, catch_up_seconds=2.0).rate == 5_000


def test_rates_are_medians_of_rounds() -> None:
    """So that one disturbed round decides nothing."""
    rounds = [round_of(100), round_of(6_000), round_of(6_200)]
    comparison = Comparison(10, 64, dict.fromkeys(NAMES, rounds))
    assert comparison.rate("tracker") == 6_000


def test_a_part_that_was_not_measured_is_not_judged() -> None:
    """`--only` says nothing about the rest; and a small rebuild nothing about memory."""
    whole = results_of()
    assert verdicts(Results(whole.started_at, MACHINE, False)) == []
    assert whole.rebuild
    small = Rebuild("tracker rebuild", 100_000, 1.0, 1.0, whole.rebuild.memory_mib)
    assert verdicts(Results(whole.started_at, MACHINE, True, rebuild=small)) == []


def test_the_json_has_rounds_medians_and_verdicts() -> None:
    """For machines: what was measured, and what it means."""
    document = json.loads(as_json(results_of(tracker=5_000)))
    assert document["comparison"]["rounds"]["tracker"][0]["requests"] == 50_000
    assert document["medians"]["tracker"]["requests_per_second"] == 5_000
    assert document["medians"]["ceiling"]["cpu_microseconds_per_request"] == {"web": 50.0, "wrk": 10.0}
    assert [verdict["holds"] for verdict in document["verdicts"]] == [False, False, False, True, True, True, True]


def test_the_markdown_has_every_figure() -> None:
    """For the documentation: the four servers, the rebuild, the histories, the verdicts."""
    text = markdown(results_of(tracker=5_000))
    for figure in (
        "10,000",
        "6,000",
        "1,000",
        "5,000",
        "48,000 a second",
        "| 1,000,000 |",
        "falls short",
        "a processor",
    ):
        assert figure in text
