"""The dashboards and rules, asked of a real Prometheus and a real database after an hour with an outage and a burst of errors.

What the figures must be is known from two sides that know nothing of metrics: the simulator's own account of what it sent,
and counts over the log.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from projections.metric_counters import BUCKETS
from tests.grafana.expressions import DEFAULTS, Expression, Values, promql, sql
from tests.grafana.hour import BURST, CHANNEL_ERRORS, ERRORS, LATENCIES, SAID, Hour, an_hour
from tests.grafana.known_metrics import PENDING
from tests.grafana.prometheus import GRAFANA_URL, SCRAPE_SECONDS
from tests.grafana.promql_names import selectors
from tests.grafana.promtool import promtool
from tests.grafana.shipped import alerts
from tests.support.waiting import wait_until
from tracker.twilio.error_codes import find

EMPTY: Final = {
    "Delivery / Against last week / A": "there was no last week",
    "Delivery / Delivered of finished / B": "there was no last week",
    "Delivery / Budget ends / A": "at this pace it lasts the month",
    "Errors / Top ten codes / B": "there was no last week",
    "rule country:twilio_messages_not_delivered:ratio_increase1d_offset30m": "nothing is half an hour old",
    "runbook: country:twilio_messages_not_delivered:ratio_increase1d_offset30m": "nothing is half an hour old",
    "rule channel:twilio_messages_without_receipt:ratio_increase1d_offset30m": "nothing is half an hour old",
    "runbook: channel:twilio_messages_without_receipt:ratio_increase1d_offset30m": "nothing is half an hour old",
    "rule channel:twilio_messages_not_delivered:ratio_increase1d_offset15m": "nothing is a quarter of an hour old",
    "rule channel:twilio_message_delivery_seconds:median1d_offset15m": "nothing is a quarter of an hour old",
    "runbook: channel:twilio_message_delivery_seconds:median1d_offset15m": "nothing is a quarter of an hour old",
    "rule error_code:twilio_message_errors:ratio_increase1d_offset15m": "nothing is a quarter of an hour old",
    "runbook: error_code:twilio_message_errors:ratio_increase1d_offset15m": "nothing is a quarter of an hour old",
    "runbook: all:tracker_callbacks_taken:increase5m offset 1h": "nothing is an hour old",
    'runbook: sum(increase(twilio_status_events_total{effect="unknown"}[1h]))': "every status was known",
    "rule CallbacksRefused": "genuine callbacks were verified",
    "rule CallbacksStopped": "they had not been coming for hours, and still came a minute ago",
    "rule CallbacksUnavailable": "none was lost",
    "rule CallbacksFromUnknownHost": "all were for this host",
    "rule CallbacksWithTooManyParameters": "none had too many",
    "rule CallbacksAmbiguous": "none was",
    "rule CallbacksQuarantined": "none was",
    "rule UnknownStatusReported": "every status was known",
    "rule SpoolNearLimit": "a gigabyte was free",
    "rule SpoolRefusedRecords": "the database refused none",
    "rule SpoolEventsLost": "no file was damaged",
    "rule SpoolDamaged": "no file was damaged",
    "rule SpoolUnusable": "the disk was there",
    "rule LogHeadMissing": "it was there",
    "rule LogRewound": "it was not",
    "rule CommitsNotDurable": "they were",
    "rule RunnerLockHeld": "the projector had it",
    "rule ErrorCodeRising": "there was no day before",
    "rule SentWithoutReceipt": "nothing is half an hour old",
    "rule DeliverySlow": "nothing is a quarter of an hour old",
    "rule FailedMessageFeeBurn": "a dollar is a thousand failed messages",
    "rule ProjectionLagging": "none was a minute late",
    "rule ProjectionStopped": "no event was poison",
}
"""What has no data after this hour, and why not. All else must have some."""

CHANCE: Final = {
    "rule TrackerAbsent": "Prometheus runs for a moment before its first scrape",
    "rule TrackerDown": "a scrape may take longer than it is given when the database has just frozen",
    "rule ScrapesFailing": "a scrape may take longer than it is given when the database has just frozen",
    "rule DatabaseAway": "it was, for a moment that falls between two scrapes or not",
    "rule CollectorFailing": "the database was away, for a moment that falls between two scrapes or not",
    "rule LoginIsSuperuser": "the embedded database has its own login",
    "Pipeline / Faults / A": "the embedded database has its own login",
    "rule all:tracker_spool_left:seconds": "the spool had grown and was emptied: its slope is either",
    "runbook: all:tracker_spool_left:seconds / 3600": "the spool had grown and was emptied: its slope is either",
    "Pipeline / Spool full in / A": "the spool had grown and was emptied: its slope is either",
    "rule SpoolFullSoon": "a slow disk takes a burst as a slope",
    "rule channel:twilio_messages_sent:increase10m": "two minutes ago is before the first message, or after it",
    "rule channel:twilio_messages_without_receipt:ratio_increase10m": "two minutes ago is before the first message, or after it",
    "runbook: channel:twilio_messages_without_receipt:ratio_increase10m": "two minutes ago is before the first message, or after it",
}
"""What may have data or not."""

ALERTS: Final = {f"rule {alert.name}" for alert in alerts()}

RATE_INTERVAL: Final = f"{5 * SCRAPE_SECONDS}s"


@pytest.fixture(scope="module")
def hour() -> Iterator[Hour]:
    """An hour that has passed."""
    with an_hour() as hour:
        yield hour


def chosen(hour: Hour) -> Values:
    """The dashboards' variables for this hour: a range that has all of it, and one of its failed messages."""
    sid = next(message["message_sid"] for message in hour.messages if message["error_code"])
    return {
        **DEFAULTS,
        "__rate_interval": RATE_INTERVAL,
        "__timeFrom": datetime.fromtimestamp(hour.started_at - 120, UTC).isoformat(),
        "__timeTo": datetime.fromtimestamp(hour.ended_at + 120, UTC).isoformat(),
        "sid": sid,
        "message_sid": sid,
    }


