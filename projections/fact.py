"""What one event says about how far its message came, and which of two such facts decides.

A message's state is a function of the set of its events: what was said decides, never when it came. Each fact has a key, and the
greatest key decides: (phase, carrier's done date, strength of the outcome, has an error code, error code). No done date sorts
below any. So a late ``sent`` never undoes ``delivered``; between two outcomes the carrier's later word wins, and without dates
``delivered`` wins over ``undelivered``; an error code said once is not erased by a repetition without it.
"""

from datetime import datetime
from functools import lru_cache

from tracker.twilio.done_date import credible_done_date
from tracker.twilio.statuses import OUTCOMES, PHASES, UNKNOWN_PHASE, normalise

Key = tuple[int, str, int, bool, int, str, str]


class Fact:
    """A status with its error code and done date. Equal when all three are, which ``identity`` says in one text."""

    __slots__ = ("done_date", "error_code", "identity", "key", "phase", "status")

    def __init__(self, status: str, error_code: str, done_date: str) -> None:
        self.status = status
        """As ``PHASES`` spells it."""
        self.error_code = error_code
        """Empty when none was given."""
        self.done_date = done_date
        """YYMMDDhhmm; empty when there was none, or one that cannot be believed."""
        # NUL separates, because no text that PostgreSQL holds has it.
        self.identity = f"{status}\0{error_code}\0{done_date}"
        self.phase = PHASES.get(status, UNKNOWN_PHASE)
        self.key: Key = (
            self.phase,
            done_date,
            OUTCOMES.get(status, 0),
            error_code != "",
            _number(error_code),
            error_code,
            # No two different facts compare equal, so the greatest is one whatever order they came in.
            status,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fact) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def repeats(self, other: "Fact") -> bool:
        """Whether this says nothing that ``other`` did not say: the same status, and no new code or date."""
        return (
            self.status == other.status
            and self.error_code in {"", other.error_code}
            and self.done_date in {"", other.done_date}
        )


def fact_of(status: str, error_code: str | None, raw_done_date: str | None, received_at: datetime) -> Fact:
    """The fact that an event states."""
    if raw_done_date is not None and credible_done_date(raw_done_date, received_at) is None:
        raw_done_date = None
    return _fact(status, error_code, raw_done_date)


@lru_cache(maxsize=65536)
def _fact(status: str, error_code: str | None, done_date: str | None) -> Fact:
    return Fact(normalise(status), error_code or "", done_date or "")


def _number(error_code: str) -> int:
    """The code as a number, -1 for none that is one. Bounded, because a code is any text."""
    return int(error_code) if len(error_code) <= 18 and error_code.isascii() and error_code.isdigit() else -1  # noqa: PLR2004
