"""A fact: what one event states about how far its message came, without when and how often.

Facts of one status are ordered. A greater one has the later carrier date, then an error code, then the greater code. The further parts
of the order only make it total, so that the greatest fact of a set does not depend on the order in which the set was built.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from tracker.twilio.done_date import credible_from, parse_done_date
from tracker.twilio.statuses import OUTCOME_PHASE, OUTCOMES, PHASES, UNKNOWN_PHASE, normalise

Detail = tuple[bool, int, str, bool, str, datetime, bool]
"""How facts of one status compare apart from credible dates: has a code, its number, its text, has a message, the message, the date as
stated, whether it is not ahead."""

_NO_DATE: Final = datetime.min.replace(tzinfo=UTC)

_MAX_DIGITS: Final = 18
"""Longest code that is compared as a number."""


class Fact:
    """A status with its error code, carrier date and error message. Equal when all of these are, which ``identity`` says in one text."""

    __slots__ = (
        "detail",
        "done_at",
        "error_code",
        "error_message",
        "identity",
        "is_ahead",
        "order",
        "phase",
        "rank",
        "status",
    )

    def __init__(
        self, status: str, error_code: str, done_at: datetime | None, error_message: str, *, is_ahead: bool
    ) -> None:
        self.status = status
        """As ``PHASES`` spells it."""
        self.error_code = error_code
        """Empty when none was given."""
        self.error_message = error_message
        """Twilio's text about the failure; empty when none was given."""
        self.rank = _rank_of(status)
        """How statuses compare, apart from superseded outcomes."""
        self.phase = self.rank[0]
        self.done_at = done_at if self.phase == OUTCOME_PHASE else None
        """The carrier date, read as UTC. None when there was none that can be parsed, and of a status that is no outcome: Twilio sends
        dates with outcomes, and only these are compared by date."""
        self.is_ahead = is_ahead and self.done_at is not None
        """Whether the date lies so far after ``received_at`` that only another event that states it can make it credible."""
        self.identity = self._identity(is_ahead=self.is_ahead)
        self.detail: Detail = (
            error_code != "",
            code_number(error_code) if error_code else -1,
            error_code,
            error_message != "",
            error_message,
            self.done_at or _NO_DATE,
            not self.is_ahead,
        )
        self.order = (self.rank, self.detail)
        """How facts of any status compare without regard to credible dates."""

    @property
    def twin(self) -> str:
        """The identity of the fact that differs only in ``is_ahead``: the same callback, received at another moment."""
        return self._identity(is_ahead=not self.is_ahead)

    def _identity(self, *, is_ahead: bool) -> str:
        # NUL separates, because no text that PostgreSQL holds has it.
        stated = "" if self.done_at is None else self.done_at.isoformat()
        return f"{self.status}\0{self.error_code}\0{stated}\0{'ahead' if is_ahead else ''}\0{self.error_message}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fact) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


def fact_of(
    status: str,
    error_code: str | None,
    raw_done_date: str | None,
    received_at: datetime,
    error_message: str | None = None,
) -> Fact:
    """Builds the fact that an event states. received_at: when the event reached us, aware."""
    stated = _stated(status, error_code, raw_done_date, error_message)
    if stated.ahead_before is None or received_at >= stated.ahead_before:
        return stated.fact
    return stated.ahead


@lru_cache(maxsize=1024)
def _rank_of(status: str) -> tuple[int, int, str]:
    return (PHASES.get(status, UNKNOWN_PHASE), OUTCOMES.get(status, 0), status)


def code_number(error_code: str) -> int:
    """The code as a number, -1 for a text that is none. Bounded, because a code may be any text."""
    return int(error_code) if len(error_code) <= _MAX_DIGITS and error_code.isascii() and error_code.isdigit() else -1


class _Stated:
    """The two facts that a callback can state, depending on when it was received."""

    __slots__ = ("_ahead", "ahead_before", "fact")

    def __init__(
        self, status: str, error_code: str | None, raw_done_date: str | None, error_message: str | None
    ) -> None:
        done_at = parse_done_date(raw_done_date)
        self.fact = Fact(normalise(status), error_code or "", done_at, error_message or "", is_ahead=False)
        self.ahead_before = None if self.fact.done_at is None else credible_from(self.fact.done_at)
        """When it is received before this moment, its date is ahead. None: it never is."""
        self._ahead: Fact | None = None

    @property
    def ahead(self) -> Fact:
        """The fact with its date ahead."""
        if self._ahead is None:
            fact = self.fact
            self._ahead = Fact(fact.status, fact.error_code, fact.done_at, fact.error_message, is_ahead=True)
        return self._ahead


_stated = lru_cache(maxsize=65536)(_Stated)
