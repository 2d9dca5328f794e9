"""The fold: from the events of one message to its state. The one definition of it (docs/adr/0009-state-of-a-set.md).

The live projector, the rebuild, as-of answers and the explanation on a message's page all call ``apply_event``. Folding the same events
in any order, or some of them again, gives the same state. Only the effects, which describe what each event did *when it came*, depend on
the order.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from projections.fold.decision import Decision, credible_date
from projections.fold.lifecycle import Effect, Step, beginning, kind_between
from projections.fold.status_report import Fact, fact_of
from tracker.twilio.country import country_of
from tracker.twilio.done_date import MAX_BEFORE
from tracker.twilio.statuses import FINAL, OUTCOME_PHASE, Direction, direction_of

EFFECT_BITS: Final[dict[Effect, int]] = {"decided": 1, "late": 2, "duplicate": 4, "corrected": 8, "unknown": 16}
"""The bit of each effect in ``Message.effects_seen``."""

MAX_PLACES: Final = 1024
"""Facts of one message whose first position is remembered before those that can no longer decide are forgotten."""

Key = tuple[str, str]
"""What identifies a message: account SID, empty for none, and message SID."""


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


class Place(NamedTuple):
    """Where a fact was first stated."""

    position: int
    raw_dlr_done_date: str | None
    """As that event states it."""


class Message:
    """The state of one message, as far as its events have been applied. ``apply_event`` makes it."""

    __slots__ = (
        "account_sid",
        "channel",
        "country",
        "decided_by",
        "decision",
        "delivered_at",
        "effects_seen",
        "event_count",
        "first_received_at",
        "from_address",
        "last_position",
        "last_received_at",
        "message_sid",
        "messaging_service_sid",
        "places",
        "raw_dlr_done_date",
        "route_fact",
        "sent_at",
        "standing",
        "to_address",
    )

    def __init__(self, said: Said, step: Step, decision: Decision) -> None:
        """The state of a message with this one event."""
        self.message_sid = said.message_sid
        self.account_sid = said.account_sid or ""
        """Empty where its events name none."""
        self.standing = step.standing
        self.decision = decision
        self.decided_by = said.position
        """Position of the event that decides."""
        self.raw_dlr_done_date = said.raw_dlr_done_date
        """The deciding event's, as it states it; None when it states none."""
        self.places: dict[str, Place] | None = None
        """Where each fact about an outcome was first stated, by identity; None as long as there was no second such fact."""
        self.event_count = 1
        self.last_position = said.position
        self.first_received_at = self.last_received_at = said.received_at
        self.sent_at = said.received_at if step.fact.status == "sent" else None
        self.delivered_at = said.received_at if step.fact.status == "delivered" else None
        self.effects_seen = EFFECT_BITS[step.kind.effect]
        """Bits of EFFECT_BITS: every effect that an event of the message had when it came."""
        self.to_address: str | None = None
        self.country: str | None = None
        self.update_route(said, step.fact)

    @property
    def decided_fact(self) -> Fact:
        """The fact that the deciding event states."""
        return self.decision.fact

    @property
    def status(self) -> str:
        """The deciding event's, as ``PHASES`` spells it."""
        return self.decision.status

    @property
    def is_final(self) -> bool:
        """Whether an outcome has been reached."""
        return self.decision.status in FINAL

    @property
    def direction(self) -> Direction:
        """Whether the message was sent to us or by us."""
        return direction_of(self.decision.status)

    @property
    def error_code(self) -> str | None:
        """The deciding event's or, when it has none, the one that was reported with the same status. None when there is none."""
        return self.decision.error_code

    @property
    def error_message(self) -> str | None:
        """Twilio's text about the failure, by the same rule."""
        return self.decision.error_message

    @property
    def has_conflict(self) -> bool:
        """Whether two different outcomes were reported. Reading confirms a delivery."""
        return self.standing.has_conflict

    @property
    def error_codes_seen(self) -> tuple[str, ...]:
        """The error codes that were reported, the smallest MAX_CODES: by number, then those that are no numbers, by text."""
        return self.standing.summary.codes

    @property
    def error_codes_truncated(self) -> bool:
        """Whether there were more."""
        return self.standing.summary.has_more_codes

    def credible_date(self, fact: Fact) -> datetime | None:
        """The fact's carrier date when it is credible, given all events of the message; else None."""
        return credible_date(self.standing.summary, fact, self.first_received_at - MAX_BEFORE)

    def update_route(self, said: Said, fact: Fact) -> None:
        """Sets the addresses to those of an event."""
        self.route_fact = fact
        self.channel = said.channel
        self.from_address = said.from_address
        self.messaging_service_sid = said.messaging_service_sid
        if said.to_address != self.to_address:
            self.country = country_of(said.to_address)
        self.to_address = said.to_address


