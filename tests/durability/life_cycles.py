"""What the load says of its messages, and what their states must then be: by the design's table, and by nothing of the product's."""

from collections.abc import Iterable

from tests.durability.ledger import Saying

PHASES = {
    "accepted": (1, 0),
    "queued": (2, 0),
    "sending": (3, 0),
    "sent": (4, 0),
    "canceled": (5, 1),
    "failed": (5, 2),
    "undelivered": (5, 3),
    "delivered": (5, 6),
    "read": (6, 0),
}
"""Phase, and strength among the outcomes."""

_LIVES: tuple[tuple[tuple[str, str | None, str | None], ...], ...] = (
    (("queued", None, None), ("sent", None, None), ("delivered", None, None)),
    (("delivered", None, None), ("queued", None, None), ("sent", None, None)),
    (("sent", None, None), ("delivered", None, None), ("delivered", None, None), ("read", None, None)),
    (("sent", None, None), ("undelivered", "30003", None), ("delivered", None, None), ("sent", None, None)),
    (("accepted", None, None), ("queued", None, None), ("sending", None, None)),
    (("sent", None, None), ("delivered", None, "2603011200"), ("undelivered", "30003", "2603011300")),
    (("queued", None, None), ("failed", "30008", None)),
    (("accepted", None, None), ("canceled", None, None)),
    (("sent", None, None), ("undelivered", "30003", "2603011200"), ("sent", None, None)),
)
"""Usual ones, out of order, twice, corrected, contradicted by a date, failed, and not at an end. Status, error code, carrier's date."""


def life(sid: str, number: int) -> tuple[Saying, ...]:
    """What is said of one message, in this order; one kind of life after another."""
    return tuple(Saying(sid, *said) for said in _LIVES[number % len(_LIVES)])


def outcome(said: Iterable[Saying]) -> tuple[str, str | None]:
    """Status and error code of a message of which this was said, in whatever order: the greatest decides."""
    greatest = max(said, key=_key)
    return greatest.status, greatest.error_code


def _key(saying: Saying) -> tuple[int, int, bool, str]:
    """As in the design: phase, outcome, whether there is an error code, error code. The dates of these lives are less than 26 hours
    apart, so that none supersedes another."""
    phase, strength = PHASES[saying.status]
    return phase, strength, saying.error_code is not None, saying.error_code or ""
