"""What every test counts at its end: acknowledged = stored, exactly once, positions dense, states and counters right."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

import psycopg

from tests.durability.ledger import Ledger, Saying
from tests.durability.life_cycles import outcome
from tests.support.projections.counting import assert_exact
from tests.support.serving import Tracker
from tests.support.waiting import wait_until
from tracker.postgres.sql_files import query

BOUND = 1.0
"""Seconds from the database's last answer to the first spooled one."""

GRACE = 3.0
"""Seconds that a machine which runs other tests may add."""


class _Stored(NamedTuple):
    """A row of the log."""

    position: int
    event_id: UUID
    token: str | None
    saying: Saying


def assert_nothing_lost(ledger: Ledger, database_url: str, besides: Collection[str | None] = ()) -> None:
    """Acknowledged ⊆ stored ⊆ sent, each once; positions 1 to n; every row of message_state is what was said of its message.

    besides: idempotency tokens of events that others put into the log, which hold no message of the load's.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        stored = _read(connection)
        head = connection.execute(query("read_log_head")).fetchone()
        assert [row.position for row in stored] == list(range(1, len(stored) + 1))
        assert head == (len(stored),)
        _assert_kept(ledger, stored, besides)
        _assert_states(connection, ledger, stored)
        assert_exact(connection)


def assert_all_kept(ledger: Ledger, database_url: str) -> None:
    """The part of it that holds for one of several loads, before anything is projected."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        stored = [row for row in _read(connection) if row.token in ledger.sent]
        _assert_kept(ledger, stored)


def _assert_kept(ledger: Ledger, stored: list[_Stored], besides: Collection[str | None] = ()) -> None:
    """Acknowledged ⊆ stored ⊆ sent, each once, as it was sent."""
    twice = [token for token, count in Counter(row.token for row in stored).items() if count > 1]
    assert not [token for token in twice if token not in besides], "events were stored twice"
    assert len({row.event_id for row in stored}) == len(stored)
    found = {row.token: row.saying for row in stored if row.token is not None and row.token not in besides}
    lost = [token for token, saying in ledger.acknowledged.items() if found.get(token) != saying]
    assert not lost, f"{len(lost)} of {len(ledger.acknowledged)} acknowledged callbacks are not stored"
    invented = [token for token, saying in found.items() if ledger.sent.get(token) != saying]
    assert not invented, f"{len(invented)} stored events were never sent"
    strangers = [row for row in stored if row.token is None and None not in besides]
    assert not strangers, f"{len(strangers)} stored events are nobody's"


def assert_bounded(ledger: Ledger) -> None:
    """The move to the spool takes a second, then it is remembered: no answer took much longer, and nearly all took much less."""
    latency = ledger.latency()
    assert latency.longest < BOUND + GRACE, str(latency)
    assert latency.p99 < BOUND + GRACE / 2, str(latency)
    assert latency.p50 < BOUND / 2, str(latency)


def assert_counted(tracker: Tracker, database_url: str) -> None:
    """What /metrics shows is what SQL counts in the log, as soon as the server with the active projector shows it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        by_status = dict(connection.execute("SELECT status, count(*) FROM events GROUP BY 1").fetchall())
    wait_until(lambda: shown_by_status(tracker) == by_status, f"the counters to show {by_status}")


def shown_by_status(tracker: Tracker) -> dict[str, int]:
    """``twilio_status_events_total`` by status, over all effects."""
    found = Counter[str]()
    for line in tracker.client.get("/metrics").text.splitlines():
        if line.startswith("twilio_status_events_total{"):
            labels, _, value = line.rpartition(" ")
            found[labels.partition('status="')[2].partition('"')[0]] += int(float(value))
    return {status: count for status, count in found.items() if count}


def _read(connection: psycopg.Connection) -> list[_Stored]:
    return [
        _Stored(position, event_id, token, Saying(*said))
        for position, event_id, token, *said in connection.execute(
            "SELECT position, event_id, idempotency_token, message_sid, status, error_code, raw_dlr_done_date"
            " FROM events ORDER BY position"
        )
    ]


def _assert_states(connection: psycopg.Connection, ledger: Ledger, stored: list[_Stored]) -> None:
    """Computed from what the load remembers of what it sent: the log says only which of it is there."""
    said: dict[str, list[Saying]] = {}
    positions: dict[str, list[int]] = {}
    for row in stored:
        saying = ledger.sent.get(row.token or "", row.saying)
        said.setdefault(saying.message_sid, []).append(saying)
        positions.setdefault(saying.message_sid, []).append(row.position)
    expected = {sid: (*outcome(sayings), len(sayings), max(positions[sid]), True) for sid, sayings in said.items()}
    rows = connection.execute(
        "SELECT message_sid, message_state.status, message_state.error_code, event_count, last_position,"
        " decided_by IN (SELECT position FROM events WHERE events.message_sid = message_state.message_sid"
        " AND events.status = message_state.status) FROM message_state"
    )
    assert {row[0]: row[1:] for row in rows} == expected
