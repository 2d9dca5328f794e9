"""The history of one message: what each event did when it came, and the state after all of them or as of a moment."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from projections.fact import Fact, fact_of
from projections.message import Message, Said, apply_event, fold
from projections.standing import Effect
from tracker.log.event import Event
from tracker.messages.as_of import AsOf, Clock, first_time
from tracker.messages.explanation import Before, explain, why_decided
from tracker.messages.times import format_time


class Entry(NamedTuple):
    """An event and what it did."""

    event: Event
    effect: Effect
    """What it did when it was appended. A property of the event: the same whatever moment is asked about."""
    explanation: str | None
    """One sentence; None where the effect is what anyone would expect."""


class History(NamedTuple):
    """What is known of a message, now or as of a moment."""

    message: Message
    """The state after the entries, and no other events."""
    entries: Sequence[Entry]
    """By position; at least one."""

    @property
    def why(self) -> str:
        """One sentence: which event decides, and over what."""
        return why_decided(self.message, (_fact(entry.event) for entry in self.entries))


def state(events: Iterable[Event], as_of: AsOf | None = None) -> Message | None:
    """The state after those of a message's events that count; None when none does.

    as_of: None counts all of them.
    """
    message, _ = fold(_said(event) for event in events if as_of is None or as_of.includes(event))
    return message


def tell(events: Sequence[Event], as_of: AsOf | None = None) -> History | None:
    """The history that a message's events make; None when none of them counts.

    events: all of the message's, by position, because what an event did depends on all that came before it.
    as_of: None counts all of them.
    """
    entries = [entry for entry in _entries(events) if as_of is None or as_of.includes(entry.event)]
    message = state(entry.event for entry in entries)
    return None if message is None else History(message, entries)


def _entries(events: Iterable[Event]) -> list[Entry]:
    entries: list[Entry] = []
    said_at: dict[Fact, int] = {}
    first_of: dict[tuple[str, str], int] = {}
    message: Message | None = None
    for event in events:
        before = None if message is None else Before.of(message)
        message, step = apply_event(message, _said(event))
        fact = step.fact
        repeated = said_at.get(fact, first_of.get((fact.status, fact.error_code)))
        entries.append(Entry(event, step.kind.effect, explain(event.position, step, before, repeated, message)))
        said_at.setdefault(fact, event.position)
        first_of.setdefault((fact.status, fact.error_code), event.position)
        first_of.setdefault((fact.status, ""), event.position)
    return entries


def _said(event: Event) -> Said:
    return Said(
        event.position,
        event.message_sid,
        event.account_sid,
        event.status,
        event.error_code,
        event.raw_dlr_done_date,
        event.channel,
        event.from_address,
        event.to_address,
        event.messaging_service_sid,
        event.received_at,
        getattr(event, "error_message", None),
    )


def _fact(event: Event) -> Fact:
    return fact_of(event.status, event.error_code, event.raw_dlr_done_date, event.received_at)


def why_nothing(message_sid: str, events: Sequence[Event], as_of: AsOf | None) -> str:
    """Says that there is no history, for people, when ``tell`` gave None."""
    if as_of is None or not events:
        return f"Nothing is known of {message_sid}."
    first = format_time(first_time(events, as_of.clock))
    nothing = "Nothing was known of" if as_of.clock is Clock.KNOWN else "Nothing had happened to"
    return f"{nothing} {message_sid} at {format_time(as_of.moment)}: its first event is of {first}."
