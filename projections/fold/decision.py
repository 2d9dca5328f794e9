"""The decision: which of the facts that were stated about a message is its state.

The highest phase decides. Within a phase the strongest status decides, except among outcomes, where carrier dates come first. Such a
date has no time zone, so two of them can be compared only when they differ by more than 26 hours:

* A date is *credible* when it lies at most 15 hours after ``received_at`` of some outcome event of the message that states it, and at
  most 26 hours before the earliest ``received_at`` of the message. Others count as none.
* Let D be the latest credible date among the outcomes. An outcome is *superseded* when each of its events has a credible date earlier
  than D - 26 hours. The strongest of the others decides.

Of the facts of the deciding status, the one with the latest credible date decides, then one with an error code, then the greater code.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from projections.fold.status_report import Fact
from projections.fold.summary import Greatest, Reports, Summary, dated_key
from tracker.twilio.done_date import INCOMPARABLE
from tracker.twilio.statuses import OUTCOME_PHASE


class Decision(NamedTuple):
    """What the facts of one message say together."""

    fact: Fact
    """The deciding one."""
    status: str
    """Of the deciding fact."""
    error_code: str | None
    """The deciding fact's or, when it has none, that of the greatest fact of the same status that has one. None when none has."""
    error_message: str | None
    """By the same rule."""
    counts_twin: bool = False
    """Whether an event that states the fact's twin states the same as one that states the fact."""
    superseded: frozenset[str] = frozenset()
    """Outcomes that do not decide because the carrier dated another one more than 26 hours later."""

    @property
    def identities(self) -> tuple[str, ...]:
        """Of the facts that count as the deciding one: of the events that state them, the first in the log is the deciding event."""
        return (self.fact.identity, self.fact.twin) if self.counts_twin else (self.fact.identity,)


def decide(summary: Summary, not_before: datetime | None = None) -> Decision:
    """Decides. summary: of at least one fact. not_before: the lower bound of credible dates; None when every date lies above it."""
    everything = summary.statuses.values()
    foremost = next(iter(everything)) if len(everything) == 1 else max(everything, key=_rank)
    overall = foremost.overall
    if overall.fact.phase != OUTCOME_PHASE:
        return _decision(overall, overall)
    reported = [reports for reports in everything if reports.overall.fact.phase == OUTCOME_PHASE]
    if len(reported) == 1 and not_before is None and not summary.has_ahead:
        # Nearly every message; _Outcome would find the same.
        dated = foremost.dated
        if dated is None:
            return _decision(overall, overall, counts_twin=overall.fact.done_at is not None)
        return _decision(dated, overall, counts_twin=dated.fact.done_at in summary.dates)
    outcomes = {
        reports.overall.fact.status: _Outcome(reports, reports.overall.fact.status, summary, not_before)
        for reports in reported
    }
    if len(outcomes) == 1:
        return outcomes[foremost.overall.fact.status].decide()
    latest = max((each.latest for each in outcomes.values() if each.latest is not None), default=None)
    superseded = frozenset(
        name for name, each in outcomes.items() if latest is not None and each.is_earlier_than(latest - INCOMPARABLE)
    )
    strongest = max((summary.statuses[name] for name in outcomes if name not in superseded), key=_rank)
    return outcomes[strongest.overall.fact.status].decide()._replace(superseded=superseded)


def credible_date(summary: Summary, fact: Fact, not_before: datetime) -> datetime | None:
    """The fact's date when it is credible, else None. not_before: the lower bound of credible dates."""
    if fact.done_at is None or fact.done_at < not_before:
        return None
    return None if fact.is_ahead and not _is_vouched(summary, fact.done_at) else fact.done_at


def _rank(reports: Reports) -> tuple[int, int, str]:
    return reports.overall.fact.rank


def _is_vouched(summary: Summary, done_at: datetime) -> bool:
    reports = summary.dates.get(done_at)
    return reports is not None and reports.is_vouched


class _Outcome:
    """The facts of one outcome under one lower bound."""

    def __init__(self, reports: Reports, status: str, summary: Summary, not_before: datetime | None) -> None:
        self._reports = reports
        self._summary = summary
        self._has_undated = reports.has_undated
        self._dated = [] if reports.dated is None else [reports.dated]
        earliest = [] if reports.earliest is None else [reports.earliest]
        for date, stated in summary.dates.items():
            ahead = stated.ahead.get(status)
            if ahead is None:
                continue
            if stated.is_vouched:
                self._dated.append(ahead)
                earliest.append(date)
            else:
                self._has_undated = True
        if not_before is not None:
            # Of each set the greatest is the latest: when it lies below the bound, all of them do.
            self._has_undated |= any(date < not_before for date in earliest)
            self._dated = [each for each in self._dated if _date(each.fact) >= not_before]
        self._not_before = not_before
        self.latest = max((_date(each.fact) for each in self._dated), default=None)
        """The latest credible date; None when there is none."""

    def is_earlier_than(self, moment: datetime) -> bool:
        """Whether each event of the outcome has a credible date, and each of these is earlier."""
        return not self._has_undated and self.latest is not None and self.latest < moment

    def decide(self) -> Decision:
        """Which of the facts decides, as if the others were superseded."""
        overall = self._reports.overall
        if not self._dated:
            return _decision(overall, overall, counts_twin=overall.fact.done_at is not None)
        if len(self._dated) == 1 and self._not_before is None:
            dated = self._dated[0]
            return _decision(dated, overall, counts_twin=dated.fact.done_at in self._summary.dates)
        fact = max((each.fact for each in self._dated), key=dated_key)
        dated = Greatest(
            fact,
            self._greatest(each.coded for each in self._dated),
            self._greatest(each.messaged for each in self._dated),
        )
        return _decision(dated, overall, counts_twin=fact.done_at in self._summary.dates)

    def _greatest(self, facts: Iterable[Fact | None]) -> Fact | None:
        """The greatest of the facts whose date is credible."""
        found = [
            fact for fact in facts if fact is not None and (self._not_before is None or _date(fact) >= self._not_before)
        ]
        return max(found, key=dated_key, default=None)


def _date(fact: Fact) -> datetime:
    assert fact.done_at is not None
    return fact.done_at


def _decision(greatest: Greatest, overall: Greatest, *, counts_twin: bool = False) -> Decision:
    """greatest: of the facts that are compared first. overall: of all facts of the status."""
    coded, messaged = greatest.coded or overall.coded, greatest.messaged or overall.messaged
    return Decision(
        greatest.fact,
        greatest.fact.status,
        None if coded is None else coded.error_code,
        None if messaged is None else messaged.error_message,
        counts_twin,
    )
