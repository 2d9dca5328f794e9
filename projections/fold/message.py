"""The fold: from the events of one message to its state. The one definition of it (docs/adr/0009-state-of-a-set.md).

The live projector, the rebuild, as-of answers and the explanation on a message's page all call ``apply_event``. Folding the same events
in any order, or some of them again, gives the same state. Only the effects, which describe what each event did *when it came*, depend on
the order.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from projections.fold.decision import Decision, credible_date
from projections.fold.lifecycle import Standing, Step, beginning, kind_between
from projections.fold.status_report import Fact, fact_of
from tracker.twilio.country import country_of
from tracker.twilio.done_date import MAX_BEFORE
from tracker.twilio.statuses import FINAL, OUTCOME_PHASE, Direction, direction_of

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

    def __init__(self, said: Said, step: Step) -> None:
        """The state of a message with this one event. step: the first one from ``beginning()``."""
        position, message_sid, account_sid, _, _, raw_date, channel, sender, recipient, service, received_at, _ = said
        fact, standing = step.fact, step.standing
        self.message_sid = message_sid
        self.account_sid = account_sid or ""
        """Empty where its events name none."""
        self.standing = standing
        self.decision = step.decision
        if standing.credible_until is not None and received_at > standing.credible_until:
            self.decision = standing.decide(received_at - MAX_BEFORE)
        self.decided_by = position
        """Position of the event that decides."""
        self.raw_dlr_done_date = raw_date
        """The deciding event's, as it states it; None when it states none."""
        self.places: dict[str, Place] | None = None
        """Where each fact about an outcome was first stated, by identity; None as long as there was no second such fact."""
        self.event_count = 1
        self.last_position = position
        self.first_received_at = self.last_received_at = received_at
        self.sent_at = received_at if fact.status == "sent" else None
        self.delivered_at = received_at if fact.status == "delivered" else None
        self.effects_seen = step.effect_bit
        """Bits of EFFECT_BITS: every effect that an event of the message had when it came."""
        self.route_fact = fact
        self.channel = channel
        self.from_address = sender
        self.messaging_service_sid = service
        self.country = country_of(recipient)
        self.to_address = recipient

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
    # Unpacked at once, which costs less than two attributes of a named tuple.
    position, _, _, status, error_code, raw_date, channel, sender, recipient, service, received_at, error_message = said
    fact = fact_of(status, error_code, raw_date, received_at, error_message)
    if message is None:
        step = beginning().step(fact)
        return Message(said, step), step
    before = message.standing
    step = before.step(fact)
    after = step.standing
    if received_at < message.first_received_at:
        message.first_received_at = received_at
    elif received_at > message.last_received_at:
        message.last_received_at = received_at
    if (
        message.places is None
        and not step.joins_outcomes
        and message.decision is before.decision
        and (after.credible_until is None or message.first_received_at <= after.credible_until)
    ):
        # Nearly every event: what it does follows from the step alone, which was worked out once.
        if step.decides or (step.confirms and position < message.decided_by):
            message.decided_by, message.raw_dlr_done_date = position, raw_date
        message.decision = step.decision
    else:
        step = _decide_anew(message, said, step)
    message.standing = after
    if (
        recipient == message.to_address
        and sender == message.from_address
        and service == message.messaging_service_sid
        and channel == message.channel
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
    message.effects_seen |= step.effect_bit
    if position > message.last_position:  # noqa: PLR1730  # runs for every event of the log, and a call is dear
        message.last_position = position
    return message, step


def _decide_anew(message: Message, said: Said, step: Step) -> Step:
    """Sets the decision and the deciding event where these depend on more than the step. Returns what the event did.

    ``message.standing`` is still the one before the event; ``first_received_at`` counts the event.
    """
    before, was, fact, after = message.standing, message.decision, step.fact, step.standing
    now = step.decision
    if after.credible_until is not None and message.first_received_at > after.credible_until:
        now = after.decide(message.first_received_at - MAX_BEFORE)
    if was is not before.decision or now is not step.decision:
        step = Step(fact, kind_between(fact, before, after, was, now), before, after)
    message.decision = now
    if fact.phase == OUTCOME_PHASE and (message.places is not None or was.fact.phase == OUTCOME_PHASE):
        _remember_place(message, said, after, fact, was)
    if message.places is not None and now.fact.phase == OUTCOME_PHASE:
        place = min(message.places[identity] for identity in now.identities if identity in message.places)
        message.decided_by, message.raw_dlr_done_date = place
    elif fact.identity == now.fact.identity and (
        fact.identity != was.fact.identity or said.position < message.decided_by
    ):
        message.decided_by, message.raw_dlr_done_date = said.position, said.raw_dlr_done_date
    return step


def fold(events: Iterable[Said]) -> tuple[Message | None, list[Step]]:
    """The state after all of one message's events, and what each did. None: there were no events."""
    message: Message | None = None
    steps: list[Step] = []
    for said in events:
        message, step = apply_event(message, said)
        steps.append(step)
    return message, steps


def _remember_place(message: Message, said: Said, after: Standing, fact: Fact, was: Decision) -> None:
    places = message.places
    if places is None:
        if fact.identity == was.fact.identity:
            return
        places = message.places = {was.fact.identity: Place(message.decided_by, message.raw_dlr_done_date)}
    known = places.get(fact.identity)
    if known is None or said.position < known.position:
        places[fact.identity] = Place(said.position, said.raw_dlr_done_date)
    if len(places) > MAX_PLACES:
        candidates = after.summary.candidates()
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
