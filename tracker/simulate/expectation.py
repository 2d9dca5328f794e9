"""What the state of a message must be, given what was said about it: the rule, stated a second time.

The tracker has its own statement of it, which this one checks, so nothing is imported from there. The rule: every event
has a key, ``(phase, carrier's done date, outcome, has an error code, error code)``, and the greatest key decides, in
whatever order and however often things were said. A repetition of the deciding status without an error code does not
take away the code that was said with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from tracker.simulate.world.population import Update

_BEFORE_THE_OUTCOME = {"accepted": 1, "scheduled": 1, "queued": 2, "receiving": 2, "sending": 3, "sent": 4}
_OUTCOMES = ("canceled", "failed", "undelivered", "partially_delivered", "received", "delivered")
_OUTCOME_PHASE = 5
_READ_PHASE = 6
_TEN_DIGITS = re.compile("[0-9]{10}")

Key = tuple[int, str, int, bool, int]


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
    deciding = by_key[0]
    codes = [update.error_code for update in by_key if update.status == deciding.status and update.error_code]
    return State(
        status=deciding.status,
        is_final=phase(deciding.status) >= _OUTCOME_PHASE,
        error_code=deciding.error_code or (codes[0] if codes else None),
        raw_dlr_done_date=deciding.raw_dlr_done_date,
        from_address=deciding.from_address,
        delivered=deciding.status in {"delivered", "read"},
    )


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
    """The key of one update."""
    code = update.error_code or ""
    return (
        phase(update.status),
        _done_date(update.raw_dlr_done_date),
        _OUTCOMES.index(update.status) if update.status in _OUTCOMES else -1,
        bool(code),
        int(code) if code.isdecimal() else -1,
    )


def phase(status: str) -> int:
    """How far a status is on the way: 0 for an unknown one, 5 and 6 for final ones."""
    if status == "read":
        return _READ_PHASE
    return _OUTCOME_PHASE if status in _OUTCOMES else _BEFORE_THE_OUTCOME.get(status, 0)


def _done_date(raw: str | None) -> str:
    """The date ``YYMMDDhhmm``, which sorts like the time it means; empty, so that it sorts first, for what is none."""
    if raw is None or not _TEN_DIGITS.fullmatch(raw):
        return ""
    try:
        datetime.strptime(raw, "%y%m%d%H%M")  # noqa: DTZ007  # carriers give no time zone
    except ValueError:
        return ""
    return raw
