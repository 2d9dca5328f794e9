"""The fold: from the events of one message to its state. The one definition of it.

The live projector, the rebuild, as-of answers and the explanation on a message's page all call ``take_in``. Folding the same events
in any order, or some of them again, gives the same state; only the effects, which say what each event did *when it came*, depend
on the order.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from projections.fact import Fact, fact_of
from tracker.twilio.country import country_of
from tracker.twilio.statuses import FINAL, UNKNOWN_PHASE

Effect = Literal["decided", "late", "duplicate", "corrected", "unknown"]
"""What an event did when it came. decided: the state is now what it says. corrected: the same, and a final outcome was changed by
it. late: it says something new about what has passed. duplicate: it says nothing that was not said before. unknown: its status is
none that we know."""


class Said(NamedTuple):
    """The part of an event that the fold reads, in the order of the projector's query."""

    position: int
    message_sid: str
    account_sid: str | None
    status: str
    error_code: str | None
    raw_dlr_done_date: str | None
    channel: str
    from_address: str | None
    to_address: str | None
    messaging_service_sid: str | None
    received_at: datetime


class Step(NamedTuple):
    """What taking one event in did."""

    effect: Effect
    fact: Fact
    status_before: str | None
    """None: it was the message's first event."""
    reached: bool
    """Whether the message had never been said to have this status before."""
    new_error_code: bool
    """Whether this error code had never been said of the message before."""


class Message:
    """The state of one message, as far as its events have been taken in. ``take_in`` makes it."""

    __slots__ = (
        "account_sid",
        "channel",
        "country",
        "decided_by",
        "decided_fact",
        "delivered_at",
        "error_code",
        "event_count",
        "facts",
        "first_received_at",
        "from_address",
        "has_code",
        "last_position",
        "last_received_at",
        "message_sid",
        "messaging_service_sid",
        "raw_dlr_done_date",
        "route_fact",
        "sent_at",
        "to_address",
    )

    def __init__(self, said: Said, fact: Fact) -> None:
        """The state before anything but the identity of this first event is known; ``take_in`` comes next."""
        self.message_sid = said.message_sid
        self.facts: dict[str, Fact] = {}
        self.error_code: str | None = None
        self.has_code = False
        """Whether any code has been said, of whatever status."""
        self.event_count = 0
        self.last_position = 0
        self.first_received_at = self.last_received_at = said.received_at
        self.sent_at: datetime | None = None
        self.delivered_at: datetime | None = None
        self.decide(said, fact)
        self.take_route(said, fact)

    @property
    def status(self) -> str:
        """What the deciding event says, in small letters."""
        return self.decided_fact.status

    @property
    def is_final(self) -> bool:
        """Whether an outcome has been reached."""
        return self.decided_fact.status in FINAL

    def decide(self, said: Said, fact: Fact) -> None:
        """Let this event decide."""
        self.decided_fact = fact
        self.decided_by = said.position
        self.raw_dlr_done_date = said.raw_dlr_done_date

    def take_route(self, said: Said, fact: Fact) -> None:
        """Take the addresses that this event gives."""
        self.route_fact = fact
        self.account_sid = said.account_sid
        self.channel = said.channel
        self.from_address = said.from_address
        self.messaging_service_sid = said.messaging_service_sid
        if said.to_address is None or self.event_count == 0 or said.to_address != self.to_address:
            self.country = country_of(said.to_address)
        self.to_address = said.to_address


def take_in(message: Message | None, said: Said) -> tuple[Message, Step]:
    """Take one event in: the message as it is now (the same object, changed, or a new one for its first event), and what the
    event did. Events of one message may be given in any order, each position once."""
    fact = fact_of(said.status, said.error_code, said.raw_dlr_done_date, said.received_at)
    if message is None:
        message = Message(said, fact)
        step = Step("unknown" if fact.phase == UNKNOWN_PHASE else "decided", fact, None, True, fact.error_code != "")
    else:
        step = _compare(message, fact)
        _update_decision(message, said, fact)
        _update_route(message, said, fact)
    _update_times(message, said, fact)
    if fact.identity not in message.facts:
        message.facts[fact.identity] = fact
        if fact.error_code:
            message.has_code = True
        if message.has_code:
            message.error_code = _error_code(message)
    message.event_count += 1
    message.last_position = max(message.last_position, said.position)
    return message, step


