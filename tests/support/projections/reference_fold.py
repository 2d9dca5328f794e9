"""The state of a message, computed the plain way: from all of its events at once, remembering everything.

Written from the rule and without the program's fold, so that both can be compared. Where the program remembers only so much, the same
bounds are applied here to the whole set.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from projections.fold.message import Said

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

REMEMBERED = 32
"""Dates and codes of one message that count."""

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def status_of(said: Said) -> str:
    """The status in the spelling of PHASES."""
    return said.status.strip().lower()


def reference_state(events: Sequence[Said]) -> dict[str, Any]:
    """What the events of one message, at least one, say together."""
    dates = _credible_dates(events)
    status, superseded = _deciding_status(events, dates)
    reports = [said for said in events if status_of(said) == status]

    def key(said: Said) -> tuple[object, ...]:
        return (dates[said.position] or _LONG_AGO, *_detail(said))

    deciding = min((said for said in reports if key(said) == max(map(key, reports))), key=lambda said: said.position)
    coded = [said for said in reports if said.error_code]
    messaged = [said for said in reports if said.error_message]
    codes = sorted({said.error_code for said in events if said.error_code}, key=_code_order)
    reported = {"delivered" if status_of(said) == "read" else status_of(said) for said in events}
    return {
        "status": status,
        "decided_by": deciding.position,
        "raw_dlr_done_date": deciding.raw_dlr_done_date,
        "is_final": PHASES.get(status, 0) >= 5,
        "error_code": deciding.error_code or (max(coded, key=key).error_code if coded else None),
        "error_message": deciding.error_message or (max(messaged, key=key).error_message if messaged else None),
        "has_conflict": len(reported & set(OUTCOMES)) > 1,
        "error_codes_seen": tuple(codes[:REMEMBERED]),
        "error_codes_truncated": len(codes) > REMEMBERED,
        "superseded": superseded,
        "event_count": len(events),
        "last_position": max(said.position for said in events),
        "first_received_at": min(said.received_at for said in events),
        "last_received_at": max(said.received_at for said in events),
        "sent_at": _first(events, "sent"),
        "delivered_at": _first(events, "delivered"),
    }


def _credible_dates(events: Sequence[Said]) -> dict[int, datetime | None]:
    """The credible date of each event by position."""
    stated = {said.position: _stated_date(said) for said in events}
    counted = sorted({date for date in stated.values() if date is not None})[:REMEMBERED]
    earliest = min(said.received_at for said in events)
    credible: dict[int, datetime | None] = {}
    for said in events:
        date = stated[said.position]
        witnesses = [said] if date not in counted else [other for other in events if stated[other.position] == date]
        is_credible = (
            date is not None
            and date >= earliest - timedelta(hours=26)
            and any(date <= witness.received_at + timedelta(hours=15) for witness in witnesses)
        )
        credible[said.position] = date if is_credible else None
    return credible


def _deciding_status(events: Sequence[Said], dates: dict[int, datetime | None]) -> tuple[str, frozenset[str]]:
    """The status that decides, and the outcomes that are superseded."""
    phase = max(PHASES.get(status_of(said), 0) for said in events)
    names = {status_of(said) for said in events if PHASES.get(status_of(said), 0) == phase}
    if phase != 5:
        return max(names), frozenset()
    by_outcome = {name: [dates[said.position] for said in events if status_of(said) == name] for name in names}
    latest = max((date for found in by_outcome.values() for date in found if date is not None), default=None)
    superseded = frozenset(
        name
        for name, found in by_outcome.items()
        if latest is not None and all(date is not None and date < latest - timedelta(hours=26) for date in found)
    )
    return max(names - superseded, key=OUTCOMES.index), superseded


def _stated_date(said: Said) -> datetime | None:
    """The date of an event that reports an outcome, credible or not."""
    raw = said.raw_dlr_done_date or ""
    if status_of(said) not in OUTCOMES or re.fullmatch("[0-9]{10}", raw) is None:
        return None
    try:
        return datetime.strptime(f"20{raw}", "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def _detail(said: Said) -> tuple[object, ...]:
    code, message = said.error_code or "", said.error_message or ""
    return (code != "", _number(code), code, message != "", message, _stated_date(said) or _LONG_AGO)


def _number(code: str) -> int:
    return int(code) if code.isascii() and code.isdigit() else -1


def _code_order(code: str) -> tuple[bool, int, str]:
    return (_number(code) < 0, _number(code), code)


def _first(events: Sequence[Said], status: str) -> datetime | None:
    return min((said.received_at for said in events if status_of(said) == status), default=None)
