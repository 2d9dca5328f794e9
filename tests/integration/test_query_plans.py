"""Hot queries cost the same however large the log is: they walk an index, no further than they must.

A new query of a request or of the projector gets a line in ``CASES``.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, LiteralString, NamedTuple

import psycopg
import pytest
from psycopg import sql

from tests.support.events import message_sid, new_events
from tests.support.projections.histories import NOON
from tracker.log.event_store import event_columns
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.sql_files import query

MESSAGES = 20_000

SEED: tuple[LiteralString, ...] = (
    # Two events a message, in the disorder of a busy day; one message in fifty fails, one in two hundred is of another account.
    """
    INSERT INTO events (
        position, event_id, source, account_sid, message_sid, status, error_code, channel, from_address, to_address, received_at, body
    )
    SELECT
        n, gen_random_uuid(), 'api', 'AC' || CASE WHEN m % 200 = 0 THEN 'sub' ELSE 'main' END, 'SM' || lpad(to_hex(m), 32, '0'),
        CASE WHEN n <= 20000 THEN 'sent' WHEN m % 50 = 0 THEN 'failed' ELSE 'delivered' END,
        CASE WHEN n > 20000 AND m % 50 = 0 THEN '30003' END, 'sms',
        '+1501712' || m % 40, '+1415523' || m % 5000, '2026-11-23 12:00Z'::timestamptz + n * interval '1 s',
        convert_to(repeat('MessageStatus=sent&', 20), 'UTF8')
    FROM (SELECT n, (n * 7919 + n / 20001) % 20000 AS m FROM generate_series(1, 40000) AS n) AS numbered
    """,
    "UPDATE log_head SET position = 40000",
    """
    INSERT INTO message_state (
        message_sid, account_sid, channel, from_address, to_address, status, is_final, error_code, decided_by, event_count,
        first_received_at, last_received_at, last_position, has_conflict, error_codes_seen, error_codes_truncated, effects_seen
    )
    SELECT DISTINCT ON (message_sid)
        message_sid, account_sid, channel, from_address, to_address, status, TRUE, error_code, position, 2, received_at, received_at,
        position, FALSE, array_remove(ARRAY[error_code], NULL), FALSE, 1
    FROM events ORDER BY message_sid, position DESC
    """,
    # One message in four hundred is what a filter looks for; of each effect there are others.
    """
    UPDATE message_state SET
        channel = 'rcs', country = 'TV', messaging_service_sid = 'MGrare', has_conflict = TRUE, error_codes_seen = '{30007}',
        effects_seen = 1 | CASE last_position / 400 % 4 WHEN 0 THEN 2 WHEN 1 THEN 4 WHEN 2 THEN 8 ELSE 16 END
    WHERE last_position % 400 = 3
    """,
    """
    INSERT INTO quarantined_callbacks (quarantine_id, reason, received_at, url, body, signature, key_id)
    SELECT
        gen_random_uuid(), CASE WHEN n % 400 = 3 THEN 'invalid_status' ELSE 'no_message_sid' END,
        '2026-11-23 12:00Z'::timestamptz + n * interval '1 s', 'https://h/p', 'CallSid=CA1', 's', 'k'
    FROM generate_series(1, 20000) AS n
    """,
    "INSERT INTO projections (name, version, position) VALUES ('message_state', 2, 39000)",
    """
    INSERT INTO delivery_stats
    SELECT
        '2026-11-01 00:00Z'::timestamptz + n / 4 * interval '1 min', (ARRAY['sms', 'mms', 'rcs', 'whatsapp'])[1 + n % 4], 'US', '',
        CASE WHEN n % 4 = 0 THEN '30003' ELSE '' END, 9, 8, 7, 1, 0, 0, 1, 0
    FROM generate_series(0, 79999) AS n
    """,
    """
    INSERT INTO delivery_latency
    SELECT '2026-11-01 00:00Z'::timestamptz + n / 4 * interval '1 min', 'sms', 'US', '', n % 4, 3 FROM generate_series(0, 79999) AS n
    """,
    "ANALYZE events, message_state, quarantined_callbacks, quarantine_acceptances, projections, delivery_stats, delivery_latency",
)

FILTERS = (
    "status",
    "error_code",
    "account_sid",
    "to_address",
    "from_address",
    "since",
    "until",
    "before",
    "before_sid",
    "before_account",
    "channel",
    "country",
    "messaging_service_sid",
    "had_error_code",
    "has_conflict",
    "effect",
    "other_than",
)

LAST_HOUR = {"since": "2026-11-14 20:00Z"}


class Case(NamedTuple):
    """A statement as it is asked in production."""

    name: str
    parameters: Mapping[str, object]
    walked: str
    """The index."""
    generic: bool = True
    """Whether the plan without the values is good too. Where it is not, PostgreSQL itself prefers to plan with them."""
    in_order: bool = True
    """Whether the index gives the rows in the order that is wanted."""


def list_of(walked: str, *, in_order: bool = True, **filters: object) -> Case:
    """A page of the list of messages with these filters. It is never prepared."""
    parameters = dict.fromkeys(FILTERS) | {"limit": 50} | filters
    return Case("list_messages", parameters, walked, generic=False, in_order=in_order)


def quarantine_of(walked: str, **filters: object) -> Case:
    """A page of the quarantine with these filters. It is never prepared."""
    names = ("reason", "since", "until", "accepted", "before", "before_id")
    parameters = dict.fromkeys(names) | {"limit": 50, "max_body": 4096} | filters
    return Case("list_quarantined", parameters, walked, generic=False)


def values_of(walked: str, **values: list[str]) -> Case:
    """The values of filters that are looked up before a list."""
    names = ("to_addresses", "from_addresses", "statuses", "channels")
    return Case("find_list_values", {name: values.get(name, []) for name in names}, walked, in_order=False)


def statistics_of(name: str, walked: str, **more: object) -> Case:
    """A question about the last hour."""
    return Case(name, LAST_HOUR | more, walked, generic=False, in_order=False)


def answer_of(name: str, walked: str) -> Case:
    """Statistics of an hour, by steps and groups. Never prepared."""
    hour = {"from": "2026-11-05 12:00Z", "until": "2026-11-05 13:00Z", "step": "5 min", "limit": 10_001}
    groups = {"by_channel": True, "by_country": True, "by_messaging_service_sid": False, "by_error_code": False}
    return Case(name, hour | groups, walked, generic=False, in_order=False)


CASES = {
    "the projector's next batch": Case("read_log", {"after": 39_000, "limit": 500}, "events_pkey"),
    "a rebuild's first batch": Case("read_log", {"after": 0, "limit": 5000}, "events_pkey"),
    "the earlier history of a batch's messages": Case(
        "read_earlier_events",
        {"message_sids": [message_sid(number) for number in range(100)], "until": 39_000},
        "events_message_sid_position_idx",
        in_order=False,
    ),
    "the history of one message": Case(
        "read_message_facts",
        {"message_sid": message_sid(7), "after": 0, "limit": 2000},
        "events_message_sid_position_idx",
        in_order=False,
    ),
    "the evidence of a page of events": Case(
        "read_events", {"positions": list(range(1, 40_000, 200)), "max_bytes": 262_144}, "events_pkey", in_order=False
    ),
    "how far behind the projections are": Case("read_projection_health", {}, "events_pkey", in_order=False),
    "the list": list_of("message_state_newest_idx"),
    "its next page": list_of(
        "message_state_newest_idx", before=NOON + timedelta(hours=5), before_sid=message_sid(7), before_account="ACmain"
    ),
    "the list of an hour": list_of("message_state_newest_idx", since=NOON, until=NOON + timedelta(hours=1)),
    "the list of a rare status": list_of("message_state_status_idx", status="failed"),
    "the list of a status that nothing has": list_of("message_state_status_idx", status="canceled"),
    "the list of an error code": list_of("message_state_error_code_idx", error_code="30003"),
    "the list of a recipient": list_of("message_state_to_address_idx", to_address="+14155237", in_order=False),
    "the list of a sender": list_of("message_state_from_address_idx", from_address="+15017127"),
    "the list of an account that seldom sends": list_of("message_state_account_sid_idx", account_sid="ACsub"),
    "the list of a channel": list_of("message_state_channel_idx", in_order=False, channel="rcs"),
    "the list of a country": list_of("message_state_country_idx", in_order=False, country="TV"),
    "the list of a service": list_of(
        "message_state_messaging_service_idx", in_order=False, messaging_service_sid="MGrare"
    ),
    "the list of a code that was ever reported": list_of(
        "message_state_error_codes_seen_idx", in_order=False, had_error_code="30007"
    ),
    "the list of conflicts": list_of("message_state_has_conflict_idx", in_order=False, has_conflict=True),
    "the list of late ones": list_of("message_state_late_idx", effect=2),
    "the list of duplicates": list_of("message_state_duplicate_idx", effect=4),
    "the list of corrected ones": list_of("message_state_corrected_idx", effect=8),
    "the list of unknown ones": list_of("message_state_unknown_idx", effect=16),
    "whether a recipient is there": values_of(
        "message_state_to_address_idx", to_addresses=["+14155237", "rcs:+14155237"]
    ),
    "whether a sender is there": values_of("message_state_from_address_idx", from_addresses=["+15017127"]),
    "whether a status is there": values_of("message_state_status_idx", statuses=["teleported"]),
    "whether a channel is there": values_of("message_state_channel_idx", channels=["viber"]),
    "the quarantine": quarantine_of("quarantined_callbacks_newest_idx"),
    "its next page, of those that wait": quarantine_of(
        "quarantined_callbacks_newest_idx",
        accepted=False,
        before=NOON + timedelta(hours=5),
        before_id="00000000-0000-0000-0000-000000000000",
    ),
    "the quarantine of a rare reason": quarantine_of("quarantined_callbacks_reason_idx", reason="invalid_status"),
    "a quarantined callback": Case(
        "read_quarantined", {"quarantine_id": "00000000-0000-0000-0000-000000000000"}, "quarantined_callbacks_pkey"
    ),
    "how many wait": Case("count_quarantined", {"limit": 1000}, "quarantined_callbacks_newest_idx", in_order=False),
    "the newest messages": Case("read_overview_newest", {}, "message_state_newest_idx"),
    "the last hour's errors": statistics_of("read_overview_errors", "delivery_stats_pkey"),
    "the last hour's volumes": statistics_of("read_overview_volumes", "delivery_stats_pkey", step="5 min"),
    "the statistics of some hour": answer_of("read_delivery_stats", "delivery_stats_pkey"),
    "the latencies of some hour": answer_of("read_delivery_latency", "delivery_latency_pkey"),
    "the last hour's latencies": statistics_of("read_overview_latencies", "delivery_latency_pkey"),
}

PLANS = [
    pytest.param(case, mode, id=f"{label}, {mode.removeprefix('force_')}")
    for label, case in CASES.items()
    for mode in ("force_custom_plan", *(["force_generic_plan"] if case.generic else []))
]

SMALL = {"log_head", "projections", "projection_runner", "quarantine_acceptances"}
"""Tables of a handful of rows."""


@pytest.fixture(scope="module")
def seeded(shared_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with twenty thousand messages."""
    with psycopg.connect(shared_database_url, autocommit=True) as connection:
        for statement in SEED:
            connection.execute(statement)
        yield connection


