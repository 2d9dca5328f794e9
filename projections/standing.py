"""What has been said of a message, and what one more fact changes in that.

Thousands of messages go the same way: queued, sent, delivered in the same minute. What a fact does depends on what was said before and on
nothing else, not on the message, its events' positions or their times. So it is worked out once: a standing remembers the steps that
lead on from it, and messages that go the same way share their standings.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal

from projections.fact import Fact
from tracker.twilio.statuses import FINAL, UNKNOWN_PHASE

Effect = Literal["decided", "late", "duplicate", "corrected", "unknown"]
"""What an event did when it came. decided: the state is now what it says. corrected: the same, and a final outcome was changed by
it. late: it says something new about what has passed. duplicate: it says nothing that was not said before. unknown: its status is
none that we know."""

MAX_STEPS: Final = 20_000
"""Steps that are remembered, under a kilobyte each; done dates make ever new ones."""

MAX_KINDS: Final = 10_000
"""Kinds that are remembered: statuses and codes may be any text."""


class Kind:
    """What an event did, as far as it is counted. Two of them that say the same are, for a long time, one object, and are compared as
    objects: one forgotten and made anew counts the same once more."""

    __slots__ = ("effect", "error_code", "new_error_code", "reached", "status", "status_after", "status_before")

    def __init__(
        self,
        status: str,
        error_code: str,
        effect: Effect,
        reached: bool,
        new_error_code: bool,
        status_before: str | None,
        status_after: str,
    ) -> None:
        self.status = status
        """The event's, as ``PHASES`` spells it."""
        self.error_code = error_code
        """The event's; empty when it has none."""
        self.effect: Effect = effect
        self.reached = reached
        """Whether the message had never been said to have this status before."""
        self.new_error_code = new_error_code
        """Whether this error code had never been said of the message before."""
        self.status_before = status_before
        """The message's; None: it was the first event."""
        self.status_after = status_after
        """The message's."""


kind_of = lru_cache(maxsize=MAX_KINDS)(Kind)
"""The one of its sort."""


class Step:
    """What a fact does to a standing."""

    __slots__ = ("confirms", "decides", "fact", "kind", "standing")

    def __init__(self, fact: Fact, kind: Kind, standing: "Standing", *, decides: bool, confirms: bool) -> None:
        self.fact = fact
        self.kind = kind
        self.standing = standing
        """The one that it leads to."""
        self.decides = decides
        """Whether this fact decides now, and did not before."""
        self.confirms = confirms
        """Whether it did before."""


class Standing:
    """The facts that were stated, and what follows from them. Never changed."""

    __slots__ = ("_decided", "_steps", "error_code", "facts")

    def __init__(self, facts: Mapping[str, Fact], decided: Fact | None) -> None:
        """facts: by identity. decided: the greatest; None when there are none."""
        self.facts = facts
        self._decided = decided
        self.error_code = None if decided is None else _error_code(facts.values(), decided)
        """Of the message; None when there is none."""
        self._steps: dict[str, Step] = {}

    @property
    def decided(self) -> Fact:
        """The fact that decides. There must be one."""
        assert self._decided is not None
        return self._decided

    def step(self, fact: Fact) -> Step:
        """What happens when this fact is stated, for the first time or again."""
        try:
            return self._steps[fact.identity]
        except KeyError:
            return self._remember(self._work_out(fact))

    def _remember(self, step: Step) -> Step:
        self._steps[step.fact.identity] = step
        _memory.count_step()
        return step

    def _work_out(self, fact: Fact) -> Step:
        before = self._decided
        if fact.identity in self.facts:
            assert before is not None
            effect: Effect = "unknown" if fact.phase == UNKNOWN_PHASE else "duplicate"
            stays = before.status
            kind = kind_of(
                fact.status,
                fact.error_code,
                effect,
                reached=False,
                new_error_code=False,
                status_before=stays,
                status_after=stays,
            )
            return Step(fact, kind, self, decides=False, confirms=fact.identity == before.identity)
        known = self.facts.values()
        reached = all(other.status != fact.status for other in known)
        new_error_code = fact.error_code != "" and all(other.error_code != fact.error_code for other in known)
        decides = before is None or fact.key > before.key
        after = Standing({**self.facts, fact.identity: fact}, fact if decides else before)
        kind = kind_of(
            fact.status,
            fact.error_code,
            _effect(fact, before, known, reached),
            reached,
            new_error_code,
            None if before is None else before.status,
            after.decided.status,
        )
        return Step(fact, kind, after, decides=decides, confirms=False)


class _Memory:
    """Where all messages begin, and how much has been remembered from there on."""

    def __init__(self) -> None:
        self.beginning = Standing({}, None)
        self._steps = 0

    def count_step(self) -> None:
        """Begin anew when there are too many. Messages that are under way keep their standings."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            self.beginning = Standing({}, None)
            self._steps = 0


_memory = _Memory()


def beginning() -> Standing:
    """Of a message of which nothing was said."""
    return _memory.beginning


def _effect(fact: Fact, before: Fact | None, known: Iterable[Fact], reached: bool) -> Effect:
    """Of a fact that was not stated before."""
    if fact.phase == UNKNOWN_PHASE:
        return "unknown"
    if before is None:
        return "decided"
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


def _error_code(facts: Iterable[Fact], decided: Fact) -> str | None:
    """The deciding fact's code or, when it has none, the one that was said last of the same status: a repetition that brings a
    date but no code erases nothing."""
    # The deciding fact is the greatest of them if it has a code.
    coded = [fact for fact in facts if fact.status == decided.status and fact.error_code]
    return max(coded, key=lambda fact: fact.key).error_code if coded else None