def has_data(hour: Hour, one: Expression) -> bool:
    """Whether Prometheus, which must be able to read it, has a value: at the end, or for curves and alerts at any time."""
    if one.instant and one.where not in ALERTS:
        return bool(hour.prometheus.at(one.text, hour.ended_at))
    # A step more, so that the last one is not before the end.
    return bool(hour.prometheus.over(one.text, hour.started_at, hour.ended_at + SCRAPE_SECONDS))


def panel(hour: Hour, where: str, rate_interval: str = RATE_INTERVAL) -> str:
    """A panel's expression."""
    (found,) = [one.text for one in promql({**chosen(hour), "__rate_interval": rate_interval}) if one.where == where]
    return found


def test_every_expression_has_data(hour: Hour) -> None:
    """Panels, annotations, variables, rules, runbook: Prometheus reads each, and each shows something where there was something."""
    shown = hour.tracker.client.get("/metrics").text
    missing = {name for name in PENDING if f"# TYPE {name} " not in shown}
    asked = [
        one
        for one in promql(chosen(hour))
        if one.where not in CHANCE and not missing & {selector.name for selector in selectors(one.text)}
    ]
    assert len(asked) > 100
    assert {one.where for one in asked if not has_data(hour, one)} == set(EMPTY) & {one.where for one in asked}


def test_every_sql_panel_has_rows(hour: Hour) -> None:
    """All of them, with the rights of the dashboards' role."""
    with psycopg.connect(hour.database_url) as connection:
        connection.execute("SET ROLE tracker_reader")
        connection.execute("SET default_transaction_read_only = on")
        found = {one.where: len(connection.execute(one.text.encode()).fetchall()) for one in sql(chosen(hour))}
    assert len(found) > 10
    assert [where for where, rows in found.items() if rows == 0] == []


def test_the_delivery_rate_is_the_logs(hour: Hour) -> None:
    """The panel's rate and volume are those of the simulator's account and of a count over the log, to the last message."""
    counts = hour.finished
    said = hour.counted(SAID)
    assert counts == {status: said[status] for status in counts}
    assert counts["delivered"] > 400
    assert hour.prometheus.number(panel(hour, "Delivery / Finished / A"), hour.ended_at) == pytest.approx(
        counts.total(), abs=1e-6
    )
    rate = hour.prometheus.number(panel(hour, "Delivery / Delivered / A"), hour.ended_at)
    assert rate == pytest.approx(counts["delivered"] / counts.total(), abs=1e-9)
    totals = hour.prometheus.by_label(
        "sum by (status) (channel_country_status:twilio_messages:max)", "status", hour.ended_at
    )
    assert {status: totals[status] for status in counts} == counts


