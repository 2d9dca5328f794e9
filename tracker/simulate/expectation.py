"""What the state of a message must be, given what was said about it: the rule, stated a second time.

The tracker has its own statement of it, which this one checks, so nothing is imported from there. The rule: the highest
phase decides, in whatever order and however often things were said. Carriers' dates have no time zone, so two of them can
be compared only when they differ by more than 26 hours: an outcome is superseded when each update that states it has a
date more than 26 hours before the latest date of any outcome. The strongest outcome that is not superseded decides; of its
updates, the one with the latest date, then one with an error code, then the greater code. A repetition of the deciding
status without an error code does not take away the code that was said with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations

from tracker.simulate.world.population import Update

_BEFORE_THE_OUTCOME = {"accepted": 1, "scheduled": 1, "queued": 2, "receiving": 2, "sending": 3, "sent": 4}
_OUTCOMES = ("canceled", "failed", "undelivered", "partially_delivered", "received", "delivered")
_OUTCOME_PHASE = 5
_READ_PHASE = 6
_INCOMPARABLE = timedelta(hours=26)
"""The widest distance between two wall clocks of one moment: UTC-12 to UTC+14."""

_TEN_DIGITS = re.compile("[0-9]{10}")

Key = tuple[int, int, datetime, bool, int]


@dataclass(frozen=True, slots=True)
class State:
    """What is known about a message. status None: nothing was said. delivered: it reached its recipient."""

    status: str | None
    is_final: bool
    error_code: str | None
    raw_dlr_done_date: str | None
    from_address: str | None
    delivered: bool


NOTHING_SAID = State(None, is_final=False, error_code=None, raw_dlr_done_date=None, from_address=None, delivered=False)


def expected_state(said: Iterable[Update]) -> State:
    """The state after all of this was said, in any order and any number of times."""
    by_key = sorted(said, key=sort_key, reverse=True)
    if not by_key:
        return NOTHING_SAID
    superseded = _superseded(by_key)
    deciding = next(update for update in by_key if update.status not in superseded)
    codes = [update.error_code for update in by_key if update.status == deciding.status and update.error_code]
    return State(
        status=deciding.status,
        is_final=phase(deciding.status) >= _OUTCOME_PHASE,
        error_code=deciding.error_code or (codes[0] if codes else None),
        raw_dlr_done_date=deciding.raw_dlr_done_date,
        from_address=deciding.from_address,
        delivered=deciding.status in {"delivered", "read"},
    )


def _superseded(said: Iterable[Update]) -> set[str]:
    """Outcomes that do not decide, because the carrier dated another one more than 26 hours later."""
    dates: dict[str, list[datetime | None]] = {}
    for update in said:
        if update.status in _OUTCOMES:
            dates.setdefault(update.status, []).append(_parse_done_date(update.raw_dlr_done_date))
    latest = max((date for given in dates.values() for date in given if date is not None), default=None)
    if latest is None:
        return set()
    return {
        status
        for status, given in dates.items()
        if all(date is not None and date < latest - _INCOMPARABLE for date in given)
    }


def alternatives(said: Iterable[Update], in_doubt: Iterable[Update]) -> tuple[State, ...]:
    """The other states that are right as well when nobody knows which of the updates in doubt were taken."""
    certain, doubts = list(said), set(in_doubt)
    states = {
        expected_state([*certain, *taken]): None
        for number in range(1, len(doubts) + 1)
        for taken in combinations(sorted(doubts, key=sort_key), number)
    }
    states.pop(expected_state(certain), None)
    return tuple(states)


def sort_key(update: Update) -> Key:
    """The key of one update; among updates that are not superseded the greatest decides."""
    code = update.error_code or ""
    return (
        phase(update.status),
        _OUTCOMES.index(update.status) if update.status in _OUTCOMES else -1,
        _parse_done_date(update.raw_dlr_done_date) or datetime.min,  # noqa: DTZ901  # before every date, which has no time zone either
        bool(code),
        int(code) if code.isdecimal() else -1,
    )


def phase(status: str) -> int:
    """How far a status is on the way: 0 for an unknown one, 5 and 6 for final ones."""
    if status == "read":
        return _READ_PHASE
    return _OUTCOME_PHASE if status in _OUTCOMES else _BEFORE_THE_OUTCOME.get(status, 0)


def _parse_done_date(raw: str | None) -> datetime | None:
    """The wall-clock time in ``YYMMDDhhmm``; None for what is none."""
    if raw is None or not _TEN_DIGITS.fullmatch(raw):
        return None
    try:
        return datetime.strptime(raw, "%y%m%d%H%M")  # noqa: DTZ007  # carriers give no time zone
    except ValueError:
        return None
