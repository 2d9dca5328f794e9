"""From events to transitions: what each event changed in its message.

Every projection is fed with transitions, so that there is one fold however many tables are derived from it. The messages of recent
events are kept in memory; a message that is not there is folded from its earlier events in the log, which is where all state
comes from. So transitions can be had from any position on, by the live projector, a rebuild, and a projection that has fallen
behind alike.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

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
        self._known: dict[str, Message] = {}
        # By SID, whose hash a str caches: 0.32 µs per event; with the pair as key, 0.75 µs.
        self._namesakes: dict[Key, Message] = {}
        # The messages whose SID another account's message had in _known when they came: none, unless someone invents SIDs.

    def advance(self, events: Sequence[Said]) -> Batch:
        """Take in the next events, which must follow ``position`` without a gap.

        When this raises, or its batch was not committed, the instance is of no further use.
        """
        self._load_missing(events)
        known = self._known
        changed: dict[Message, None] = {}
        transitions: list[Transition] = []
        for said in events:
            account_sid = said.account_sid or ""
            message_sid = said.message_sid
            before = known.get(message_sid)
            if before is None or before.account_sid != account_sid:
                before = self._namesakes.get((account_sid, message_sid))
            message, step = apply_event(before, said)
            if before is None:
                self._remember(message)
            changed[message] = None
            transitions.append(
                Transition(
                    said.position,
                    account_sid,
                    message_sid,
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
        return Batch(transitions, list(changed))

    def _find(self, account_sid: str, message_sid: str) -> Message | None:
        message = self._known.get(message_sid)
        if message is not None and message.account_sid == account_sid:
            return message
        return self._namesakes.get((account_sid, message_sid))

    def _remember(self, message: Message) -> None:
        """Adds a message that is not in memory."""
        if message.message_sid in self._known:
            self._namesakes[message.account_sid, message.message_sid] = message
        else:
            self._known[message.message_sid] = message

    def _load_missing(self, events: Sequence[Said]) -> None:
        if self.position == 0:
            return
        known = self._known
        # A dict, which is in the order of the log, where a set would have to be sorted.
        missing = {
            (said.account_sid or "", said.message_sid): None
            for said in events
            if (message := known.get(said.message_sid)) is None or message.account_sid != (said.account_sid or "")
        }
        wanted = [key for key in missing if key not in self._namesakes] if self._namesakes else list(missing)
        if not wanted:
            return
        for said in self._load_history(wanted, self.position):
            before = self._find(said.account_sid or "", said.message_sid)
            message, _ = apply_event(before, said)
            if before is None:
                self._remember(message)

    def _forget_oldest(self) -> None:
        """Keeps the half that came last: statuses of one message follow each other within a short time."""
        _halve(self._known, self._max_messages)
        _halve(self._namesakes, self._max_messages)


_AnyKey = TypeVar("_AnyKey")


def _halve(messages: dict[_AnyKey, Message], max_messages: int) -> None:
    """Removes the oldest when there are more than ``max_messages``: then half as many are left."""
    if len(messages) > max_messages:
        surplus = len(messages) - max_messages // 2
        for key in list(messages)[:surplus]:
            del messages[key]
