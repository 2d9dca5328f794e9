"""Why a message's state is what it is, in plain sentences for people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from projections.fold.lifecycle import Step
from projections.fold.message import Message
from projections.fold.status_report import Fact
from tracker.twilio.done_date import INCOMPARABLE
from tracker.twilio.statuses import OUTCOME_PHASE, UNKNOWN_PHASE

_NO_DATE: Final = datetime.min.replace(tzinfo=UTC)


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


def why_decided(message: Message, facts: Iterable[Fact]) -> str:
    """One sentence: which event decides, and over what. facts: those that the message's events state, repetitions included."""
    decided = message.decided_fact
    others = [fact for fact in facts if fact.identity != decided.identity]
    reason = "nothing else was said" if not others else reason_for(message, decided, _strongest(message, others))
    sentence = f"Position {message.decided_by} decides, with {name(decided)}: {reason}"
    if message.error_code and not decided.error_code:
        sentence += f"; the error code {message.error_code} was said of the same status by another event"
    return f"{sentence}."


def explain(position: int, step: Step, before: Before | None, repeated: int | None, after: Message) -> str | None:
    """One sentence about what the event at ``position`` did; None where it is what anyone would expect.

    before: None for a message's first event.
    repeated: position of the first event before this one that had stated the same; None when none had.
    """
    said = f"Position {position} said {name(step.fact)}"
    if step.kind.effect == "unknown":
        return f"{said}, a status that is not known here: kept, and {_meaning_of_unknown(after)}."
    if before is None:
        return None
    if step.kind.effect == "duplicate":
        if repeated is None:
            return f"{said}, which adds nothing: duplicate, {_stays(after)}."
        return f"Position {position} repeats what position {repeated} had said: duplicate, {_stays(after)}."
    sentence = _compare(said, step, before, after)
    return sentence and f"{sentence}."


def _compare(said: str, step: Step, before: Before, after: Message) -> str | None:
    """About an event that says something new of a known status."""
    earlier = f"position {before.decided_by} had said {name(before.fact)}"
    decided = after.decided_fact
    if step.kind.effect == "late":
        brought = "" if after.error_code == before.error_code else f", now with the error code {after.error_code}"
        return f"{said} after {earlier}: late, {_stays(after)}{brought}"
    reason = reason_for(after, decided, before.fact)
    if step.kind.effect == "corrected":
        outcome = "the outcome" if decided.status == step.fact.status else f"the outcome to {name(decided)}"
        return f"{said} after {earlier}: it corrects {outcome}, because {reason}"
    return f"{said} again and decides now, because {reason}" if before.fact.status == step.fact.status else None


def reason_for(message: Message, winner: Fact, loser: Fact) -> str:
    """Why the first fact decides over the second, which is another: the first part of the rule in which they differ."""
    if loser.phase == UNKNOWN_PHASE < winner.phase:
        return f"{name(loser)} is a status that is not known here"
    if winner.phase != loser.phase:
        return f"{name(winner)} goes further than {name(loser)}"
    if winner.status != loser.status:
        if loser.status in message.decision.superseded:
            return _reason_of_superseding(message, winner, loser)
        if winner.phase == OUTCOME_PHASE:
            return f"{name(winner)} outweighs {name(loser)} unless the carrier dates it more than 26 hours earlier"
        return f"between {name(winner)} and {name(loser)} only the alphabet decides"
    dates = message.credible_date(winner), message.credible_date(loser)
    if dates[0] != dates[1]:
        return _reason_of_dates(*dates)
    if winner.error_code != loser.error_code:
        return _reason_of_codes(winner, loser)
    return "of two reports that weigh the same the one with the greater text is taken"


def _strongest(message: Message, facts: Iterable[Fact]) -> Fact:
    """The fact that would decide if the deciding one had not been stated, roughly: by status, then by credible date."""
    return max(facts, key=lambda fact: (fact.rank, message.credible_date(fact) or _NO_DATE, fact.detail))


def _reason_of_superseding(message: Message, winner: Fact, loser: Fact) -> str:
    """The winner need not have the latest date itself: another outcome may have superseded the loser."""
    dates = message.credible_date(winner), message.credible_date(loser)
    if dates[0] is None or dates[1] is None or dates[0] - dates[1] <= INCOMPARABLE:
        return f"the carrier dates another outcome more than 26 hours later than {name(loser)}"
    return (
        f"the carrier dates it more than 26 hours later, {_date(dates[0])} over {_date(dates[1])}, "
        "which no difference of time zones explains"
    )


def _reason_of_dates(winner: datetime | None, loser: datetime | None) -> str:
    if winner is None or loser is None:
        return "it carries the carrier's done date and the other report has none that is credible"
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


def _date(done_at: datetime) -> str:
    return done_at.strftime("%Y-%m-%d %H:%M")
