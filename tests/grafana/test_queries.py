"""The SQL of the dashboards, run on a real database as the role that dashboards have."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.grafana.expressions import DEFAULTS, Expression, Values, sql

START = datetime(2026, 3, 10, 12, tzinfo=UTC)
SID = "SM" + "a" * 32
CHOSEN: Values = {
    **DEFAULTS,
    "__timeFrom": START.isoformat(),
    "__timeTo": (START + timedelta(hours=1)).isoformat(),
    "channel": ["sms", "whatsapp"],
    "sid": SID,
    "message_sid": SID,
}

Reader = psycopg.Connection[DictRow]
"""A connection that answers with a dictionary a row."""

COUNTS = """
INSERT INTO delivery_stats (
    minute, channel, country, messaging_service_sid, error_code,
    messages, sent, delivered, undelivered, failed, read, errors, corrected
) VALUES (%s, %s, %s, '', %s, 0, 0, %s, %s, %s, 0, %s, 0)
"""

EVENT = """
INSERT INTO events (
    position, event_id, source, message_sid, status, error_code, channel, to_address, received_at, recorded_at, body
) VALUES (%s, gen_random_uuid(), 'reconciliation', %s, %s, %s, 'sms', '+5511987654321', %s, %s, '')
"""

STATE = """
INSERT INTO message_state (
    account_sid, message_sid, channel, to_address, country, status, is_final, error_code, decided_by, event_count, first_received_at,
    last_received_at, sent_at, delivered_at, last_position, has_conflict, error_codes_seen, error_codes_truncated, effects_seen
) VALUES ('', %s, 'sms', '+5511987654321', 'BR', 'delivered', true, '30003', 3, 3, %s, %s, %s, %s, 3, true, '{30003}', false, 9)
"""


COPY = """
INSERT INTO message_state
SELECT changed.*
FROM message_state AS state
CROSS JOIN LATERAL jsonb_populate_record(state, %s::jsonb) AS changed
WHERE state.message_sid = %s
"""
"""Another message, as the seeded one but for the columns of a JSON object."""


@pytest.fixture
def seeded(connection: psycopg.Connection) -> psycopg.Connection:
    """A superuser's connection to a database with an hour of figures, the same hour a week before, and one message."""
    week = timedelta(days=7)
    rows = [
        (START, "sms", "BR", "", 80, 0, 0, 0),
        (START, "sms", "BR", "30003", 0, 15, 0, 15),
        (START + timedelta(minutes=59), "sms", "BR", "30007", 0, 0, 5, 5),
        (START, "rcs", "BR", "", 1000, 0, 0, 0),
        (START + timedelta(hours=1), "sms", "BR", "30007", 0, 0, 900, 900),
        (START - week, "sms", "BR", "", 95, 0, 0, 0),
        (START - week, "sms", "BR", "30003", 0, 5, 0, 5),
        (START, "sms", "", "", 3, 0, 0, 0),
    ]
    for row in rows:
        connection.execute(COUNTS, row)
    said = [("sent", None, 0), ("undelivered", "30003", 4), ("delivered", None, 9), ("sent", None, 11)]
    for position, (status, code, second) in enumerate(said, start=1):
        at = START + timedelta(seconds=second)
        connection.execute(EVENT, (position, SID, status, code, at, at + timedelta(milliseconds=5)))
    connection.execute("INSERT INTO annotations (happened_at, text) VALUES (%s, 'shop 4.2 deployed')", (START,))
    connection.execute("INSERT INTO annotations (happened_at, text) VALUES (%s, 'of another day')", (START - week,))
    times = [START, START + timedelta(seconds=9), START, START + timedelta(seconds=9)]
    connection.execute(STATE, (SID, *times))
    return connection


@pytest.fixture
def reader(seeded: psycopg.Connection, database_url: str) -> Iterator[Reader]:
    """A connection with the rights of the dashboards and no others."""
    with Reader.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SET ROLE tracker_reader")
        connection.execute("SET default_transaction_read_only = on")
        yield connection


def ask(reader: Reader, panel: str, values: Values = CHOSEN) -> list[DictRow]:
    """What the panel (or variable) would be answered."""
    (one,) = [one for one in sql(values) if f" / {panel}" in one.where]
    return rows(reader, one)