def test_error_codes_are_the_logs(hour: Hour) -> None:
    """Each code's messages, in the panel and as a counter, are those of the simulator's account and of a count over the log."""
    assert hour.errors == hour.counted(ERRORS)
    increases = hour.prometheus.by_label(
        "increase(error_code:twilio_message_errors:sum[1h]) > 0", "error_code", hour.ended_at
    )
    assert increases == pytest.approx(dict(hour.errors), abs=1e-6)
    counters = hour.prometheus.by_label(
        "sum by (error_code) (twilio_message_errors_total)", "error_code", hour.ended_at
    )
    assert counters == hour.errors
    by_channel = hour.prometheus.by_label("increase(channel:twilio_message_errors:sum[1h])", "channel", hour.ended_at)
    assert by_channel == pytest.approx(hour.counted(CHANNEL_ERRORS), abs=1e-6)
    total = hour.prometheus.number(panel(hour, "Errors / Messages with an error / A"), hour.ended_at)
    assert total == pytest.approx(hour.errors.total(), abs=1e-6)


def test_the_burst_is_on_the_dashboard(hour: Hour) -> None:
    """The most frequent code is the burst's, with its label, its exact number, and a curve that has all of it, though the code was
    never seen before."""
    dictionary = find(BURST)
    assert dictionary is not None
    number = hour.counted(ERRORS)[BURST]
    assert number > 300
    top = {
        one.labels["error_code"]: one
        for one in hour.prometheus.at(panel(hour, "Errors / Top ten codes / A"), hour.ended_at)
    }
    assert max(top.values(), key=lambda one: one.value).labels["error_code"] == BURST
    assert top[BURST].value == pytest.approx(number, abs=1e-6)
    assert top[BURST].labels["label"] == dictionary.label
    (frequent,) = hour.prometheus.at(panel(hour, "Errors / Most frequent / A"), hour.ended_at)
    assert (frequent.labels["error_code"], frequent.labels["label"]) == (BURST, dictionary.label)
    curve = hour.prometheus.by_label(
        panel(hour, "Errors / Messages by error code / A", "1m"), "error_code", hour.ended_at
    )
    assert curve[BURST] == pytest.approx(number, abs=1e-6)


def test_the_outage_is_on_the_dashboard(hour: Hour) -> None:
    """Callbacks by result show how many went to the disk; the spool rose and is empty; nothing was lost, and nothing is twice."""
    results = hour.prometheus.by_label("sum by (result) (tracker_callbacks_total)", "result", hour.ended_at)
    assert results["spooled"] > 50
    assert results["unavailable"] == 0
    events = hour.counted("SELECT 'events', count(*) FROM events")["events"]
    begun = events - hour.answers("200")
    assert results["appended"] + results["spooled"] == events
    assert 0 < begun <= 6, "the messages that began the series, and nothing else, are in the log beside the simulator's"
    assert results["bad_signature"] + results["no_signature"] == hour.answers("403")
    curves = hour.prometheus.over(panel(hour, "Pipeline / Callbacks by result / A"), hour.started_at, hour.ended_at)
    peaks = {one.labels["result"]: max(value for _, value in one.samples) for one in curves}
    assert peaks["spooled"] > 0
    (spool,) = hour.prometheus.over("sum(tracker_spool_events)", hour.started_at, hour.ended_at)
    assert max(value for _, value in spool.samples) > 0
    assert spool.value == 0


def test_a_point_on_a_chart_leads_to_a_message(hour: Hour) -> None:
    """The exemplar of the burst's counter carries the position of an event that said this code."""
    expr = f'twilio_message_errors_total{{error_code="{BURST}"}}'
    exemplars = hour.prometheus.exemplars(expr, hour.started_at, hour.ended_at)
    positions = {int(exemplar["labels"]["position"]) for exemplar in exemplars}
    assert positions
    with psycopg.connect(hour.database_url) as connection:
        said = connection.execute(
            b"SELECT DISTINCT error_code FROM events WHERE position = ANY(%s)", [list(positions)]
        ).fetchall()
    assert said == [(BURST,)]


def test_alerts_fire_and_say_what_it_is(hour: Hour) -> None:
    """The low delivery rate, of all and of the burst's channel, and the wrong signatures fire, each with its sentence filled in and its
    links absolute; on the first day no code is said to rise; nothing else fires but what follows from the burst."""
    expected = {"DeliveryRateFastBurn", "ChannelFailing", "BadSignatureBurst", "Watchdog"}
    follow = {"CountryUndeliveredShareHigh", "DeliveryRateSlowBurn"}
    by_chance = {where.removeprefix("rule ") for where in CHANCE if where.startswith("rule ")}
    wait_until(lambda: expected <= {name for name, _ in hour.prometheus.firing()}, "the alerts to fire")
    firing = {name: annotations for (name, _), annotations in hour.prometheus.firing().items()}
    assert firing.keys() - expected - follow - by_chance == set()
    assert re.search(r"^\d+ requests", firing["BadSignatureBurst"]["description"])
    assert re.search(r"goes \d+\.\d times faster", firing["DeliveryRateFastBurn"]["description"])
    assert firing["ChannelFailing"]["summary"] == "Messages by sms are not being delivered"
    for name, annotations in firing.items():
        assert annotations["runbook_url"] == f"{GRAFANA_URL}/public/tracker/runbook.html#{name.lower()}"
        assert annotations["dashboard"].startswith(f"{GRAFANA_URL}/d/tracker-")


