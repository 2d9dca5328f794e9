"""The account of a load: what was sent, what was acknowledged, how long that took."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Saying(NamedTuple):
    """What one callback says."""

    message_sid: str
    status: str
    error_code: str | None = None
    done_date: str | None = None
    """RawDlrDoneDate."""


class Latency(NamedTuple):
    """Seconds from a callback's last byte to its answer."""

    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return " ".join(
            f"{name} {seconds * 1000:.1f} ms" for name, seconds in zip(("p50", "p99", "max"), self, strict=True)
        )


def latency_of(seconds: Iterable[float]) -> Latency:
    """Of these answers, one at least; each percentile is one of them (nearest rank)."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return Latency(p50, p99, ordered[-1])


class Ledger:
    """Kept by whoever posts. A callback is known by its idempotency token, which no other has."""

    def __init__(self) -> None:
        self.sent: dict[str, Saying] = {}
        """Everything of which so much as a byte may have left."""
        self.acknowledged: dict[str, Saying] = {}
        """What was answered 200."""
        self.answers = Counter[int]()
        """How often each status code was the answer."""
        self.refused = 0
        """Callbacks that got another answer or none, and connections that could not be made."""
        self.seconds: list[float] = []
        """What each acknowledged callback's answer took, in order of the answers."""

    def latency(self, since: int = 0) -> Latency:
        """Of the acknowledged callbacks from number ``since`` on, by order of their answers."""
        return latency_of(self.seconds[since:])

    def summary(self) -> str:
        """For people: how many there were, and how long they took."""
        return f"{len(self.acknowledged)} acknowledged, {self.refused} refused, {self.latency()}"
