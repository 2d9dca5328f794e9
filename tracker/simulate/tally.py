"""Counts what was sent and what came back, over a whole run."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from tracker.simulate.traffic.disorder import Arrangement, Kind
from tracker.simulate.traffic.sender import Answer

_TAKEN = range(200, 300)
FORBIDDEN = 403
_SERVER_ERROR = 500


@dataclass(slots=True)
class Tally:
    """Figures of a run.

    by_status: callbacks that told something, duplicates included, by message status. unexpected: answers other than 2xx
    to a genuine callback and other than 403 to one that is not, as text ``kind: answer``. latencies: milliseconds of
    the callbacks that were answered.
    """

    messages: int = 0
    callbacks: int = 0
    by_status: Counter[str] = field(default_factory=Counter[str])
    by_kind: Counter[Kind] = field(default_factory=Counter[Kind])
    late: int = 0
    lost: int = 0
    out_of_order_messages: int = 0
    answers: Counter[str] = field(default_factory=Counter[str])
    unexpected: Counter[str] = field(default_factory=Counter[str])
    latencies: "array[float]" = field(default_factory=lambda: array("f"))

    def count_message(self, arrangement: Arrangement) -> None:
        """Count a message whose callbacks are about to be sent."""
        self.messages += 1
        self.lost += len(arrangement.lost)
        self.out_of_order_messages += arrangement.out_of_order

    def count_callback(self, kind: Kind, status: str, answer: Answer, seconds: float) -> None:
        """Count a callback and its answer. status: the message status that it tells."""
        self.callbacks += 1
        self.by_kind[kind] += 1
        if is_genuine(kind):
            self.by_status[status] += 1
        self.answers[str(answer)] += 1
        if not is_expected(kind, answer):
            self.unexpected[f"{kind}: {answer}"] += 1
        if isinstance(answer, int):
            self.latencies.append(seconds * 1000)


def is_genuine(kind: Kind) -> bool:
    """Whether a tracker must take such a callback."""
    return kind in {"original", "duplicate"}


def is_taken(answer: Answer) -> bool:
    """Whether the answer says that the callback is kept."""
    return answer in _TAKEN


def is_in_doubt(answer: Answer) -> bool:
    """Whether nobody can tell from the answer if the callback was kept: none came, or the server failed on the way."""
    return answer == "no_answer" or (isinstance(answer, int) and answer >= _SERVER_ERROR)


def is_expected(kind: Kind, answer: Answer) -> bool:
    """Whether this is how a callback of that kind is to be answered."""
    return is_taken(answer) if is_genuine(kind) else answer == FORBIDDEN


def percentile(latencies: "array[float]", share: float) -> float | None:
    """The latency that ``share`` (0 to 1) of the callbacks did not exceed; None when there were none."""
    if not latencies:
        return None
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
