"""Callbacks that go on while something breaks, and the account of what was acknowledged."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode
from uuid import uuid4

import psycopg

from projections.message import Message, Said, fold
from tests.serving import FORM, PATH, Tracker, callback, message_sid, sign, wait_until
from tracker.database.queries import query

STATUSES = ("queued", "sent", "delivered")
"""What is said of every message, one after the other, so that its state is known."""

TIMEOUT = 20.0
"""Seconds that an answer may take. Twilio waits fifteen; a machine that runs other tests gets some grace."""


class Load:
    """Threads that post callbacks, each about messages of its own, until they are told to stop."""

    def __init__(self, tracker: Tracker, threads: int = 4) -> None:
        self._tracker = tracker
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[str, tuple[str, str]] = {}
        """Idempotency token → SID and status of every callback that was answered 200."""
        self.refused = 0
        """Callbacks that got another answer or none."""
        self._threads = [threading.Thread(target=self._post_all, args=(number,)) for number in range(threads)]

    def start(self) -> None:
        """Begin to post."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Post nothing more; every answer is in when this returns."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more callbacks have been acknowledged."""
        goal = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= goal, f"{more} more acknowledged callbacks", seconds=90)

    def _post_all(self, thread: int) -> None:
        connection: http.client.HTTPConnection | None = None
        number = 0
        while not self._stop.is_set():
            number += 1
            sid = message_sid(thread << 64 | number)
            for status in STATUSES:
                connection = self._post(connection, sid, status)
        if connection is not None:
            connection.close()

    def _post(
        self, connection: http.client.HTTPConnection | None, sid: str, status: str
    ) -> http.client.HTTPConnection | None:
        """Post one callback; the connection to go on with, None when it broke."""
        params, token = callback(status, sid), str(uuid4())
        connection = connection or http.client.HTTPConnection("127.0.0.1", self._tracker.port, timeout=TIMEOUT)
        headers = {
            "Content-Type": FORM,
            "X-Twilio-Signature": sign(self._tracker.webhook_url, list(params.items())),
            "I-Twilio-Idempotency-Token": token,
        }
        try:
            connection.request("POST", PATH, urlencode(params), headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.refused += 1
            self._stop.wait(0.02)
            return None
        if answer.status == http.client.OK:
            with self._lock:
                self.acknowledged[token] = (sid, status)
        else:
            self.refused += 1
        return connection


@contextmanager
def under_load(tracker: Tracker, threads: int = 4) -> Iterator[Load]:
    """Callbacks come in as long as the block lasts; it begins when the first have been acknowledged."""
    load = Load(tracker, threads)
    load.start()
    try:
        load.wait_for(50)
        yield load
    finally:
        load.stop()


def assert_nothing_lost(load: Load, database_url: str) -> None:
    """Acknowledged = stored, exactly once; positions dense; every row of message_state is the fold of its events."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        stored = connection.execute(
            "SELECT idempotency_token, message_sid, status FROM events ORDER BY position"
        ).fetchall()
        positions = [row[0] for row in connection.execute("SELECT position FROM events ORDER BY position")]
        head = connection.execute(query("read_log_head")).fetchone()
        assert positions == list(range(1, len(positions) + 1))
        assert head == (len(positions),)
        tokens = [token for token, _, _ in stored]
        assert len(set(tokens)) == len(tokens), "an event was stored twice"
        facts = {token: (sid, status) for token, sid, status in stored}
        lost = {token: fact for token, fact in load.acknowledged.items() if facts.get(token) != fact}
        assert not lost, f"{len(lost)} of {len(load.acknowledged)} acknowledged callbacks are not stored"
        _assert_states(connection)


def _assert_states(connection: psycopg.Connection) -> None:
    """The table equals the fold of the log, message by message."""
    histories: dict[str, list[Said]] = {}
    for row in connection.execute(query("read_log"), {"after": 0, "limit": 10_000_000}):
        said = Said._make(row)
        histories.setdefault(said.message_sid, []).append(said)
    expected = {sid: _row(fold(events)[0]) for sid, events in histories.items()}
    rows = connection.execute(
        "SELECT message_sid, status, error_code, decided_by, event_count, first_received_at, last_received_at, last_position"
        " FROM message_state"
    )
    assert {row[0]: row[1:] for row in rows} == expected


def _row(message: Message | None) -> tuple[object, ...]:
    assert message is not None
    return (
        message.status, message.error_code, message.decided_by, message.event_count, message.first_received_at,
        message.last_received_at, message.last_position,
    )  # fmt: skip
