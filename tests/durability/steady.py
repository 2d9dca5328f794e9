"""Signed callbacks at a constant rate, whatever their answers take (an open loop)."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from uuid import uuid4

import uvloop

from tests.durability.ledger import Ledger, Saying
from tests.durability.life_cycles import life
from tests.durability.load import TIMEOUT
from tests.durability.poster import Poster, Requests, connect
from tests.support.events import message_sid
from tests.support.serving import Tracker


class SteadyLoad(Ledger):
    """A callback every 1/rate seconds. Latencies count from the moment at which it was due."""

    def __init__(self, tracker: Tracker, rate: float) -> None:
        """rate: callbacks per second."""
        super().__init__()
        self._port = tracker.port
        self._rate = rate
        self._requests = Requests(tracker)
        self._name = uuid4().hex[:12]
        self._first_sid = uuid4().int >> 32 << 32
        self._idle: list[Poster] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady load")

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def stop(self) -> None:
        """Post nothing more; every answer is in when this returns."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._post_all())

    async def _post_all(self) -> None:
        lives = (life(message_sid(self._first_sid + number), number) for number in itertools.count())
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, saying in enumerate(itertools.chain.from_iterable(lives)):
                due = begun + number / self._rate
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                if self._stop.is_set():
                    break
                group.create_task(self._post(saying, due))
        for poster in self._idle:
            await poster.close()

    async def _post(self, saying: Saying, due: float) -> None:
        token = f"{self._name}-{len(self.sent)}"
        self.sent[token] = saying
        poster: Poster | None = None
        try:
            poster = await self._connection()
            code = await poster.post(self._requests.make(saying, token), TIMEOUT)
        except (OSError, TimeoutError):
            self.refused += 1
            if poster is not None:
                await poster.close()
            return
        self._idle.append(poster)
        self.answers[code] += 1
        if code == HTTPStatus.OK:
            self.seconds.append(time.perf_counter() - due)
            self.acknowledged[token] = saying
        else:
            self.refused += 1

    async def _connection(self) -> Poster:
        """One that is open and has nothing under way. Raises OSError."""
        while self._idle:
            poster = self._idle.pop()
            if poster.is_open:
                return poster
            await poster.close()
        return await connect(self._port)


@contextmanager
def steady_load(tracker: Tracker, rate: float) -> Iterator[SteadyLoad]:
    """Callbacks at a constant rate as long as the block lasts; all answers are in at its end."""
    load = SteadyLoad(tracker, rate)
    load.start()
    try:
        yield load
    finally:
        load.stop()