def plan_of(connection: psycopg.Connection[Any], case: Case, mode: str) -> dict[str, Any]:
    """The server's plan for a prepared statement."""
    text = query(case.name).decode()
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sbt]", text)))
    numbered = re.sub(r"%\((\w+)\)[sbt]", lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")
    connection.execute(sql.SQL("SET plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(sql.SQL("PREPARE hot AS {}").format(sql.SQL(numbered)))  # pyright: ignore[reportArgumentType]  # from a file
    try:
        values = sql.SQL(", ").join(sql.Literal(case.parameters[name]) for name in names)
        execute = sql.SQL("EXECUTE hot ({})").format(values) if names else sql.SQL("EXECUTE hot")
        row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(execute)).fetchone()
    finally:
        connection.execute("DEALLOCATE hot")
    assert row is not None
    return row[0][0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's steps."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def walk_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that end with the page: those below the innermost limit, all where there is none. Above it a page is sorted at most."""
    steps = list(nodes(plan))
    limits = [step for step in steps if step["Node Type"] == "Limit"]
    return list(nodes(limits[-1])) if limits else steps


@pytest.mark.parametrize(("case", "mode"), PLANS)
def test_a_hot_query_walks_its_index(seeded: psycopg.Connection[Any], case: Case, mode: str) -> None:
    """The one that its file names, and never all rows of a large table; in the wanted order where there is an end to the walk."""
    plan = plan_of(seeded, case, mode)
    steps = list(nodes(plan))
    assert case.walked in {step.get("Index Name") for step in steps}
    assert {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"} <= SMALL
    if case.in_order:
        assert not {"Sort", "Incremental Sort"} & {step["Node Type"] for step in walk_of(plan)}
    said = query(case.name).decode()
    assert case.walked in said or "the index of a filter" in said


def test_an_append_looks_at_no_event_that_it_does_not_repeat(seeded: psycopg.Connection[Any]) -> None:
    """It finds its events by their identity, whether they are new or there already."""
    register_packed_arrays(seeded)
    events = new_events(300, start=1_000_000)

    def scanned() -> tuple[int, int]:
        seeded.execute("SELECT pg_stat_force_next_flush()")
        row = seeded.execute(
            "SELECT pg_stat_get_numscans('events'::regclass), pg_stat_get_numscans('events_event_id_key'::regclass)"
        ).fetchone()
        assert row is not None
        return row

    before = scanned()
    for _ in range(3):
        seeded.execute(query("append_events"), event_columns(events), prepare=True)
    sequential, by_identity = scanned()
    assert sequential == before[0]
    assert by_identity > before[1]


def test_every_case_names_a_query_once() -> None:
    """Under one label each."""
    assert len({(case.name, str(case.parameters)) for case in CASES.values()}) == len(CASES)
