"""What a message reached with one event: the definition that the counters and the statistics share."""

from datetime import timedelta
from typing import Final, Literal

from projections.fold.transitions import Transition

Reached = Literal["sent", "delivered", "undelivered", "failed", "read"]
"""Statuses that messages are counted for, each message once a status."""

_NOTHING: Final[tuple[Reached, ...]] = ()
_DELIVERED: Final[tuple[Reached, ...]] = ("delivered",)
_READ: Final[tuple[Reached, ...]] = ("read",)
_DELIVERED_AND_READ: Final[tuple[Reached, ...]] = ("delivered", "read")
_ALONE: Final[dict[str, tuple[Reached, ...]]] = {
    "sent": ("sent",),
    "undelivered": ("undelivered",),
    "failed": ("failed",),
}

_MICROSECOND: Final = timedelta(microseconds=1)


def reached_by(transition: Transition) -> tuple[Reached, ...]:
    """What the message is said to have reached for the first time.

    Reading implies delivery: a message that is read before it is said to be delivered counts as delivered at that moment, and not
    again when the late ``delivered`` comes.
    """
    did = transition.kind
    if not did.reached:
        return _NOTHING
    status = did.status
    if status == "delivered":
        # Nothing decides over read, so this tells whether it was said before.
        return _NOTHING if did.status_before == "read" else _DELIVERED
    if status == "read":
        return _DELIVERED_AND_READ if transition.delivered_at is None else _READ
    return _ALONE.get(status, _NOTHING)


def completes_delivery(transition: Transition) -> bool:
    """Whether the message is now known to have been sent and delivered, for the first time. A ``delivered`` may come first."""
    return (
        transition.kind.reached
        and transition.kind.status in {"sent", "delivered"}
        and transition.sent_at is not None
        and transition.delivered_at is not None
    )


def latency_of(transition: Transition) -> int:
    """Microseconds from the first ``sent`` received to the first ``delivered`` received, as of an event that completes a delivery.
    Never negative: of a pair that came in the wrong order we know no more than that it took no time that we could measure.
    """
    assert transition.sent_at is not None
    assert transition.delivered_at is not None
    return max((transition.delivered_at - transition.sent_at) // _MICROSECOND, 0)
