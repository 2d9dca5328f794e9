"""Runs a simulation: draws messages, arranges their callbacks, keeps a bounded number of messages in flight."""

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tracker.simulate.outcome import MessageOutcome, Taken
from tracker.simulate.tally import Tally, is_genuine, is_in_doubt, is_taken
from tracker.simulate.traffic.callbacks import Callback, Form, Signer, make_callback, parameters
from tracker.simulate.traffic.disorder import Posting, Trouble, arrange
from tracker.simulate.traffic.forgery import Forger
from tracker.simulate.traffic.sender import Answer
from tracker.simulate.world.population import Message, Population


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. messages: how many. concurrency: most messages in flight; the callbacks of one go one by one.

    signed_url: what signatures are made for, which behind a proxy is not the URL that is posted to.
    """

    seed: int
    messages: int
    concurrency: int
    trouble: Trouble
    signed_url: str


class Poster(Protocol):
    """What callbacks are sent with: ``Sender``."""

    async def post(self, callback: Callback) -> tuple[Answer, float]:
        """Post one callback. Returns the answer and the seconds that it took."""
        ...


@dataclass(frozen=True, slots=True)
class _Flight:
    """A message on its way: requests to send now, requests to send when all else is sent, and what was taken."""

    taken: Taken
    now: tuple[tuple[Posting, Callback], ...]
    held: tuple[tuple[Posting, Callback], ...]


class Run:
    """One simulation. ``tally`` and ``outcomes`` are right for what was sent so far, also when the run was cancelled.

    clock: the time of day, with its zone. on_message: called when all callbacks of a message are through.
    """

    def __init__(
        self,
        plan: Plan,
        population: Population,
        signer: Signer,
        clock: Callable[[], datetime],
        on_message: Callable[[], None] = lambda: None,
    ) -> None:
        self.tally = Tally()
        self._plan = plan
        self._population = population
        self._signer = signer
        self._forger = Forger(signer, plan.signed_url)
        self._clock = clock
        self._on_message = on_message
        self._outcomes: dict[int, MessageOutcome] = {}
        self._open: dict[int, Taken] = {}
        self._held: list[_Flight] = []

    @property
    def outcomes(self) -> list[MessageOutcome]:
        """What became of each message that was begun, in the order of their numbers."""
        return [self._outcomes[index] for index in sorted(self._outcomes)]

    async def send_all(self, sender: Poster) -> None:
        """Send every callback of every message, then those that were held back."""
        try:
            departures = self._departures()
            await self._with_workers(lambda: self._send_now(departures, sender))
            held = iter(self._held)
            await self._with_workers(lambda: self._send_held(held, sender))
        finally:
            for taken in list(self._open.values()):
                self._land(taken)

    async def _with_workers(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._plan.concurrency, self._plan.messages)):
                tasks.create_task(work())

    async def _send_now(self, departures: Iterator[_Flight], sender: Poster) -> None:
        for flight in departures:
            for posting, callback in flight.now:
                await self._send(flight.taken, posting, callback, sender)
            if flight.held:
                self._held.append(flight)
            else:
                self._land(flight.taken)
                self._on_message()

    async def _send_held(self, held: Iterator[_Flight], sender: Poster) -> None:
        for flight in held:
            for posting, callback in flight.held:
                self.tally.late += is_genuine(posting.kind)
                await self._send(flight.taken, posting, callback, sender)
            self._land(flight.taken)
            self._on_message()

    async def _send(self, taken: Taken, posting: Posting, callback: Callback, sender: Poster) -> None:
        update = taken.message.updates[posting.update]
        try:
            answer, seconds = await sender.post(callback)
        except asyncio.CancelledError:
            if is_genuine(posting.kind):
                taken.in_doubt.append(update)
            raise
        self.tally.count_callback(posting.kind, update.status, answer, seconds)
        if is_genuine(posting.kind) and is_taken(answer):
            taken.certain.append(update)
        elif is_genuine(posting.kind) and is_in_doubt(answer):
            taken.in_doubt.append(update)

    def _land(self, taken: Taken) -> None:
        del self._open[taken.message.index]
        self._outcomes[taken.message.index] = taken.outcome()

    def _departures(self) -> Iterator[_Flight]:
        for index in range(self._plan.messages):
            message = self._population.message(index, self._clock())
            rng = random.Random(f"{self._plan.seed}:trouble:{index}")
            arrangement = arrange(rng, len(message.updates), self._plan.trouble)
            self.tally.count_message(arrangement)
            taken = self._open[index] = Taken(message)
            desk = _Desk(message, rng, self._signer, self._forger, self._plan.signed_url)
            yield _Flight(taken, desk.requests(arrangement.now), desk.requests(arrangement.held))


class _Desk:
    """Writes the requests of one message. A duplicate is the very request that it repeats."""

    def __init__(self, message: Message, rng: random.Random, signer: Signer, forger: Forger, signed_url: str) -> None:
        self._message = message
        self._rng = rng
        self._signer = signer
        self._forger = forger
        self._signed_url = signed_url
        self._originals: dict[int, Callback] = {}

    def requests(self, postings: tuple[Posting, ...]) -> tuple[tuple[Posting, Callback], ...]:
        return tuple((posting, self._request(posting)) for posting in postings)

    def _request(self, posting: Posting) -> Callback:
        if is_genuine(posting.kind):
            if posting.update not in self._originals:
                params = self._parameters(posting)
                signature = self._signer.compute_signature(self._signed_url, params)
                self._originals[posting.update] = make_callback(params, signature, self._draw_token())
            return self._originals[posting.update]
        if posting.kind == "forged":
            return self._forger.forge(self._rng, self._parameters(posting), self._draw_token())
        return make_callback(self._parameters(posting), None, self._draw_token())

    def _parameters(self, posting: Posting) -> Form:
        return parameters(self._message, self._message.updates[posting.update])

    def _draw_token(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
