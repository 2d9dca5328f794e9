"""The large log of the benchmark is a real one: dense, of messages that can be told apart, and fit to be projected."""

from uuid import uuid4

import psycopg
import pytest
from rich.console import Console

from projections.projector import catch_up
from tests.bench import seed
from tests.bench.progress import Progress
from tests.bench.seed import SeededLog
from tracker.postgres.roles import Role, conninfo

EVENTS = 2_500


@pytest.fixture
def log(database_url: str, monkeypatch: pytest.MonkeyPatch) -> SeededLog:
    """A log of a few copies of a small seed, grown in two steps."""
    monkeypatch.setattr(seed, "SEED_EVENTS", 1_000)
    monkeypatch.setattr(seed, "CHUNK_EVENTS", 700)
    log = SeededLog(database_url)
    progress = Progress(Console(quiet=True))
    log.grow(900, progress)
    log.grow(EVENTS, progress)
    return log


def test_the_log_is_dense(log: SeededLog) -> None:
    """Positions 1 to n, and the head at n."""
    with psycopg.connect(log.url) as connection:
        row = connection.execute("SELECT min(position), max(position), count(*) FROM events").fetchone()
        head = connection.execute("SELECT position FROM log_head").fetchone()
    log.close()
    assert row == (1, EVENTS, EVENTS)
    assert head == (EVENTS,)


def test_every_copy_is_of_other_messages(log: SeededLog) -> None:
    """With bodies that say so: a history is read from the body."""
    with psycopg.connect(log.url) as connection:
        shared = connection.execute(
            "SELECT count(*) FROM events AS a INNER JOIN events AS b ON a.message_sid = b.message_sid"
            " WHERE (a.position - 1) / 1000 < (b.position - 1) / 1000"
        ).fetchone()
        told = connection.execute(
            "SELECT bool_and(position('MessageSid=' || message_sid IN convert_from(body, 'UTF8')) > 0) FROM events"
        ).fetchone()
    log.close()
    assert shared == (0,)
    assert told == (True,)


def test_the_log_can_be_projected(log: SeededLog) -> None:
    """Into as many messages as it has."""
    assert catch_up(conninfo(log.url, role=Role.PROJECTOR, application="test"), uuid4())
    with psycopg.connect(log.url) as connection:
        messages = connection.execute("SELECT count(DISTINCT message_sid) FROM events").fetchone()
        states = connection.execute("SELECT count(*) FROM message_state").fetchone()
    log.close()
    assert states == messages


def test_questions_are_asked_all_over_the_log(log: SeededLog) -> None:
    """From its beginning to its end."""
    asked = log.message_sids(10)
    with psycopg.connect(log.url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT (position - 1) / 1000 FROM events WHERE message_sid = ANY(%s)", [asked]
        ).fetchall()
    log.close()
    assert len(asked) == 10
    assert sorted(rows) == [(0,), (1,), (2,)]