@pytest.mark.parametrize(
    ("where", "quantile"),
    [
        ("Delivery / Median time to deliver / A", 0.5),
        ("Delivery / 95% within / A", 0.95),
        ("Delivery / Time to deliver / A", 0.5),
        ("Delivery / Time to deliver / B", 0.95),
        ("Delivery / Time to deliver / C", 0.99),
    ],
)
def test_quantiles_are_the_logs(hour: Hour, where: str, quantile: float) -> None:
    """Each panel's quantile, taken over everything that was ever delivered, is that of the latencies in the log."""
    with psycopg.connect(hour.database_url) as connection:
        rows = connection.execute(LATENCIES.encode()).fetchall()
    latencies = sorted(max(0.0, float(seconds)) for _, seconds in rows if seconds is not None)
    assert len(latencies) > 400
    over_all = re.sub(r"rate\((\w+\{[^}]*\})\[[^\]]+\]\)", r"\1", panel(hour, where))
    assert "rate(" not in over_all
    shown = hour.prometheus.number(over_all, hour.ended_at)
    assert shown == pytest.approx(interpolated(latencies, quantile), rel=1e-3)


def interpolated(latencies: list[float], quantile: float) -> float:
    """The quantile as Prometheus estimates it from the buckets: linear between the bounds of the one that it falls into."""
    rank, below, lower = quantile * len(latencies), 0, 0.0
    for bound in BUCKETS:
        up_to = bisect_right(latencies, bound)
        if up_to >= rank:
            return lower + (bound - lower) * (rank - below) / (up_to - below)
        below, lower = up_to, float(bound)
    return lower


def test_the_page_of_the_server_shows_both(hour: Hour) -> None:
    """``/``: the burst's code first, with its label and its exact number; how many callbacks were spooled; the delivery rate."""
    text = hour.tracker.client.get("/").text
    dictionary = find(BURST)
    assert dictionary is not None
    number = hour.counted(ERRORS)[BURST]
    first = re.search(
        r">(\d{5})</a></td>\s*<td[^>]*>([\d,]+)</td>\s*<td[^>]*>[\d,]+</td>\s*<td[^>]*>([^<]+)</td>", text
    )
    assert first is not None
    assert first.groups() == (BURST, f"{number:,}", dictionary.label)
    assert re.search(r"spooled [\d,]{2,}", text)
    counts = hour.finished
    assert f"{100 * counts['delivered'] / counts.total():.1f} %" in text
    assert f"delivered of {counts.total():,} finished messages" in text


def test_prometheus_scrapes_without_complaint(hour: Hour) -> None:
    """The targets are up, and the last scrapes had no error."""
    targets = hour.prometheus.ask("targets")["activeTargets"]
    assert {target["labels"]["job"]: (target["health"], target["lastError"]) for target in targets} == {
        "tracker": ("up", ""),
        "prometheus": ("up", ""),
    }


def test_no_rule_failed(hour: Hour) -> None:
    """Prometheus evaluated every rule of every file, and none gave an error."""
    groups = hour.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_the_text_format_has_no_fault(hour: Hour) -> None:
    """``promtool check metrics`` finds nothing to say about names, types, units and help texts."""
    promtool("check", "metrics", given=hour.tracker.client.get("/metrics").text)


def test_openmetrics_has_exemplars_and_beginnings(hour: Hour) -> None:
    """A strict parser reads it; counters of the log carry the position of their last event, and when they began."""
    answer = hour.tracker.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    for name in (
        "twilio_messages_delivered",
        "twilio_message_errors",
        "twilio_status_events",
        "twilio_failed_message_fees_usd",
    ):
        samples = families[name].samples
        created = {tuple(sample.labels.items()): sample.value for sample in samples if sample.name == f"{name}_created"}
        totals = [sample for sample in samples if sample.name == f"{name}_total"]
        assert totals
        for total in totals:
            assert total.exemplar is not None, name
            assert int(total.exemplar.labels["position"]) > 0
            assert hour.started_at - 60 < created[tuple(total.labels.items())] < hour.ended_at
    buckets = [
        sample for sample in families["twilio_message_delivery_seconds"].samples if sample.name.endswith("_bucket")
    ]
    assert any(bucket.exemplar is not None for bucket in buckets)
