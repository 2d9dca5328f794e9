"""What Twilio tells about a message from its sending to its end, by channel, and how often.

The transitions and the initial statuses, for which there is no callback, are documented at
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks. The shares are ours:
of the messages with an outcome, 97 to 98 % are delivered on every channel, which is more than the objective of pages and alerts.
"""

import random
from dataclasses import dataclass
from typing import Literal, get_args

Channel = Literal["sms", "mms", "whatsapp", "rcs"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)


@dataclass(frozen=True, slots=True)
class Step:
    """One status that Twilio reports.

    fails: whether the callback carries an error code. receipt_age: for a status that a carrier's receipt brings, how
    many minutes the receipt is older than the last one of the message; None for a status that no receipt brings.
    """

    status: str
    fails: bool = False
    receipt_age: int | None = None


QUEUED = Step("queued")
SENDING = Step("sending")
SENT = Step("sent")
CANCELED = Step("canceled")
DELIVERED = Step("delivered", receipt_age=0)
UNDELIVERED = Step("undelivered", fails=True, receipt_age=0)
FAILED = Step("failed", fails=True)
READ = Step("read")


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """A way that messages go, without the ``queued`` that a Messaging Service puts before it.

    weight: how often, relative to the others of the channel. service: whether only a Messaging Service goes this way.
    falls_back: RCS only: delivered by SMS instead, from another sender.
    """

    name: str
    weight: float
    steps: tuple[Step, ...]
    service: bool = False
    falls_back: bool = False

    @property
    def fails(self) -> bool:
        """Whether the message never reaches its recipient."""
        return any(step.fails for step in self.steps) and all(step.status != "delivered" for step in self.steps)


# One receipt a segment: two teams report delivered and undelivered for one SID (opengovsg/postmangovsg pull 1150,
# minutis-redcall/redcall issue 147). A failure repeated without its code: chatwoot/chatwoot pull 14149.
_CARRIER = (
    LifeCycle("delivered", 860, (SENT, DELIVERED)),
    LifeCycle("dispatched and delivered", 15, (SENDING, SENT, DELIVERED)),
    LifeCycle("no receipt", 40, (SENT,)),
    LifeCycle("undelivered", 14, (SENT, UNDELIVERED)),
    LifeCycle("failed", 6, (FAILED,)),
    LifeCycle("failure repeated without its code", 2, (SENT, UNDELIVERED, Step("undelivered", receipt_age=0))),
    LifeCycle("corrected", 5, (SENT, Step("undelivered", fails=True, receipt_age=7), DELIVERED)),
    LifeCycle("segments disagree", 2, (SENT, DELIVERED, UNDELIVERED)),
    LifeCycle("corrected to undelivered", 1, (SENT, Step("delivered", receipt_age=3), UNDELIVERED)),
    LifeCycle("canceled", 7, (CANCELED,), service=True),
)
_WHATSAPP = (
    LifeCycle("read", 560, (SENT, DELIVERED, READ)),
    LifeCycle("delivered", 310, (SENT, DELIVERED)),
    LifeCycle("read, delivery never told", 8, (SENT, READ)),
    LifeCycle("no answer", 45, (SENT,)),
    LifeCycle("undelivered", 10, (SENT, UNDELIVERED)),
    LifeCycle("failed", 12, (FAILED,)),
    LifeCycle("canceled", 5, (CANCELED,), service=True),
)
_RCS = (
    LifeCycle("read", 330, (SENT, DELIVERED, READ)),
    LifeCycle("delivered", 390, (SENT, DELIVERED)),
    LifeCycle("fell back to SMS", 180, (SENT, DELIVERED), service=True, falls_back=True),
    LifeCycle("fell back to SMS, undelivered", 5, (SENT, UNDELIVERED), service=True, falls_back=True),
    LifeCycle("no answer", 40, (SENT,)),
    LifeCycle("undelivered", 8, (SENT, UNDELIVERED)),
    LifeCycle("failed", 10, (FAILED,)),
    LifeCycle("canceled", 5, (CANCELED,), service=True),
)
LIFE_CYCLES: dict[Channel, tuple[LifeCycle, ...]] = {
    "sms": _CARRIER,
    "mms": _CARRIER,
    "whatsapp": _WHATSAPP,
    "rcs": _RCS,
}


def draw_life_cycle(rng: random.Random, channel: Channel, failure_share: float | None) -> LifeCycle:
    """A life cycle of the channel. failure_share: share of messages that fail, 0 to 1; None: as the weights have it."""
    among = LIFE_CYCLES[channel]
    if failure_share is not None:
        fails = rng.random() < failure_share
        among = [life_cycle for life_cycle in among if life_cycle.fails is fails]
    return rng.choices(among, [life_cycle.weight for life_cycle in among])[0]
