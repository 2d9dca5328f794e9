"""Callbacks that go on while something breaks, over many connections at once, and the account of what was acknowledged."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from uuid import uuid4

import uvloop

from tests.durability.accounting import assert_counted, assert_nothing_lost
from tests.durability.clients import allow_descriptors
from tests.durability.ledger import Ledger, Saying
from tests.durability.life_cycles import life
from tests.durability.poster import Poster, Requests, connect
from tests.support.events import message_sid
from tests.support.serving import Tracker
from tests.support.waiting import wait_until

__all__ = ["CONNECTIONS", "TIMEOUT", "Load", "assert_nothing_lost", "settle", "under_load"]

CONNECTIONS = 64
"""Each has one callback under way: so many are waiting together for a batch, and more than one batch fits beside it."""

TIMEOUT = 20.0
"""Seconds that an answer may take. Twilio waits fifteen; a machine that runs other tests gets some grace."""

PAUSE = 0.01
"""Seconds between an answer and the connection's next callback: what spends its time in the queue is the server's doing."""

RETRY_SECONDS = 0.1
"""Until a connection that broke is made again."""


class Load(Ledger):
    """Connections that post callbacks, each about messages of its own, until they are told to stop."""

    def __init__(
        self,
        tracker: Tracker,
        connections: int = CONNECTIONS,
        *,
        padding: str = "",
        pause: float = PAUSE,
        signature: str | None = None,
    ) -> None:
        """padding: makes bodies larger. pause: seconds that each connection rests after an answer. signature: instead of the right
        one."""
        super().__init__()
        self._port = tracker.port
        self._connections = connections
        self._pause = pause
        self._signature = signature
        self._requests = Requests(tracker, padding)
        # Several loads may run against one server, one after the other.
        self._first_sid = uuid4().int >> 32 << 32
        self._name = uuid4().hex[:12]
        self._messages = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def start(self) -> None:
        """Begin to post."""
        allow_descriptors()
        self._thread.start()

    def stop(self) -> None:
        """Post nothing more; every answer is in when this returns."""
        self._stop.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more callbacks have been acknowledged."""
        goal = len(self.acknowledged) + more

        def is_reached() -> bool:
            assert self._thread.is_alive(), "the load has ended"
            return len(self.acknowledged) >= goal

        wait_until(is_reached, f"{more} more acknowledged callbacks", seconds=90)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._post_all())

    async def _post_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._post_until_stopped())

    async def _post_until_stopped(self) -> None:
        poster: Poster | None = None
        while not self._stop.is_set():
            self._messages += 1
            for saying in life(message_sid(self._first_sid + self._messages), self._messages):
                if not self._stop.is_set():
                    poster = await self._post(poster, saying)
                    await asyncio.sleep(self._pause)
        if poster is not None:
            await poster.close()

    async def _post(self, poster: Poster | None, saying: Saying) -> Poster | None:
        """Post one callback; the connection to go on with, None when it broke."""
        try:
            if poster is not None and not poster.is_open:
                await poster.close()
                poster = None
            if poster is None:
                poster = await connect(self._port)
            token = f"{self._name}-{len(self.sent)}"
            self.sent[token] = saying
            started = time.perf_counter()
            code = await poster.post(self._requests.make(saying, token, self._signature), TIMEOUT)
        except (OSError, TimeoutError):
            if poster is not None:
                await poster.close()
            self.refused += 1
            await asyncio.sleep(RETRY_SECONDS)
            return None
        self.answers[code] += 1
        if code == HTTPStatus.OK:
            self.seconds.append(time.perf_counter() - started)
            self.acknowledged[token] = saying
        else:
            self.refused += 1
        return poster


@contextmanager
def under_load(
    tracker: Tracker, connections: int = CONNECTIONS, *, padding: str = "", pause: float = PAUSE
) -> Iterator[Load]:
    """Callbacks come in as long as the block lasts; it begins when the first have been acknowledged."""
    load = Load(tracker, connections, padding=padding, pause=pause)
    load.start()
    try:
        load.wait_for(50)
        yield load
    finally:
        load.stop()


def settle(tracker: Tracker, load: Load, database_url: str) -> None:
    """The end of a test under load: no more callbacks; what was acknowledged is in the log, projected, counted, and shown."""
    load.stop()
    tracker.wait_drained()
    tracker.wait_projected()
    assert_nothing_lost(load, database_url)
    assert_counted(tracker, database_url)