def rows(reader: Reader, one: Expression) -> list[DictRow]:
    """The statement's rows."""
    return reader.execute(one.text.encode()).fetchall()


def test_every_query_runs_with_the_rights_of_the_reader(reader: Reader) -> None:
    """No panel needs a column that the reader may not see, and each finds something where there is something."""
    found = {one.where: len(rows(reader, one)) for one in sql(CHOSEN)}
    assert len(found) > 10
    assert [where for where, count in found.items() if count == 0] == []


def test_every_query_runs_where_nothing_was_chosen_and_nothing_is_there(connection: psycopg.Connection) -> None:
    """A new installation shows empty panels, not errors, even before a channel is known."""
    connection.execute("SET ROLE tracker_reader")
    for one in sql({**CHOSEN, "channel": [], "sid": "", "message_sid": ""}):
        assert connection.execute(one.text.encode()).fetchall() == [], one.where


def test_countries_are_compared_with_the_same_hour_of_the_week_before(
    reader: Reader,
) -> None:
    """Only the chosen channels and the exact range count, on both sides; a country without a past has none."""
    brazil, unknown = ask(reader, "Countries against the week before")
    assert brazil == {
        "Country": "BR",
        "Finished": 100.0,
        "Delivered": 0.8,
        "Week before": 0.95,
        "Change": pytest.approx(-15),
        "Undelivered": 15.0,
        "Failed": 5.0,
    }
    assert (unknown["Country"], unknown["Week before"], unknown["Change"]) == ("unknown", None, None)


def test_errors_of_a_country_add_up(reader: Reader) -> None:
    """Each code with its messages and its share of the country's errors, the most frequent first."""
    assert ask(reader, "Errors by country") == [
        {"Country": "BR", "Code": "30003", "Messages": 15.0, "Share of the country's errors": 0.75},
        {"Country": "BR", "Code": "30007", "Messages": 5.0, "Share of the country's errors": 0.25},
    ]


def test_marks_are_those_of_the_time_range(reader: Reader) -> None:
    """What was noted for a moment in it, by that moment, on every dashboard of curves."""
    for title in ("Delivery", "Errors", "Pipeline"):
        (one,) = [one for one in sql(CHOSEN) if one.where == f"{title} / annotation Notes"]
        assert rows(reader, one) == [{"time": START, "text": "shop 4.2 deployed"}]


def test_messaging_services_are_told_apart(seeded: psycopg.Connection, reader: Reader) -> None:
    """Of the chosen channels and the exact range; messages without a service are one row of their own."""
    seeded.execute(
        COUNTS.replace("'', %s", "'MG" + "b" * 32 + "', %s").encode(), (START, "sms", "US", "30003", 1, 3, 0, 3)
    )
    none, service = ask(reader, "Delivery by messaging service")
    assert none == {
        "Messaging service": "none",
        "Finished": 103.0,
        "Delivered": pytest.approx(83 / 103),
        "Undelivered": 15.0,
        "Failed": 5.0,
        "Sent": 0.0,
    }
    assert service["Messaging service"] == "MG" + "b" * 32
    assert (service["Finished"], service["Delivered"]) == (4.0, 0.25)


def test_senders_are_told_apart(seeded: psycopg.Connection, reader: Reader) -> None:
    """Each with its outcomes, those without one, and its most frequent code; inbound messages and other times are left out."""
    said = [
        ("sent", None, "+14155550199", 0),
        ("delivered", None, "+14155550199", 0),
        ("read", None, "+14155550199", 0),
        ("failed", "30007", "+14155550199", 0),
        ("undelivered", "30003", "+14155550199", 0),
        ("undelivered", "30003", "+14155550199", 0),
        ("undelivered", "30006", "Shop", 0),
        ("received", None, "+5511987654321", 0),
        ("delivered", None, "+14155550199", 2),
    ]
    for number, (status, code, sender, hours) in enumerate(said, start=1):
        at = START + timedelta(hours=hours)
        changes = {
            "message_sid": f"SM{number:032x}",
            "from_address": sender,
            "status": status,
            "error_code": code,
            "first_received_at": at.isoformat(),
        }
        seeded.execute(COPY, (msgspec.json.encode(changes).decode(), SID))
    ours, shop, unknown = ask(reader, "Delivery by sender")
    assert ours == {
        "Sender": "+14155550199",
        "Channel": "sms",
        "Messages": 6.0,
        "Finished": 5.0,
        "Delivered": 0.4,
        "Undelivered": 2.0,
        "Failed": 1.0,
        "Without outcome": 1.0,
        "Code": "30003",
    }
    assert (shop["Sender"], shop["Delivered"], shop["Code"]) == ("Shop", 0.0, "30006")
    assert (unknown["Sender"], unknown["Delivered"]) == ("unknown", 1.0)


