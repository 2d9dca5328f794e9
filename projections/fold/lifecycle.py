"""Standings: what was stated about a message, and what one more fact changes in that.

Thousands of messages go the same way: queued, sent, delivered in the same minute. What a fact does depends on what was stated before,
and hardly ever on anything else. So it is worked out once: a standing remembers the steps that lead on from it, and messages that go
the same way share their standings.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from projections.fold.decision import Decision, decide
from projections.fold.status_report import Fact
from projections.fold.summary import EMPTY, Summary
from tracker.twilio.done_date import latest_start
from tracker.twilio.statuses import FINAL, OUTCOME_PHASE, UNKNOWN_PHASE

Effect = Literal["decided", "late", "duplicate", "corrected", "unknown"]
"""What an event did when it came. decided: the state is now what it says. corrected: the same, and a final outcome was changed by
it. late: it adds to what is remembered and does not decide. duplicate: it adds nothing. unknown: its status is none that we know."""

EFFECT_BITS: Final[dict[Effect, int]] = {"decided": 1, "late": 2, "duplicate": 4, "corrected": 8, "unknown": 16}
"""The bit of each effect in ``Message.effects_seen``."""

MAX_STEPS: Final = 20_000
"""Steps that are remembered, under a kilobyte each; done dates make ever new ones."""

MAX_FACTS: Final = 12
"""Facts of a message whose steps are remembered. Few messages have more, and hardly any two of these go the same way."""

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


def has_conflict(summary: Summary) -> bool:
    """Whether two different outcomes were reported. Reading confirms a delivery."""
    outcome = None
    for status in summary.statuses:
        if status in FINAL:
            reported = "delivered" if status == "read" else status
            if outcome is not None and outcome != reported:
                return True
            outcome = reported
    return False


class Step:
    """What a fact does to a standing, as long as every date of the message lies above the lower bound of credible dates."""

    __slots__ = ("confirms", "decides", "decision", "effect_bit", "fact", "joins_outcomes", "kind", "standing")

    def __init__(self, fact: Fact, kind: Kind, before: "Standing", after: "Standing") -> None:
        """before: the standing. after: the one that the fact leads to."""
        was, now = before.decision, after.decision
        assert now is not None
        self.fact = fact
        self.kind = kind
        self.standing = after
        """The one that it leads to."""
        self.decision = now
        """The one that it leads to."""
        self.decides = fact.identity == now.fact.identity and (was is None or fact.identity != was.fact.identity)
        """Whether this fact decides now, and did not before."""
        self.confirms = fact.identity == now.fact.identity and not self.decides
        """Whether it decides now, and did before."""
        self.joins_outcomes = (
            was is not None and fact.phase == OUTCOME_PHASE == was.fact.phase and fact.identity != was.fact.identity
        )
        """Whether this fact is the second one about an outcome or a later one, so that the first event in the log of several facts may
        be the deciding one."""
        self.effect_bit = EFFECT_BITS[kind.effect]


class Standing:
    """A summary of the facts that were stated, and what follows from it. Never changed."""

    __slots__ = ("_size", "_steps", "credible_until", "decision", "has_conflict", "summary")

    def __init__(self, summary: Summary, size: int) -> None:
        """size: facts that led here, each of which changed something."""
        self.summary = summary
        self.decision = None if summary is EMPTY else decide(summary)
        """As long as every date of the message lies above the lower bound of credible dates. None when nothing was stated."""
        self.credible_until = None if summary.earliest is None else latest_start(summary.earliest)
        """Every date lies above the lower bound of credible dates as long as the message's ``first_received_at`` is no later than this.
        None: always."""
        self.has_conflict = has_conflict(summary) if size > 1 else False
        """Whether two different outcomes were reported. Reading confirms a delivery."""
        self._size = size
        self._steps: dict[str, Step] = {}

    def decide(self, not_before: datetime) -> Decision:
        """The decision when a date is credible from a moment on. There must be a fact."""
        assert self.decision is not None
        earliest = self.summary.earliest
        if earliest is None or earliest >= not_before:
            return self.decision
        return decide(self.summary, not_before)

    def step(self, fact: Fact) -> Step:
        """What happens when this fact is stated, for the first time or again."""
        try:
            return self._steps[fact.identity]
        except KeyError:
            step = self._work_out(fact)
        if self._size < MAX_FACTS:
            self._steps[fact.identity] = step
            _memory.count_step()
        return step

    def _work_out(self, fact: Fact) -> Step:
        summary = self.summary.add(fact)
        after = self if summary is self.summary else Standing(summary, self._size + 1)
        assert after.decision is not None
        return Step(fact, kind_between(fact, self, after, self.decision, after.decision), self, after)


def kind_between(fact: Fact, before: Standing, after: Standing, was: Decision | None, now: Decision) -> Kind:
    """What a fact did that led from one standing to another. was, now: the decisions; None: it was the first fact."""
    new_code = fact.error_code != "" and fact.error_code not in before.summary.codes
    return kind_of(
        fact.status,
        fact.error_code,
        _effect(fact, was, now, is_new=after is not before),
        # By position, since an lru_cache is slower with keywords: reached, new_error_code, status_before, status_after.
        fact.status not in before.summary.statuses and fact.status in after.summary.statuses,
        new_code and fact.error_code in after.summary.codes,
        None if was is None else was.status,
        now.status,
    )


class _Memory:
    """Where all messages begin, and how much has been remembered from there on."""

    def __init__(self) -> None:
        self.beginning = Standing(EMPTY, 0)
        self._steps = 0

    def count_step(self) -> None:
        """Begins anew when there are too many. Messages that are under way keep their standings."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            self.beginning = Standing(EMPTY, 0)
            self._steps = 0


_memory = _Memory()


def beginning() -> Standing:
    """The standing of a message about which nothing was stated."""
    return _memory.beginning


def _effect(fact: Fact, was: Decision | None, now: Decision, *, is_new: bool) -> Effect:
    """is_new: whether the fact changed the summary."""
    if fact.phase == UNKNOWN_PHASE:
        return "unknown"
    if was is None:
        return "decided"
    # Reading confirms a delivery; every other change of an outcome corrects it.
    if was.status in FINAL and now.status != was.status and (was.status, now.status) != ("delivered", "read"):
        return "corrected"
    if now.fact.identity == was.fact.identity:
        return "late" if is_new else "duplicate"
    return "decided" if fact.identity == now.fact.identity or fact.identity in now.identities else "late"
