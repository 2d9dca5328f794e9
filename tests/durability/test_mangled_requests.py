"""Signed, re-split and damaged requests through real sockets: nothing forged or differently read gets into the log, and nothing breaks."""

import asyncio
import random
import re
import time
from collections import Counter

import psycopg
import pytest

from tests.durability.figures import Figures
from tests.durability.mangled import Attempt, Attempts, Reading
from tests.support.serving import Tracker, running_tracker, sign

CONNECTIONS = 16
PIPELINED = 16
"""Requests that a connection sends before it reads their answers."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Connection:
    """A connection that sends many requests at once and is made again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, attempts: list[Attempt]) -> list[int]:
        """Statuses of the answers, as many as came."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        statuses: list[int] = []
        try:
            writer.write(b"".join([attempt.request for attempt in attempts]))
            # A damaged head may announce a body that never comes.
            async with asyncio.timeout(1 if attempts[-1].ends_connection else None):
                for _ in attempts:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = _LENGTH.search(head)
                    if length is not None:
                        await reader.readexactly(int(length[1]))
                    statuses.append(int(head.split(b" ", 2)[1]))
                    if b"connection: close" in head.lower():
                        break
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        if len(statuses) < len(attempts) or attempts[-1].ends_connection:
            await self.close()
        return statuses

    async def close(self) -> None:
        """Close it; the next exchange makes a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Run:
    """What was sent, and what became of it."""

    def __init__(self, attempts: Attempts, total: int) -> None:
        self._attempts = attempts
        self._left = total
        self._alone: list[Attempt] = []
        self.honest: dict[str, Reading] = {}
        """What Twilio said, by SID."""
        self.taken: set[str] = set()
        """SIDs of honest requests that were answered 200."""
        self.refused: list[Reading] = []
        """Honest requests that were answered otherwise."""
        self.answers: Counter[int] = Counter()
        self.failures: Counter[int] = Counter()
        """Answers that say that the server failed: 5xx, but for 505 to a head whose HTTP version may be what was damaged."""

    async def send_all(self, port: int) -> None:
        """Over several connections at once."""
        await asyncio.gather(*(self._send(port) for _ in range(CONNECTIONS)))

    async def _send(self, port: int) -> None:
        connection = Connection(port)
        while batch := self._batch():
            statuses = await connection.exchange(batch)
            self.answers.update(statuses)
            for attempt, status in zip(batch, statuses, strict=False):
                if status >= 500 and not (status == 505 and attempt.ends_connection):
                    self.failures[status] += 1
                if attempt.is_honest and status == 200:
                    self.taken.add(attempt.honest.message_sid)
                elif attempt.is_honest:
                    self.refused.append(attempt.honest)
        await connection.close()

    def _batch(self) -> list[Attempt]:
        """Some attempts; one that may end the connection goes alone."""
        batch: list[Attempt] = []
        while self._left > 0 and len(batch) < PIPELINED and len(self._alone) < PIPELINED:
            self._left -= 1
            attempt = self._attempts.next()
            self.honest[attempt.honest.message_sid] = attempt.honest
            (self._alone if attempt.ends_connection else batch).append(attempt)
        return batch or [self._alone.pop() for _ in self._alone[:1]]


@pytest.mark.parametrize(
    "total",
    [
        15_000,
        pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_mangled_requests_forge_nothing(database_url: str, rng: random.Random, total: int, figures: Figures) -> None:
    """No request makes the server fail, every honest callback is in the log as Twilio said it, and whatever else is in the log agrees with what
    Twilio said of that message: account, SID, status, error code and date."""
    with running_tracker(database_url) as tracker:
        attempts = Attempts(tracker.port, rng)
        url, pairs = tracker.webhook_url, [("b", "2"), ("a", "1 é"), ("a", "0")]
        assert attempts.sign(url, pairs) == sign(url, pairs), "Twilio's own library signs otherwise"
        started = time.monotonic()
        run = Run(attempts, total)
        asyncio.run(run.send_all(tracker.port))
        seconds = time.monotonic() - started
        tracker.wait_drained()
        rows, quarantined = rows_of(database_url)
        assert_nothing_forged(run, rows)
        figures(
            f"{total} mangled requests",
            f"{seconds:.0f} s; answers {dict(run.answers)}; {len(rows)} events, {quarantined} quarantined",
        )
        assert_all_kinds_came(tracker, run, total, quarantined)


def rows_of(database_url: str) -> tuple[list[Reading], int]:
    """The log, and how many callbacks are in the quarantine."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT account_sid, message_sid, status, error_code, raw_dlr_done_date FROM events"
        ).fetchall()
        (quarantined,) = connection.execute(
            "SELECT count(*) FROM quarantined_callbacks WHERE reason = 'ambiguous'"
        ).fetchall()[0]
    return [Reading(*row) for row in rows], quarantined


def assert_nothing_forged(run: Run, rows: list[Reading]) -> None:
    """Whatever is in the log is what Twilio said, and what was taken is there."""
    assert not run.failures
    assert [row for row in rows if run.honest.get(row.message_sid) != row] == []
    stored = {row.message_sid for row in rows}
    assert run.taken - stored == set()


def assert_all_kinds_came(tracker: Tracker, run: Run, total: int, quarantined: int) -> None:
    """The run has shown something: enough of each kind was answered."""
    assert len(run.taken) > total / 10
    assert quarantined > total / 20
    assert run.answers[403] > total / 20
    assert run.answers.total() > total * 0.9
    assert tracker.metric('tracker_quarantined_callbacks_total{reason="ambiguous"}') == quarantined
