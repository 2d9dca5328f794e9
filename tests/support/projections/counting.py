"""Counts over the log, in SQL that knows nothing of projections: what the counters must be."""

from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from projections.metric_counters import BUCKETS
from tests.support.projections.traffic import CHANNELS, CODES, COUNTRIES

Values = dict[tuple[str, frozenset[tuple[str, str]]], Decimal]
"""Value of each series that is not zero, by metric and labels."""

# Each message is of one channel and recipient here, so labels do not depend on the order of events.
_SAID = """
WITH said AS (
    SELECT
        position, (coalesce(account_sid, ''), message_sid) AS message, received_at, lower(trim(status)) AS status, error_code,
        coalesce(%(channels)s::jsonb ->> channel, 'missing') AS channel,
        coalesce(%(countries)s::jsonb ->> coalesce(to_address, ''), 'missing') AS country,
        coalesce(%(codes)s::jsonb ->> error_code, 'missing') AS code
    FROM events
    WHERE status NOT IN ('receiving', 'received')
)
"""

_REACHED = (
    _SAID
    + """
SELECT 'twilio_messages_' || reached || '_total', jsonb_build_object('channel', channel, 'country', country), count(DISTINCT message)
FROM said, unnest(CASE WHEN status = 'read' THEN ARRAY['read', 'delivered'] ELSE ARRAY[status] END) AS reached
WHERE reached IN ('sent', 'delivered', 'undelivered', 'failed', 'read')
GROUP BY 1, 2
"""
)

_ERRORS = (
    _SAID
    + """
SELECT 'twilio_message_errors_total', jsonb_build_object('error_code', code, 'channel', channel), count(DISTINCT (message, error_code))
FROM said WHERE error_code IS NOT NULL
GROUP BY 1, 2
"""
)

_FEES = """
SELECT 'twilio_failed_message_fees_usd_total', '{}'::jsonb, 0.001 * count(*)
FROM (SELECT DISTINCT ON (account_sid, message_sid) error_code FROM events WHERE status = 'failed' ORDER BY account_sid, message_sid, position) AS first
WHERE error_code IS DISTINCT FROM '30008'
HAVING count(*) > 0
"""

# The pair is complete at the later of the two first positions; what was said until then counts.
_LATENCIES = (
    _SAID
    + """
, complete AS (
    SELECT message, greatest(min(position) FILTER (WHERE status = 'sent'), min(position) FILTER (WHERE status = 'delivered')) AS position
    FROM said GROUP BY message
    HAVING bool_or(status = 'sent') AND bool_or(status = 'delivered')
),
latencies AS (
    SELECT
        said.channel,
        greatest(extract(EPOCH FROM
            min(said.received_at) FILTER (WHERE status = 'delivered') - min(said.received_at) FILTER (WHERE status = 'sent')
        ), 0) AS seconds
    FROM said INNER JOIN complete USING (message)
    WHERE said.position <= complete.position
    GROUP BY said.message, said.channel
),
placed AS (
    SELECT channel, seconds, (SELECT min(bound) FROM unnest(%(bounds)s::numeric []) AS bound WHERE seconds <= bound) AS bound
    FROM latencies
)
SELECT
    'twilio_message_delivery_seconds',
    jsonb_build_object('channel', channel, 'le', CASE WHEN bound IS NULL THEN '+Inf' WHEN bound = 2.5 THEN '2.5' ELSE bound::bigint || '.0' END),
    count(*)
FROM placed GROUP BY 1, 2
UNION ALL
SELECT 'twilio_message_delivery_seconds_sum', jsonb_build_object('channel', channel), sum(seconds) FROM placed GROUP BY 1, 2
"""
)

_PARAMETERS: dict[str, Any] = {
    "channels": Jsonb(CHANNELS),
    "countries": Jsonb({address or "": country for address, country in COUNTRIES.items()}),
    "codes": Jsonb(CODES),
    "bounds": [Decimal(str(bound)) for bound in BUCKETS],
}


def log_counts(connection: psycopg.Connection[Any]) -> Values:
    """What the log says, but for the events by effect and the open messages."""
    rows = [
        row
        for statement in (_REACHED, _ERRORS, _FEES, _LATENCIES)
        for row in connection.execute(statement, _PARAMETERS)
    ]
    return {(metric, frozenset(labels.items())): Decimal(value) for metric, labels, value in rows if value}


def counters(connection: psycopg.Connection[Any]) -> Values:
    """What the projection says, of the same metrics."""
    rows = connection.execute(
        "SELECT metric, labels, value FROM metric_counters"
        " WHERE value <> 0 AND metric NOT IN ('twilio_status_events_total', 'twilio_messages_open')"
    )
    return {(metric, frozenset(labels.items())): value for metric, labels, value in rows}


def assert_exact(connection: psycopg.Connection[Any]) -> None:
    """The counters, the gauge and the statistics equal the log and the states of the messages."""
    assert counters(connection) == log_counts(connection)
    by_status = "SELECT labels ->> 'status', sum(value) FROM metric_counters WHERE metric = %s GROUP BY 1 HAVING sum(value) <> 0"
    known = "CASE WHEN status = 'teleported' THEN 'other' ELSE status END"
    assert dict(connection.execute(by_status, ["twilio_status_events_total"]).fetchall()) == dict(
        connection.execute(
            f"SELECT {known}, count(*) FROM events WHERE status NOT IN ('receiving', 'received') GROUP BY 1"
        ).fetchall()
    )
    assert dict(connection.execute(by_status, ["twilio_messages_open"]).fetchall()) == dict(
        connection.execute(
            f"SELECT {known}, count(*) FROM message_state WHERE NOT is_final AND status <> 'receiving' GROUP BY 1"
        ).fetchall()
    )
    for name in ("sent", "delivered", "undelivered", "failed", "read"):
        query = "SELECT (SELECT coalesce(sum(value), 0) FROM metric_counters WHERE metric = %s), (SELECT coalesce(sum({}), 0) FROM delivery_stats)"
        counted, kept = connection.execute(query.format(name), [f"twilio_messages_{name}_total"]).fetchone() or (
            None,
            0,
        )
        assert counted == kept, name
