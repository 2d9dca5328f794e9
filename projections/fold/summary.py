"""The summary: a bounded function of the set of facts that were stated about one message, from which its state follows.

What a summary remembers is a maximum, a minimum, a union, or the smallest or greatest few of something. So it does not depend on the
order of the facts or on their repetition, and it never grows beyond a fixed size:

* of each status the greatest facts, with and without regard to dates (a message has at most 13 known statuses, and of unknown ones
  the MAX_UNKNOWN greatest are remembered);
* of each outcome whether a fact without a date exists, and the earliest and the latest date that some event makes credible by itself;
* the MAX_DATES smallest distinct dates, each with the facts whose date is ahead of their own event: another event that states the same
  date within the bound makes the date credible for these as well. A date beyond the MAX_DATES smallest is judged by each event's own
  ``received_at`` alone. A message with at most MAX_DATES distinct dates is therefore judged exactly;
* the MAX_CODES smallest error codes, and whether there were more.

The lower bound of credible dates depends on the message's earliest ``received_at``, which only ever decreases. It is no part of the
summary but an argument of ``projections.fold.decision.decide``: since the summary has the earliest and the latest date, nothing else is
needed to apply the bound later.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from projections.fold.status_report import Fact, code_number
from tracker.twilio.statuses import PHASES, UNKNOWN_PHASE

MAX_CODES: Final = 32
"""Error codes that are remembered per message: the smallest."""

MAX_DATES: Final = 32
"""Distinct carrier dates that are remembered per message: the smallest."""

MAX_UNKNOWN: Final = 32
"""Unknown statuses that are remembered per message: the greatest in alphabetical order."""


class Greatest(NamedTuple):
    """The greatest facts of a set of facts of one status."""

    fact: Fact
    coded: Fact | None
    """The greatest that has an error code; None when none has."""
    messaged: Fact | None
    """The greatest that has an error message; None when none has."""


class Reports(NamedTuple):
    """What is remembered of one status."""

    overall: Greatest
    """Of all its facts, without regard to dates."""
    dated: Greatest | None
    """Of the facts whose date is not ahead, the latest first; None when there are none."""
    earliest: datetime | None
    """The earliest date of the facts whose date is not ahead; None when there are none."""
    has_undated: bool
    """Whether a fact states no date, or one that is ahead and not remembered."""


class DateReports(NamedTuple):
    """What is remembered of one carrier date."""

    is_vouched: bool
    """Whether some event states it no more than 15 hours ahead, which makes it credible for every event that states it."""
    ahead: Mapping[str, Greatest]
    """By outcome: the facts whose date is ahead of their own event."""


class Summary:
    """See the module. Never changed; ``add`` returns another one."""

    __slots__ = ("codes", "dates", "earliest", "has_ahead", "has_more_codes", "statuses")

    def __init__(
        self,
        statuses: Mapping[str, Reports],
        dates: Mapping[datetime, DateReports],
        codes: tuple[str, ...],
        *,
        has_more_codes: bool,
    ) -> None:
        self.statuses = statuses
        self.dates = dates
        """The smallest distinct dates of outcomes."""
        self.codes = codes
        """The smallest error codes: by number, then those that are no numbers, by text."""
        self.has_more_codes = has_more_codes
        # A date that is not remembered is greater than all that are.
        self.earliest = min(dates) if dates else None
        """The earliest date that was stated; None when there was none."""
        self.has_ahead = False
        """Whether some date is stated by an event of which it is ahead."""
        for reports in dates.values():
            if reports.ahead:
                self.has_ahead = True

    def add(self, fact: Fact) -> "Summary":
        """Returns the summary of these facts and one more; this object when that is no other."""
        codes, has_more_codes = self.codes, self.has_more_codes
        if fact.error_code and fact.error_code not in codes:
            codes, has_more_codes = _add_code(codes, fact.error_code, has_more_codes)
        dates: Mapping[datetime, DateReports] = self.dates
        undated: Collection[str] = ()
        if fact.done_at is not None:
            dates, undated = _add_date(dates, fact, fact.done_at)
        statuses = _add_report(self.statuses, fact)
        for status in undated:
            if not statuses[status].has_undated:
                statuses = {**statuses, status: statuses[status]._replace(has_undated=True)}
        if (
            statuses is self.statuses
            and dates is self.dates
            and codes is self.codes
            and has_more_codes == self.has_more_codes
        ):
            return self
        return Summary(statuses, dates, codes, has_more_codes=has_more_codes)

    def candidates(self) -> set[str]:
        """The identities of the facts about outcomes that can decide, now or when another event comes. All others never will."""
        found = [reports.overall.fact for reports in self.statuses.values()]
        found += [reports.dated.fact for reports in self.statuses.values() if reports.dated is not None]
        found += [greatest.fact for reports in self.dates.values() for greatest in reports.ahead.values()]
        return {identity for fact in found for identity in (fact.identity, fact.twin)}


EMPTY: Final = Summary({}, {}, (), has_more_codes=False)
"""The summary of no facts."""


def add_to_greatest(current: Greatest | None, fact: Fact, *, by_date: bool) -> Greatest:
    """Returns the greatest facts of a set and one more fact; ``current`` itself when nothing changes.

    current: None for the empty set. by_date: whether a later date comes before everything else.
    """
    if current is None:
        return Greatest(fact, fact if fact.error_code else None, fact if fact.error_message else None)
    greatest, coded, messaged = current
    key = dated_key if by_date else detail_key
    value = key(fact)
    if value > key(greatest):
        greatest = fact
    if fact.error_code and (coded is None or value > key(coded)):
        coded = fact
    if fact.error_message and (messaged is None or value > key(messaged)):
        messaged = fact
    if greatest is current.fact and coded is current.coded and messaged is current.messaged:
        return current
    return Greatest(greatest, coded, messaged)


def dated_key(fact: Fact) -> tuple[object, ...]:
    """Orders the facts of one outcome that have a credible date."""
    return (fact.done_at, *fact.detail)


def detail_key(fact: Fact) -> tuple[object, ...]:
    """Orders the facts of one status without regard to dates."""
    return fact.detail


def _add_report(statuses: Mapping[str, Reports], fact: Fact) -> Mapping[str, Reports]:
    """The reports of all statuses with one more fact; ``statuses`` itself when nothing changes."""
    known = statuses.get(fact.status)
    if known is None:
        only = add_to_greatest(None, fact, by_date=False)
        dated = None if fact.done_at is None or fact.is_ahead else only
        earliest = None if dated is None else fact.done_at
        reports = Reports(only, dated, earliest, fact.done_at is None)
        return _bounded({**statuses, fact.status: reports}, statuses, fact)
    overall, dated, earliest, has_undated = known
    overall = add_to_greatest(overall, fact, by_date=False)
    if fact.done_at is None:
        has_undated = True
    elif not fact.is_ahead:
        dated = add_to_greatest(dated, fact, by_date=True)
        if earliest is None or fact.done_at < earliest:
            earliest = fact.done_at
    if (
        overall is known.overall
        and dated is known.dated
        and earliest is known.earliest
        and has_undated == known.has_undated
    ):
        return statuses
    return {**statuses, fact.status: Reports(overall, dated, earliest, has_undated)}


def _bounded(statuses: dict[str, Reports], before: Mapping[str, Reports], added: Fact) -> Mapping[str, Reports]:
    """The reports without the smallest unknown status where these have become too many; ``before`` where it was the one added."""
    if added.phase != UNKNOWN_PHASE:
        return statuses
    unknown = [status for status in statuses if status not in PHASES]
    if len(unknown) > MAX_UNKNOWN:
        smallest = min(unknown)
        if smallest == added.status:
            return before
        del statuses[smallest]
    return statuses


def _add_date(
    dates: Mapping[datetime, DateReports], fact: Fact, done_at: datetime
) -> tuple[Mapping[datetime, DateReports], Collection[str]]:
    """The dates with that of one more fact, ``dates`` itself when nothing changes; and the outcomes that now have a fact whose date is
    ahead and not remembered."""
    known = dates.get(done_at)
    if known is None:
        if len(dates) < MAX_DATES:
            return {**dates, done_at: _add_to_date(_NO_DATE_REPORTS, fact)}, ()
        latest = max(dates)
        if done_at > latest:
            return dates, (fact.status,) if fact.is_ahead else ()
        kept = {date: reports for date, reports in dates.items() if date != latest}
        return kept | {done_at: _add_to_date(_NO_DATE_REPORTS, fact)}, dates[latest].ahead.keys()
    reports = _add_to_date(known, fact)
    return (dates if reports is known else {**dates, done_at: reports}), ()


_NO_DATE_REPORTS: Final = DateReports(is_vouched=False, ahead={})
_VOUCHED: Final = DateReports(is_vouched=True, ahead={})


def _add_to_date(reports: DateReports, fact: Fact) -> DateReports:
    """What is remembered of a date with one more fact that states it; ``reports`` itself when nothing changes."""
    if not fact.is_ahead:
        if reports.is_vouched:
            return reports
        return DateReports(True, reports.ahead) if reports.ahead else _VOUCHED
    known = reports.ahead.get(fact.status)
    greatest = add_to_greatest(known, fact, by_date=False)
    if greatest is known:
        return reports
    return DateReports(reports.is_vouched, {**reports.ahead, fact.status: greatest})


def _add_code(codes: tuple[str, ...], error_code: str, has_more: bool) -> tuple[tuple[str, ...], bool]:
    """The codes with a new one, and whether there were more than are remembered; ``codes`` itself when nothing changes."""
    if len(codes) < MAX_CODES:
        return tuple(sorted((*codes, error_code), key=_code_key)), has_more
    if _code_key(error_code) > _code_key(codes[-1]):
        return codes, True
    return tuple(sorted((*codes, error_code), key=_code_key)[:MAX_CODES]), True


def _code_key(error_code: str) -> tuple[bool, int, str]:
    number = code_number(error_code)
    return (number < 0, number, error_code)
