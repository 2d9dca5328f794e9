"""A rebuild gives the rows that were there, and tells where they differ."""

from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils import uuid7

from projections.delivery_stats import DELIVERY_STATS
from projections.fold.message import Said
from projections.message_state import MESSAGE_STATE
from projections.metric_counters import METRIC_COUNTERS
from projections.rebuild.rebuild import rebuilding
from projections.registry import PROJECTIONS
from tests.support.events import EVIDENCE, append
from tests.support.projections.counting import assert_exact
from tests.support.projections.histories import histories
from tests.support.projections.rebuilding import dump, rebuild, schema
from tests.support.projector import lag, run
from tracker.log.event import NewEvent
from tracker.twilio.callback import Callback


def test_a_rebuild_gives_what_was_there(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Row for row; the comparison says so, and it was a comparison of tables that stood at the same position."""
    before, log = dump(connection), schema(projected)
    results = rebuild(as_owner)
    assert [(result.projection, result.rows, result.position == result.live_position) for result in results] == [
        ("message_state", 0, True), ("metric_counters", 0, True), ("delivery_stats", 0, True),
    ]  # fmt: skip
    assert dump(connection) == before
    assert all(before.values())
    assert schema(projected) == log


def test_the_new_tables_are_new(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """They were switched, not left alone; and the count of rebuilds says so."""
    tables = "SELECT array_agg(oid ORDER BY relname) FROM pg_class WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace"
    names = [[table for projection in PROJECTIONS for table in projection.tables]]
    before = connection.execute(tables, names).fetchone()
    rebuild(as_owner, [METRIC_COUNTERS, MESSAGE_STATE, DELIVERY_STATS])
    after = connection.execute(tables, names).fetchone()
    assert before is not None
    assert after is not None
    assert not set(before[0]) & set(after[0])
    assert connection.execute("SELECT name, rebuilds FROM projections WHERE rebuilt_at IS NOT NULL ORDER BY 1").fetchall() == [
        ("delivery_stats", 1), ("message_state", 1), ("metric_counters", 1),
    ]  # fmt: skip
    assert connection.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace AND relkind = 'r'"
    ).fetchone() == (1,)


def test_one_projection_alone(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """The others are not looked at."""
    rebuild(as_owner, [DELIVERY_STATS])
    assert connection.execute("SELECT name FROM projections WHERE rebuilds > 0").fetchall() == [("delivery_stats",)]
    assert_exact(connection)


@pytest.mark.parametrize(("batch_events", "max_messages"), [(1, 2), (7, 3), (1000, 1), (10_000, 10_000)])
def test_memory_makes_no_difference(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, batch_events: int, max_messages: int
) -> None:
    """Messages that were forgotten are read again from the log; those that were never seen are not."""
    results = rebuild(as_owner, batch_events=batch_events, max_messages=max_messages)
    assert [result.rows for result in results] == [0, 0, 0]
    assert_exact(connection)


def new_event(said: Said, example: int) -> NewEvent:
    """An event of a built history, of a message of its own in each example."""
    callback = Callback(
        said.account_sid,
        f"SM{example:016x}{said.message_sid[-16:]}",
        said.status,
        said.error_code or None,
        said.raw_dlr_done_date or None,
        said.channel,
        said.from_address,
        said.to_address,
        said.messaging_service_sid,
    )
    return NewEvent(uuid7().bytes, round(said.received_at.timestamp() * 1_000_000), callback, EVIDENCE)


def test_a_rebuild_equals_the_live_projections_for_any_history(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """Addresses, channels and services that change, statuses that nobody knows, codes that are none: the log grows by a history an
    example, which the live projections take in in one batch and the rebuild in many."""
    numbers = count(1)

    @settings(max_examples=25)
    @given(histories(min_size=4, max_size=25, messages=5), st.integers(1, 30))
    def check(history: list[Said], batch_events: int) -> None:
        example = next(numbers)
        append(database_url, [new_event(said, example) for said in history])
        run(as_projector)
        results = rebuild(as_owner, batch_events=batch_events, max_messages=batch_events)
        assert [result.rows for result in results] == [0, 0, 0]

    check()
    assert lag(connection) == 0


def test_differences_are_found(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """Rows that were changed, taken away and made up, with the columns that differ; then they are gone."""
    before = dump(connection)
    keys = connection.execute("SELECT account_sid, message_sid FROM message_state ORDER BY 1, 2 LIMIT 40").fetchall()

    def each(chosen: list[Any]) -> list[Any]:
        return [[account_sid for account_sid, _ in chosen], [message_sid for _, message_sid in chosen]]

    these = b"(account_sid, message_sid) IN (SELECT * FROM unnest(%s::text [], %s::text []))"
    connection.execute(b"UPDATE message_state SET status = 'lost' WHERE " + these, each(keys[:20]))
    connection.execute(b"UPDATE message_state SET country = 'XX' WHERE " + these, each(keys[:1]))
    connection.execute(b"DELETE FROM message_state WHERE " + these, each(keys[30:32]))
    connection.execute(
        b'INSERT INTO message_state SELECT (jsonb_populate_record(state, \'{"message_sid": "SM!"}\')).*'
        b" FROM message_state AS state WHERE " + these,
        each(keys[35:36]),
    )
    [result] = rebuild(as_owner, [MESSAGE_STATE])
    [table] = result.tables
    assert (table.table, table.missing, table.added, table.different) == ("message_state", 1, 2, 20)
    assert table.columns == {"status": 20, "country": 1}
    assert table.kinds == {"country, status": 1, "missing": 1, "added": 2, "status": 19}
    assert [tuple(example.key.values()) for example in table.examples] == [
        keys[0], (keys[35][0], "SM!"), *keys[30:32], *keys[1:4],
    ]  # fmt: skip
    assert table.examples[-1].old == {"status": "lost"}
    assert (table.examples[-1].new or {}).keys() == {"status"}
    assert (table.examples[0].old or {}).keys() == {"status", "country"}
    assert dump(connection) == before


def test_a_check_changes_nothing(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """It compares, and leaves neither the new tables nor the old ones changed."""
    connection.execute("UPDATE metric_counters SET value = value + 1 WHERE metric = 'twilio_messages_sent_total'")
    tampered = dump(connection)
    with rebuilding(as_owner, [METRIC_COUNTERS], lambda *_: None) as work:
        work.begin()
        work.fill()
        [table] = work.compare(METRIC_COUNTERS).tables
        work.discard()
    assert table.columns == {"value": table.different}
    assert table.different > 0
    assert dump(connection) == tampered
    assert connection.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace AND relkind = 'r'"
    ).fetchone() == (1,)