def fold(events: Iterable[Said]) -> tuple[Message | None, list[Step]]:
    """The state after all of one message's events, and what each did. None: there were no events."""
    message: Message | None = None
    steps: list[Step] = []
    for said in events:
        message, step = take_in(message, said)
        steps.append(step)
    return message, steps


def _compare(message: Message, fact: Fact) -> Step:
    """What an event that states ``fact`` does to a message that has events already."""
    before = message.decided_fact
    known = message.facts
    if fact.identity in known:
        return Step("unknown" if fact.phase == UNKNOWN_PHASE else "duplicate", fact, before.status, False, False)
    reached = True
    new_error_code = fact.error_code != ""
    for other in known.values():
        if other.status == fact.status:
            reached = False
        if other.error_code == fact.error_code:
            new_error_code = False
    return Step(_effect(fact, before, known.values(), reached), fact, before.status, reached, new_error_code)


def _effect(fact: Fact, before: Fact, known: Iterable[Fact], reached: bool) -> Effect:
    if fact.phase == UNKNOWN_PHASE:
        return "unknown"
    if not reached and any(fact.repeats(other) for other in known):
        return "duplicate"
    if fact.key < before.key:
        return "late"
    # Reading confirms a delivery; everything else that replaces an outcome changes it.
    changes_outcome = (
        before.status in FINAL
        and fact.status != before.status
        and (before.status, fact.status) != ("delivered", "read")
    )
    return "corrected" if changes_outcome else "decided"


def _update_decision(message: Message, said: Said, fact: Fact) -> None:
    """The greatest fact decides; of several events that state it, the first in the log."""
    decided = message.decided_fact
    if fact.key > decided.key or (fact.identity == decided.identity and said.position < message.decided_by):
        message.decide(said, fact)


def _error_code(message: Message) -> str | None:
    """The deciding fact's code or, when it has none, the one that was said last of the same status: a repetition that brings a
    date but no code erases nothing."""
    decided = message.decided_fact
    if decided.error_code or len(message.facts) == 1:
        return decided.error_code or None
    coded = [fact for fact in message.facts.values() if fact.status == decided.status and fact.error_code]
    return max(coded, key=lambda fact: fact.key).error_code if coded else None


def _update_route(message: Message, said: Said, fact: Fact) -> None:
    """Addresses come, all together, from the greatest fact among the events that name the recipient: sender and channel may
    differ between callbacks (RCS that fell back to SMS), and some callbacks lack ``To``."""
    if (
        said.to_address == message.to_address
        and said.from_address == message.from_address
        and said.messaging_service_sid == message.messaging_service_sid
        and said.account_sid == message.account_sid
        and said.channel == message.channel
    ):
        # The usual case: nothing differs, and the greater fact vouches for it.
        if fact.key > message.route_fact.key:
            message.route_fact = fact
        return
    offered = (said.to_address is not None, fact.key, *_texts(said))
    current = (message.to_address is not None, message.route_fact.key, *_texts(message))
    if offered > current:
        message.take_route(said, fact)


def _texts(source: Said | Message) -> tuple[str, ...]:
    """Makes the choice between different addresses under equal facts the same in any order."""
    return (
        source.to_address or "",
        source.from_address or "",
        source.messaging_service_sid or "",
        source.account_sid or "",
        source.channel,
    )


def _update_times(message: Message, said: Said, fact: Fact) -> None:
    received_at = said.received_at
    if received_at < message.first_received_at:
        message.first_received_at = received_at
    elif received_at > message.last_received_at:
        message.last_received_at = received_at
    if fact.status == "sent":
        message.sent_at = received_at if message.sent_at is None else min(message.sent_at, received_at)
    elif fact.status == "delivered":
        message.delivered_at = received_at if message.delivered_at is None else min(message.delivered_at, received_at)