def apply_event(message: Message | None, said: Said) -> tuple[Message, Step]:  # noqa: C901, PLR0912  # runs for every event
    """Applies one event. Returns the message as it is now (the same object, changed, or a new one for its first event), and what the
    event did. Events of one message may be given in any order, each position once.

    It runs for every event of the log, and a call costs as much as the work of its parts: therefore it is written in one piece.
    """
    fact = fact_of(said.status, said.error_code, said.raw_dlr_done_date, said.received_at, said.error_message)
    if message is None:
        step = beginning().step(fact)
        return Message(said, step, step.standing.decide(said.received_at - MAX_BEFORE)), step
    before, was, received_at = message.standing, message.decision, said.received_at
    step = before.step(fact)
    after = step.standing
    if received_at < message.first_received_at:
        message.first_received_at = received_at
    elif received_at > message.last_received_at:
        message.last_received_at = received_at
    now = after.decision
    assert now is not None
    if after.earliest is not None and after.earliest < message.first_received_at:
        # Hardly any date is earlier than its message: the lower bound need not be worked out for the others.
        now = after.decide(message.first_received_at - MAX_BEFORE)
    if was is not before.decision or now is not after.decision:
        step = Step(fact, kind_between(fact, before, after, was, now), after)
    message.standing = after
    message.decision = now
    position = said.position
    if fact.phase == OUTCOME_PHASE and (message.places is not None or was.fact.phase == OUTCOME_PHASE):
        _remember_place(message, said, fact, was)
    if message.places is not None and now.fact.phase == OUTCOME_PHASE:
        place = min(message.places[identity] for identity in now.identities if identity in message.places)
        message.decided_by, message.raw_dlr_done_date = place
    elif fact.identity == now.fact.identity and (fact.identity != was.fact.identity or position < message.decided_by):
        message.decided_by, message.raw_dlr_done_date = position, said.raw_dlr_done_date
    if (
        said.to_address == message.to_address
        and said.from_address == message.from_address
        and said.messaging_service_sid == message.messaging_service_sid
        and said.channel == message.channel
    ):
        # The usual case: nothing differs, and the greater fact vouches for it.
        if fact.order > message.route_fact.order:
            message.route_fact = fact
    else:
        _choose_route(message, said, fact)
    if fact.status == "sent":
        if message.sent_at is None or received_at < message.sent_at:
            message.sent_at = received_at
    elif fact.status == "delivered" and (message.delivered_at is None or received_at < message.delivered_at):
        message.delivered_at = received_at
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
        message, step = apply_event(message, said)
        steps.append(step)
    return message, steps


def _remember_place(message: Message, said: Said, fact: Fact, was: Decision) -> None:
    places = message.places
    if places is None:
        if fact.identity == was.fact.identity:
            return
        places = message.places = {was.fact.identity: Place(message.decided_by, message.raw_dlr_done_date)}
    known = places.get(fact.identity)
    if known is None or said.position < known.position:
        places[fact.identity] = Place(said.position, said.raw_dlr_done_date)
    if len(places) > MAX_PLACES:
        candidates = message.standing.summary.candidates()
        message.places = {identity: place for identity, place in places.items() if identity in candidates}


def _choose_route(message: Message, said: Said, fact: Fact) -> None:
    """Addresses come, all together, from the greatest fact among the events that name the recipient, without regard to dates: sender
    and channel may differ between callbacks (RCS that fell back to SMS), and some callbacks lack ``To``."""
    offered = (said.to_address is not None, fact.order, *_texts(said))
    current = (message.to_address is not None, message.route_fact.order, *_texts(message))
    if offered > current:
        message.update_route(said, fact)


def _texts(source: Said | Message) -> tuple[str, ...]:
    """Makes the choice between different addresses under equal facts the same in any order."""
    return (
        source.to_address or "",
        source.from_address or "",
        source.messaging_service_sid or "",
        source.channel,
    )
