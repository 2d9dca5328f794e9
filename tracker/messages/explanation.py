"""Why a message's state is what it is, in plain sentences for people."""

from collections.abc import Mapping
from typing import NamedTuple

from projections.fact import Fact
from projections.message import Message
from projections.standing import Step
from tracker.twilio.done_date import parse_done_date
from tracker.twilio.statuses import UNKNOWN_PHASE


class Before(NamedTuple):
    """What had been decided when an event came."""

    fact: Fact
    decided_by: int
    """Position."""
    error_code: str | None

    @classmethod
    def of(cls, message: Message) -> "Before":
        """A copy, because the message goes on changing."""
        return cls(message.decided_fact, message.decided_by, message.error_code)


def why_decided(message: Message) -> str:
    """One sentence: which event decides, and over what."""
    decided = message.decided_fact
    others = [fact for fact in message.facts.values() if fact.identity != decided.identity]
    reason = "nothing else was said" if not others else reason_for(decided, max(others, key=lambda fact: fact.key))
    sentence = f"Position {message.decided_by} decides, with {name(decided)}: {reason}"
    if message.error_code and not decided.error_code:
        sentence += f"; the error code {message.error_code} was said of the same status by another event"
    return f"{sentence}."


def explain(
    position: int, step: Step, before: Before | None, said_at: Mapping[Fact, int], after: Message
) -> str | None:
    """One sentence about what the event at ``position`` did; None where it is what anyone would expect.

    before: None for a message's first event.
    said_at: position of the first event before this one that stated each fact.
    """
    said = f"Position {position} said {name(step.fact)}"
    if step.kind.effect == "unknown":
        return f"{said}, a status that is not known here: kept, and {_meaning_of_unknown(after)}."
    if before is None:
        return None
    if step.kind.effect == "duplicate":
        repeated = _repeated(step.fact, said_at)
        return f"Position {position} repeats what position {repeated} had said: duplicate, {_stays(after)}."
    sentence = _compare(said, step, before, after)
    return sentence and f"{sentence}."


def _compare(said: str, step: Step, before: Before, after: Message) -> str | None:
    """About an event that says something new of a known status."""
    earlier = f"position {before.decided_by} had said {name(before.fact)}"
    if step.kind.effect == "late":
        brought = "" if after.error_code == before.error_code else f", now with the error code {after.error_code}"
        return f"{said} after {earlier}: late, {_stays(after)}{brought}"
    reason = reason_for(step.fact, before.fact)
    if step.kind.effect == "corrected":
        return f"{said} after {earlier}: it corrects the outcome, because {reason}"
    return f"{said} again and decides now, because {reason}" if before.fact.status == step.fact.status else None


def reason_for(winner: Fact, loser: Fact) -> str:
    """Why the first fact decides over the second, which is another: the first part of the key in which they differ."""
    if loser.phase == UNKNOWN_PHASE < winner.phase:
        return f"{name(loser)} is a status that is not known here"
    if winner.phase != loser.phase:
        return f"{name(winner)} goes further than {name(loser)}"
    if winner.done_date != loser.done_date:
        return _reason_of_dates(winner, loser)
    if winner.key[:3] != loser.key[:3]:
        return f"{name(winner)} outweighs {name(loser)} where the carrier's dates do not differ"
    if winner.error_code != loser.error_code:
        return _reason_of_codes(winner, loser)
    return f"between {name(winner)} and {name(loser)} only the alphabet decides"


def _reason_of_dates(winner: Fact, loser: Fact) -> str:
    if not loser.done_date:
        return "it carries the carrier's done date and the other report has none"
    return f"the carrier's done date is later, {_date(winner)} over {_date(loser)}"


def _reason_of_codes(winner: Fact, loser: Fact) -> str:
    if not loser.error_code:
        return "it names an error code and the other report has none"
    return f"of two error codes the greater is taken, {winner.error_code} over {loser.error_code}"


def name(fact: Fact) -> str:
    """The status as it is written in a sentence; one that is not known stands in quotation marks."""
    return f"“{fact.status}”" if fact.phase == UNKNOWN_PHASE else fact.status


def _meaning_of_unknown(after: Message) -> str:
    return "it stands until a known status comes" if after.decided_fact.phase == UNKNOWN_PHASE else _stays(after)


def _stays(message: Message) -> str:
    return f"the message stays {name(message.decided_fact)}"


def _repeated(fact: Fact, said_at: Mapping[Fact, int]) -> int:
    return said_at[fact] if fact in said_at else min(at for other, at in said_at.items() if fact.repeats(other))


def _date(fact: Fact) -> str:
    done_at = parse_done_date(fact.done_date)
    return fact.done_date if done_at is None else done_at.strftime("%Y-%m-%d %H:%M")
