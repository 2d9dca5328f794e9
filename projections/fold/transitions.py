"""From events to transitions: what each event changed in its message.

Every projection is fed with transitions, so that there is one fold however many tables are derived from it. The messages of recent
events are kept in memory; a message that is not there is folded from its earlier events in the log, which is where all state
comes from. So transitions can be had from any position on, by the live projector, a rebuild, and a projection that has fallen
behind alike.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from projections.fold.lifecycle import Kind
from projections.fold.message import Key, Message, Said, apply_event

MAX_MESSAGES = 40_000
"""Messages kept in memory at most, about a kilobyte each."""

LoadHistory = Callable[[Sequence[Key], int], Iterable[Said]]
"""Reads the events of these messages up to and including a position, in log order."""


class Transition(msgspec.Struct, gc=False, frozen=True):
    """One event and what it changed, as of the moment when it was taken in."""

    position: int
    account_sid: str
    """Empty where the event names none."""
    message_sid: str
    received_at: datetime
    kind: Kind
    """What it did."""
    channel: str
    """The message's, as all that follows."""
    country: str | None
    messaging_service_sid: str | None
    sent_at: datetime | None
    delivered_at: datetime | None


Likeness = tuple[object, ...]
"""All that transitions which count alike have in common, so what follows from it need be worked out once."""


class Batch(msgspec.Struct, gc=False):
    """What a projection is fed with."""

    transitions: Sequence[Transition]
    """In log order."""
    messages: Sequence[Message]
    """The messages that these concern, each once, as they are after the last transition. Not to be changed."""
    groups: dict[Likeness, list[Transition]] | None = None
    """``alike`` keeps them here; None: nobody has asked yet."""


class Messages:
    """The state of messages as of one position, moved on batch by batch."""

    def __init__(self, position: int, load_history: LoadHistory, max_messages: int = MAX_MESSAGES) -> None:
        """position: the last event that has been taken in; 0 for none."""
        self.position = position
        self._load_history = load_history
        self._max_messages = max_messages
        self._known: dict[Key, Message] = {}

    def advance(self, events: Sequence[Said]) -> Batch:
        """Take in the next events, which must follow ``position`` without a gap.

        When this raises, or its batch was not committed, the instance is of no further use.
        """
        known = self._known
        keys: list[Key] = [(said.account_sid or "", said.message_sid) for said in events]
        self._load_missing(set(keys) - known.keys())
        changed: dict[Key, Message] = {}
        transitions: list[Transition] = []
        for key, said in zip(keys, events, strict=True):
            message, step = apply_event(known.get(key), said)
            known[key] = changed[key] = message
            transitions.append(
                Transition(
                    said.position,
                    *key,
                    said.received_at,
                    step.kind,
                    message.channel,
                    message.country,
                    message.messaging_service_sid,
                    message.sent_at,
                    message.delivered_at,
                )
            )
        if events:
            self.position = events[-1].position
        self._forget_oldest()
        return Batch(transitions, list(changed.values()))

    def _load_missing(self, keys: set[Key]) -> None:
        if self.position == 0 or not keys:
            return
        for said in self._load_history(sorted(keys), self.position):
            key = (said.account_sid or "", said.message_sid)
            self._known[key] = apply_event(self._known.get(key), said)[0]

    def _forget_oldest(self) -> None:
        """Keep the half that came last: messages are talked about for a short time."""
        if len(self._known) > self._max_messages:
            surplus = len(self._known) - self._max_messages // 2
            for key in list(self._known)[:surplus]:
                del self._known[key]
