"""What goes wrong with the callbacks of a message on their way: loss, lateness, disorder, repetition, forgery."""

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["original", "duplicate", "forged", "unsigned"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """How much goes wrong: shares from 0 to 1.

    disorder: of the messages with more than one callback to send at once. Of the callbacks: duplicates (sent again
    later, with the same idempotency token), late (held back to the end of the run), loss (never sent), forged (joined
    by a twin with a wrong signature), unsigned (joined by a twin without one).
    """

    disorder: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    loss: float = 0.0
    forged: float = 0.0
    unsigned: float = 0.0


@dataclass(frozen=True, slots=True)
class Posting:
    """One request to send. update: the number of the message's update, from 0."""

    update: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The postings of one message in the order of sending, those held back to the end of the run, the lost updates."""

    now: tuple[Posting, ...]
    held: tuple[Posting, ...]
    lost: tuple[int, ...]

    @property
    def out_of_order(self) -> bool:
        """Whether an update is told after a later one. A repetition of what was told before does not count."""
        told = [posting.update for posting in (*self.now, *self.held) if posting.kind == "original"]
        return any(later < earlier for earlier, later in pairwise(told))


def arrange(rng: random.Random, updates: int, trouble: Trouble) -> Arrangement:
    """Decide what happens to the callbacks of a message with that many updates."""
    now: list[int] = []
    held: list[int] = []
    lost: list[int] = []
    for update in range(updates):
        fate = lost if rng.random() < trouble.loss else held if rng.random() < trouble.late else now
        fate.append(update)
    if len(now) > 1 and rng.random() < trouble.disorder:
        now = _shuffled(rng, now)
    return Arrangement(_with_twins(rng, now, trouble), _with_twins(rng, held, trouble), tuple(lost))


def _shuffled(rng: random.Random, updates: list[int]) -> list[int]:
    """Another order than the given one. Needs two or more updates."""
    shuffled = updates
    while shuffled == updates:
        shuffled = rng.sample(updates, len(updates))
    return shuffled


def _with_twins(rng: random.Random, updates: list[int], trouble: Trouble) -> tuple[Posting, ...]:
    """Each original, its duplicate somewhere after it, and forged twins anywhere."""
    postings = [Posting(update, "original") for update in updates]
    for update in updates:
        if rng.random() < trouble.duplicates:
            original = postings.index(Posting(update, "original"))
            postings.insert(rng.randint(original + 1, len(postings)), Posting(update, "duplicate"))
    for update in updates:
        if rng.random() < trouble.forged:
            postings.insert(rng.randint(0, len(postings)), Posting(update, "forged"))
        if rng.random() < trouble.unsigned:
            postings.insert(rng.randint(0, len(postings)), Posting(update, "unsigned"))
    return tuple(postings)
