"""The fold: from the events of one message to its state. The one definition of it.

The live projector, the rebuild, as-of answers and the explanation on a message's page all call ``take_in``. Folding the same events
in any order, or some of them again, gives the same state; only the effects, which say what each event did *when it came*, depend
on the order.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from projections.fact import Fact, fact_of
from projections.standing import Effect, Standing, Step, beginning
from tracker.twilio.country import country_of
from tracker.twilio.statuses import FINAL, Direction, direction_of


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
    error_message: str | None = None
    """Twilio's text about a failure; None when there was none."""


EFFECT_BITS: Final[dict[Effect, int]] = {"decided": 1, "late": 2, "duplicate": 4, "corrected": 8, "unknown": 16}
"""The bit of each effect in ``effects_seen``."""

MAX_CODES: Final = 32
"""Error codes that are remembered per message: the smallest."""


class Message:
    """The state of one message, as far as its events have been taken in. ``take_in`` makes it."""

    __slots__ = (
        "account_sid",
        "channel",
        "country",
        "decided_by",
        "delivered_at",
        "effects_seen",
        "event_count",
        "first_received_at",
        "from_address",
        "last_position",
        "last_received_at",
        "message_sid",
        "messaging_service_sid",
        "raw_dlr_done_date",
        "route_fact",
        "sent_at",
        "standing",
        "to_address",
    )

    def __init__(self, said: Said, fact: Fact, standing: Standing) -> None:
        """The state before anything but the identity of this first event is known; ``take_in`` comes next."""
        self.message_sid = said.message_sid
        self.standing = standing
        self.event_count = 0
        self.last_position = 0
        self.first_received_at = self.last_received_at = said.received_at
        self.sent_at: datetime | None = None
        self.delivered_at: datetime | None = None
        self.decided_by = said.position
        self.raw_dlr_done_date = said.raw_dlr_done_date
        self.effects_seen = 0
        """Bits of EFFECT_BITS: every effect that an event of the message had when it came."""
        self.take_route(said, fact)

    @property
    def has_conflict(self) -> bool:
        """Whether two different outcomes were reported. Reading confirms a delivery."""
        outcomes = {"delivered" if fact.status == "read" else fact.status for fact in self.facts.values()}
        return len(outcomes & FINAL) > 1

    @property
    def error_codes_seen(self) -> tuple[str, ...]:
        """The smallest MAX_CODES of the error codes that were reported: by number, then those that are no numbers, by text."""
        return self._codes()[:MAX_CODES]

    @property
    def error_codes_truncated(self) -> bool:
        """Whether there were more."""
        return len(self._codes()) > MAX_CODES

    @property
    def error_message(self) -> str | None:
        """Twilio's text about the failure; None when it gave none."""
        return None

    @property
    def direction(self) -> Direction:
        """Whether we sent the message or received it."""
        return direction_of(self.status)

    def _codes(self) -> tuple[str, ...]:
        codes = {fact.error_code for fact in self.facts.values() if fact.error_code}
        return tuple(sorted(codes, key=lambda code: (not code.isdigit(), code.zfill(256))))

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What was said, by identity."""
        return self.standing.facts

    @property
    def decided_fact(self) -> Fact:
        """What the deciding event says."""
        return self.standing.decided

    @property
    def error_code(self) -> str | None:
        """None when there is none."""
        return self.standing.error_code

    @property
    def status(self) -> str:
        """What the deciding event says, in small letters."""
        return self.standing.decided.status

    @property
    def is_final(self) -> bool:
        """Whether an outcome has been reached."""
        return self.standing.decided.status in FINAL

    def take_route(self, said: Said, fact: Fact) -> None:
        """Take the addresses that this event gives."""
        self.route_fact = fact
        self.account_sid = said.account_sid or ""
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
    position = said.position
    if message is None:
        step = beginning().step(fact)
        message = Message(said, fact, step.standing)
    else:
        step = message.standing.step(fact)
        # The greatest fact decides; of several events that state it, the first in the log.
        if step.decides or (step.confirms and position < message.decided_by):
            message.decided_by = position
            message.raw_dlr_done_date = said.raw_dlr_done_date
        message.standing = step.standing
        _update_route(message, said, fact)
    _update_times(message, said.received_at, fact.status)
    message.event_count += 1
    message.effects_seen |= EFFECT_BITS[step.kind.effect]
    if position > message.last_position:  # noqa: PLR1730  # runs for every event of the log, and a call is dear
        message.last_position = position
    return message, step


def fold(events: Iterable[Said]) -> tuple[Message | None, list[Step]]:
    """The state after all of one message's events, and what each did. None: there were no events."""
    message: Message | None = None
    steps: list[Step] = []
    for said in events:
        message, step = take_in(message, said)
        steps.append(step)
    return message, steps


def _update_route(message: Message, said: Said, fact: Fact) -> None:
    """Addresses come, all together, from the greatest fact among the events that name the recipient: sender and channel may
    differ between callbacks (RCS that fell back to SMS), and some callbacks lack ``To``."""
    if (
        said.to_address == message.to_address
        and said.from_address == message.from_address
        and said.messaging_service_sid == message.messaging_service_sid
        and (said.account_sid or "") == message.account_sid
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


def _update_times(message: Message, received_at: datetime, status: str) -> None:
    if received_at < message.first_received_at:
        message.first_received_at = received_at
    elif received_at > message.last_received_at:
        message.last_received_at = received_at
    if status == "sent":
        if message.sent_at is None or received_at < message.sent_at:
            message.sent_at = received_at
    elif status == "delivered" and (message.delivered_at is None or received_at < message.delivered_at):
        message.delivered_at = received_at
