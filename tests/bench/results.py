"""What was measured, and what was asked for."""

from datetime import datetime
from statistics import median
from typing import Final, Literal

import msgspec

Name = Literal["ceiling", "doing_nothing", "usual_way", "tracker"]

NAMES: Final[tuple[Name, ...]] = ("ceiling", "doing_nothing", "usual_way", "tracker")
"""In the order of a round, and of the table: a, b, c, d."""

TITLES: Final[dict[Name, str]] = {
    "ceiling": "(a) raw ASGI route",
    "doing_nothing": "(b) handler that does nothing",
    "usual_way": "(c) the usual way",
    "tracker": "(d) tracker",
}


MANY_EVENTS: Final = 1_000_000
"""Fewer are rebuilt before the process has all its caches, and then its memory says nothing."""


class Machine(msgspec.Struct, frozen=True):
    """Where and with what it was measured."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    filesystem: str
    commit_ms: float
    """Median time of writing 8 KiB and fdatasync, where the database is."""
    load_average: float
    """Of the last minute, before the first measurement: what else the machine was doing."""
    versions: dict[str, str]
    commit: str | None
    """Of the program; None outside a git checkout. ``+`` at its end: with changes."""


class Round(msgspec.Struct, frozen=True):
    """One load on one server."""

    requests: int
    """Answered with 200."""
    load_seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: dict[str, float]
    """By process, wrk among them; of the tracker until everything was projected."""
    others_share: float
    """Of the machine's processors, 0 to 1: what was used by other processes while the load ran."""
    stored: int | None = None
    """New rows in the database; None where nothing is stored."""
    projected: int | None = None
    """Events that the projections took in, when they had caught up; None where nothing is projected."""
    lag_events: int = 0
    """Events that they had not taken in yet when the load ended."""
    catch_up_seconds: float = 0.0
    """From the end of the load until they had."""

    @property
    def rate(self) -> float:
        """Requests a second, the time to catch up included: an event that is not projected yet is not done."""
        return self.requests / (self.load_seconds + self.catch_up_seconds)


class Comparison(msgspec.Struct, frozen=True):
    """All rounds of the four servers."""

    seconds: int
    """Of each load."""
    connections: int
    rounds: dict[Name, list[Round]]

    def rate(self, name: Name) -> float:
        """Median of the rounds, requests a second."""
        return median(each.rate for each in self.rounds[name])

    def p50_ms(self, name: Name) -> float:
        """Median of the rounds' medians."""
        return median(each.p50_ms for each in self.rounds[name])

    def p99_ms(self, name: Name) -> float:
        """Median of the rounds' 99th percentiles."""
        return median(each.p99_ms for each in self.rounds[name])

    def others_share(self) -> float:
        """The worst round's, of any of the servers."""
        return max(each.others_share for rounds in self.rounds.values() for each in rounds)

    def cpu_microseconds(self, name: Name) -> dict[str, float]:
        """Median of the rounds, per request, by process."""
        rounds = self.rounds[name]
        return {
            process: median(each.cpu_seconds[process] / each.requests * 1e6 for each in rounds)
            for process in rounds[0].cpu_seconds
        }


class Rebuild(msgspec.Struct, frozen=True):
    """A rebuild of everything that is derived, by a process of its own."""

    how: str
    """The command."""
    events: int
    seconds: float
    """Of the whole process."""
    filling_seconds: float
    """Of these, the time in which events were taken in; the rest is its start, indexes, the comparison and the switch."""
    memory_mib: dict[str, float]
    """Of the process and its children, at parts of the time: ``10%``, ``50%``, ``100%``, and ``peak``."""

    @property
    def rate(self) -> float:
        """Events taken in a second."""
        return self.events / self.filling_seconds


class History(msgspec.Struct, frozen=True):
    """``GET /api/messages/{sid}/events`` of messages all over a log of this size."""

    events: int
    questions: int
    p50_ms: float
    p99_ms: float


class Results(msgspec.Struct):
    """Everything that one run measured; None for a part that was not asked for."""

    started_at: datetime
    machine: Machine
    quick: bool
    comparison: Comparison | None = None
    rebuild: Rebuild | None = None
    histories: list[History] = []


class Verdict(msgspec.Struct, frozen=True):
    """One target beside what was measured."""

    claim: str
    measured: float
    target: float
    at_least: bool
    """Whether the target is a lower bound; otherwise it is an upper one."""

    @property
    def holds(self) -> bool:
        """Whether it was reached."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target


def verdicts(results: Results) -> list[Verdict]:
    """Every target that this run can speak of."""
    found: list[Verdict] = []
    comparison, rebuild, histories = results.comparison, results.rebuild, results.histories
    if comparison is not None:
        rate = comparison.rate("tracker")
        found += [
            Verdict("rate of (d) / (c), the usual way", rate / comparison.rate("usual_way"), 6.0, at_least=True),
            Verdict("rate of (d) / (b), doing nothing", rate / comparison.rate("doing_nothing"), 1.0, at_least=True),
            Verdict("rate of (d) / (a), the ceiling", rate / comparison.rate("ceiling"), 0.6, at_least=True),
            Verdict(
                "p99 of (d) / (a)", comparison.p99_ms("tracker") / comparison.p99_ms("ceiling"), 3.0, at_least=False
            ),
        ]
    if comparison is not None and rebuild is not None:
        found.append(
            Verdict(
                "rate at which a rebuild takes in events / (d)",
                rebuild.rate / comparison.rate("tracker"),
                8.0,
                at_least=True,
            )
        )
    if rebuild is not None and rebuild.events >= MANY_EVENTS:
        # Half-way the caches, which are bounded, are full: what is added after that grows with the log.
        growth = rebuild.memory_mib["100%"] / rebuild.memory_mib["50%"]
        found.append(Verdict("memory of a rebuild at its end / half-way", growth, 1.15, at_least=False))
    found += [
        Verdict(
            f"history among {large.events:,} events / {histories[0].events:,}",
            large.p50_ms / histories[0].p50_ms,
            2.0,
            at_least=False,
        )
        for large in histories[1:]
    ]
    return found