def test_the_audit_shows_what_was_said_and_what_decides(reader: Reader) -> None:
    """Events in log order, the deciding one marked, a repetition counted, the delay to the log in seconds."""
    events = ask(reader, "Events")
    assert [(row["Position"], row["Status"], row["Decides"], row["Said before"]) for row in events] == [
        (1, "sent", None, 0),
        (2, "undelivered", None, 0),
        (3, "delivered", "decides", 0),
        (4, "sent", None, 1),
    ]
    assert events[0]["Delay"] == pytest.approx(0.005)


def test_the_audit_says_when_the_state_is_behind_the_log(reader: Reader) -> None:
    """The state holds three of the four events; of addresses only the last four digits are shown."""
    (row,) = ask(reader, "State")
    assert (row["Events"], row["Not yet projected"], row["Time to deliver"], row["To"]) == (3, 1, 9.0, "…4321")
    first, last = (int(row[name]) / 1000 for name in ("shown_from", "shown_to"))
    assert first < START.timestamp() < START.timestamp() + 9 < last


MANY_MESSAGES: tuple[LiteralString, ...] = (
    """
    INSERT INTO events (position, event_id, source, message_sid, account_sid, status, channel, received_at, body)
    SELECT 100 + n, gen_random_uuid(), 'api', 'SM' || lpad(to_hex(n), 32, '0'), 'AC' || n % 7, 'sent', 'sms', now() + n * interval '1 s', ''
    FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO message_state (
        account_sid, message_sid, channel, status, is_final, decided_by, event_count, first_received_at, last_received_at,
        last_position, has_conflict, error_codes_seen, error_codes_truncated, effects_seen
    )
    SELECT account_sid, message_sid, 'sms', 'sent', FALSE, position, 1, received_at, received_at, position, FALSE, '{}', FALSE, 1
    FROM events WHERE position > 100
    """,
    "ANALYZE events, message_state",
)


@pytest.mark.parametrize("panel", ["State", "Facts", "Events", "What was said", "variable message_sid"])
def test_a_message_is_looked_up_by_keys(seeded: psycopg.Connection, reader: Reader, panel: str) -> None:
    """The audit of one message reads no large table as a whole, and finds the state by account and SID, on every PostgreSQL."""
    for statement in MANY_MESSAGES:
        seeded.execute(statement)
    (one,) = [one for one in sql(CHOSEN) if f"Message audit / {panel}" in one.where]
    row = reader.execute(b"EXPLAIN (FORMAT JSON) " + one.text.encode()).fetchone()
    assert row is not None
    steps = list(plan_steps(row["QUERY PLAN"][0]["Plan"]))
    assert "Seq Scan" not in {step["Node Type"] for step in steps}
    of_states = [step for step in steps if step.get("Relation Name") == "message_state"]
    assert [step["Index Name"] for step in of_states] == ["message_state_pkey"] * len(of_states)
    assert all("account_sid = " in step["Index Cond"] and "message_sid = " in step["Index Cond"] for step in of_states)
    assert bool(of_states) == (panel in {"State", "Facts", "Events"})


def plan_steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The step and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from plan_steps(below)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (SID, SID),
        (f" {SID} ", SID),
        ("3", SID),
        ("5", None),
        ("SM" + "b" * 32, None),
        ("' OR true --", None),
        ("9" * 30, None),
    ],
    ids=["SID", "SID with blanks", "position", "no such position", "no such SID", "injection", "number too large"],
)
def test_a_message_is_found_by_sid_or_position(reader: Reader, typed: str, found: str | None) -> None:
    """What is typed is a SID or a position in the log; anything else finds nothing, and nothing else happens."""
    answer = ask(reader, "variable message_sid", {**CHOSEN, "sid": typed})
    assert [row["message_sid"] for row in answer] == ([] if found is None else [found])
