"""The history of one message: what each event did when it came, and the state after all of them or as of a moment."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from projections.fold.lifecycle import Effect, Step
from projections.fold.message import Message, Said, apply_event
from projections.fold.status_report import Fact
from tracker.log.event import Event
from tracker.queries.as_of import AsOf, Clock, time_of
from tracker.queries.explanation import Before, explain, why_decided
from tracker.queries.times import format_time

MAX_FACTS: Final = 4096
"""Different facts that explanations look back on. Twilio states about ten of a message; more are a replay or an attack, and a sentence
then names no earlier position."""


class Noted(NamedTuple):
    """What an event did."""

    position: int
    effect: Effect
    """What it did when it was appended. A property of the event: the same whatever moment is asked about."""
    explanation: str | None
    """One sentence; None where the effect is what anyone would expect."""


class Entry(NamedTuple):
    """An event and what it did."""

    event: Event
    effect: Effect
    explanation: str | None


class History(NamedTuple):
    """What is known of a message, now or as of a moment."""

    message: Message
    """The state after all events that count, on whatever page they are."""
    why: str
    """One sentence: which event decides, and over what."""
    entries: Sequence[Entry]
    """A page of the events that count, by position; empty behind the last one."""
    event_count: int
    """Events of the message, those that do not count included."""
    counted: int
    """Events that count."""
    next_after: int | None
    """Position of the page's last event; None: no event that counts follows."""


class HistoryFold:
    """Folds a message's events, given in log order part by part, and notes what each event of one page did.

    Its memory does not grow with the number of events.
    """

    def __init__(self, as_of: AsOf | None = None, after: int = 0, limit: int | None = None) -> None:
        """as_of: None counts all events. The page has at most ``limit`` events behind the position ``after``; None: all."""
        self.message: Message | None = None
        """The state after the events that count; None: none does."""
        self.noted: list[Noted] = []
        self.event_count = 0
        self.counted = 0
        self.next_after: int | None = None
        self.first_time: datetime | None = None
        """The first moment at which an event counts; None: there is no event."""
        self._as_of = as_of
        self._after = after
        self._limit = limit
        self._whole: Message | None = None
        self._facts: dict[Fact, None] = {}
        """That the counting events state."""
        self._said_at: dict[Fact, int] = {}
        """Position of the first event that stated each fact."""
        self._first_of: dict[tuple[str, str], int] = {}
        """Position of the first event of each status and error code, and of each status."""

    def add(self, events: Iterable[Said]) -> None:
        """Fold the message's next events."""
        for said in events:
            self._add(said)

    def _add(self, said: Said) -> None:
        as_of = self._as_of
        before = None if self._whole is None else Before.of(self._whole)
        self._whole, step = apply_event(self._whole, said)
        self.event_count += 1
        if as_of is None:
            self.message = self._whole
            counts = True
        else:
            at = time_of(said, as_of.clock)
            self.first_time = at if self.first_time is None else min(self.first_time, at)
            counts = at <= as_of.moment
            if counts:
                self.message, _ = apply_event(self.message, said)
        if counts:
            self.counted += 1
            if said.position > self._after:
                self._note(said.position, step, before)
        self._remember(step.fact, said.position, counts=counts)

    def _remember(self, fact: Fact, position: int, *, counts: bool) -> None:
        if counts and len(self._facts) < MAX_FACTS:
            self._facts.setdefault(fact)
        if len(self._said_at) < MAX_FACTS:
            self._said_at.setdefault(fact, position)
            self._first_of.setdefault((fact.status, fact.error_code), position)
            self._first_of.setdefault((fact.status, ""), position)

    def _note(self, position: int, step: Step, before: Before | None) -> None:
        assert self._whole is not None
        if self._limit is None or len(self.noted) < self._limit:
            fact = step.fact
            repeated = self._said_at.get(fact, self._first_of.get((fact.status, fact.error_code)))
            explanation = explain(position, step, before, repeated, self._whole)
            self.noted.append(Noted(position, step.kind.effect, explanation))
        elif self.next_after is None:
            self.next_after = self.noted[-1].position if self.noted else self._after

    def history(self, events: Sequence[Event]) -> History:
        """The history with a page of these events, which are the first ones that were noted. There must be an event that counts."""
        assert self.message is not None
        entries = [
            Entry(event, noted.effect, noted.explanation) for event, noted in zip(events, self.noted, strict=False)
        ]
        cut = len(entries) < len(self.noted)
        next_after = entries[-1].event.position if cut and entries else self.next_after
        why = why_decided(self.message, self._facts)
        return History(self.message, why, entries, self.event_count, self.counted, next_after)

    def why_nothing(self, message_sid: str) -> str:
        """Why no event counts, in a sentence for people."""
        if self._as_of is None or self.first_time is None:
            return f"Nothing is known of {message_sid}."
        nothing = "Nothing was known of" if self._as_of.clock is Clock.KNOWN else "Nothing had happened to"
        return (
            f"{nothing} {message_sid} at {format_time(self._as_of.moment)}: "
            f"its first event is of {format_time(self.first_time)}."
        )
