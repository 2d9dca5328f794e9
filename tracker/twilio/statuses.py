"""Message statuses: what each says about how far a message came.

Source: https://www.twilio.com/docs/messaging/api/message-resource#message-status-values. Twilio publishes neither an order nor a
list of terminal statuses, and callbacks come in any order, so the order here is our reading of the documented transitions
(https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks).
"""

from typing import Final, Literal

UNKNOWN_PHASE: Final = 0
"""Of any status that is not in ``PHASES``: kept and counted, never decides over a known one."""

OUTCOME_PHASE: Final = 5
"""Of the statuses that end a message's way."""

PHASES: Final[dict[str, int]] = {
    "accepted": 1,
    "scheduled": 1,
    "queued": 2,
    "receiving": 2,
    "sending": 3,
    "sent": 4,
    "canceled": 5,
    "failed": 5,
    "undelivered": 5,
    "partially_delivered": 5,
    "received": 5,
    "delivered": 5,
    "read": 6,
}
"""Phase of each known status; a later phase decides over an earlier one."""

OUTCOMES: Final[dict[str, int]] = {
    name: strength
    for strength, name in enumerate(
        ("canceled", "failed", "undelivered", "partially_delivered", "received", "delivered"), start=1
    )
}
"""Strength of each outcome, weakest first. A late receipt corrects a failure, never the reverse; statuses that are no outcome
have strength 0."""

FINAL: Final[frozenset[str]] = frozenset(
    {"delivered", "undelivered", "failed", "canceled", "read", "received", "partially_delivered"}
)
"""Statuses after which nothing more is waited for."""

Direction = Literal["inbound", "outbound"]
"""``inbound``: someone wrote to us. ``outbound``: we wrote to someone."""

INBOUND_STATUSES: Final[frozenset[str]] = frozenset({"receiving", "received"})
"""Statuses that only messages sent to us have. Source: https://www.twilio.com/docs/messaging/api/message-resource#message-status-values"""


def direction_of(status: str) -> Direction:
    """The direction that a status tells. status: as ``normalise`` spells it."""
    return "inbound" if status in INBOUND_STATUSES else "outbound"


def normalise(status: str) -> str:
    """The status as ``PHASES`` spells it: Event Streams say DELIVERED where callbacks say delivered."""
    return status.strip().lower()
