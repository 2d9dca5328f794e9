"""The derived metrics as Prometheus scrapes them: the rows, whole, and from one server only."""

from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample
from psycopg_pool import AsyncConnectionPool

from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import append_async
from tests.support.projections.counting import log_counts
from tests.support.projections.traffic import CHANNELS, COUNTRIES, traffic
from tests.support.projector import become_active
from tracker.postgres.roles import Role, conninfo
from tracker.twilio.error_codes import all_codes
from tracker.web.telemetry.metrics import Metrics, Pool
from tracker.web.telemetry.shared_counters import WebStats

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections as the web workers have them."""
    service = conninfo(database_url, role=Role.SERVICE, application="tests")
    pool: Pool = AsyncConnectionPool(service, kwargs={"autocommit": True}, min_size=1, max_size=2, open=False)
    async with pool:
        yield pool


def metrics(pool: Pool, tmp_path: Path, instance_id: UUID) -> Metrics:
    """The registry of a worker of that server."""
    return Metrics(WebStats(tmp_path / "stats", workers=1, worker=0), pool, instance_id)


def run(database_url: str, instance_id: UUID) -> None:
    """Take everything in, as that server's projector."""
    info = conninfo(database_url, role=Role.PROJECTOR, application="tests")
    with psycopg.connect(info, autocommit=True) as connection:
        runner = Runner(connection, PROJECTIONS)
        become_active(runner, instance_id)
        while runner.run_once():
            pass


async def scrape(metrics: Metrics) -> dict[str, Metric]:
    """The families in OpenMetrics."""
    content, media_type = await metrics.render(OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text")
    return {family.name: family for family in parse_openmetrics(content.decode())}


def values(
    families: Iterable[Metric], suffixes: tuple[str, ...] = ("_total",)
) -> dict[tuple[str, frozenset[tuple[str, str]]], Decimal]:
    """The values of Twilio's counters that are not zero."""
    return {
        (sample.name, frozenset(sample.labels.items())): Decimal(str(sample.value)).normalize()
        for family in families
        for sample in family.samples
        if family.name.startswith("twilio_") and sample.name.endswith(suffixes) and sample.value
    }


def samples(family: Metric, name: str) -> list[Sample]:
    """Those of one name."""
    return [sample for sample in family.samples if sample.name == name]


async def test_they_equal_a_count_over_the_log(
    database_url: str, connection: psycopg.Connection[Any], pool: Pool, tmp_path: Path
) -> None:
    """In both formats."""
    instance_id = uuid4()
    await append_async(database_url, traffic(1, 300))
    run(database_url, instance_id)
    registry = metrics(pool, tmp_path, instance_id)
    expected = {
        series: value.normalize()
        for series, value in log_counts(connection).items()
        if "delivery_seconds" not in series[0]
    }
    assert expected
    content, media_type = await registry.render("text/plain")
    assert media_type.startswith("text/plain")
    for families in (list((await scrape(registry)).values()), list(parse_text(content.decode()))):
        found = values(families)
        assert {
            series: value for series, value in found.items() if series[0] != "twilio_status_events_total"
        } == expected
        assert sum(value for series, value in found.items() if series[0] == "twilio_status_events_total") == connection.execute(
            "SELECT count(*) FROM events WHERE status NOT IN ('receiving', 'received')"
        ).fetchall()[0][0]  # fmt: skip


async def test_the_histogram_is_cumulative(
    database_url: str, connection: psycopg.Connection[Any], pool: Pool, tmp_path: Path
) -> None:
    """Up to the count of all latencies; the parser checks order and bounds. The promised bounds are there."""
    instance_id = uuid4()
    await append_async(database_url, traffic(2, 300))
    run(database_url, instance_id)
    family = (await scrape(metrics(pool, tmp_path, instance_id)))["twilio_message_delivery_seconds"]
    rows = {series: value for series, value in log_counts(connection).items() if "delivery_seconds" in series[0]}
    for channel in ("sms", "whatsapp", "other"):
        buckets = {
            sample.labels["le"]: sample.value
            for sample in samples(family, "twilio_message_delivery_seconds_bucket")
            if sample.labels["channel"] == channel
        }
        assert {"10.0", "600.0", "7200.0", "+Inf"} <= buckets.keys()
        for le, value in buckets.items():
            below = [row for (_, labels), row in rows.items() if ("channel", channel) in labels and any(
                label == "le" and float(bound) <= float(le) for label, bound in labels
            )]  # fmt: skip
            assert value == sum(below)
        [total] = [
            each for each in samples(family, "twilio_message_delivery_seconds_sum") if each.labels["channel"] == channel
        ]
        assert total.value == pytest.approx(
            float(rows["twilio_message_delivery_seconds_sum", frozenset([("channel", channel)])])
        )
    assert samples(family, "twilio_message_delivery_seconds_created")


class Moment(NamedTuple):
    """An event, by its place in the log and its time in seconds since 1970."""

    position: int
    received_at: float


def failures(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], tuple[Moment, Moment]]:
    """The first and the last event that counts in each series of twilio_messages_failed_total, by channel and country: those that said
    first of a message that it failed."""
    found: dict[tuple[str, str], list[Moment]] = {}
    for channel, to_address, position, received_at in connection.execute(
        "SELECT channel, to_address, position, extract(EPOCH FROM received_at)::float8 FROM ("
        " SELECT DISTINCT ON (account_sid, message_sid) * FROM events WHERE lower(trim(status)) = 'failed'"
        " ORDER BY account_sid, message_sid, position) AS first ORDER BY position"
    ):
        found.setdefault((CHANNELS[channel], COUNTRIES[to_address]), []).append(Moment(position, received_at))
    return {series: (moments[0], moments[-1]) for series, moments in found.items()}


async def test_the_beginning_of_a_series_does_not_move(database_url: str, pool: Pool, tmp_path: Path) -> None:
    """Later events raise the counters and leave every ``_created`` sample as it was, the histogram's too."""
    instance_id = uuid4()
    registry = metrics(pool, tmp_path, instance_id)

    async def beginnings() -> tuple[dict[str, float], dict[str, float]]:
        """Beginnings and values of Twilio's series, by name and labels."""
        found = [
            (f"{sample.name}{sorted(sample.labels.items())}", sample.value)
            for name, family in (await scrape(registry)).items()
            if name.startswith("twilio_")
            for sample in family.samples
        ]
        return (
            {series: value for series, value in found if "_created[" in series},
            {series: value for series, value in found if "_total[" in series or "_count[" in series},
        )

    await append_async(database_url, traffic(6, 200))
    run(database_url, instance_id)
    before, counted = await beginnings()
    await append_async(database_url, traffic(7, 200))
    run(database_url, instance_id)
    after, more = await beginnings()
    assert len(before) > 20
    assert any("delivery_seconds" in series for series in before)
    assert {series: after.get(series) for series in before} == before
    assert sum(more[series] > value for series, value in counted.items()) > 20


async def test_exemplars_lead_to_messages(
    database_url: str, connection: psycopg.Connection[Any], pool: Pool, tmp_path: Path
) -> None:
    """Each carries the position of an event that counts in its series, the last one; and a series knows since when it counts."""
    instance_id = uuid4()
    await append_async(database_url, traffic(3, 200))
    run(database_url, instance_id)
    families = await scrape(metrics(pool, tmp_path, instance_id))
    expected = failures(connection)
    failed = samples(families["twilio_messages_failed"], "twilio_messages_failed_total")
    assert {(sample.labels["channel"], sample.labels["country"]) for sample in failed} == expected.keys()
    created = {
        (sample.labels["channel"], sample.labels["country"]): sample.value
        for sample in samples(families["twilio_messages_failed"], "twilio_messages_failed_created")
    }
    for sample in failed:
        first, last = expected[sample.labels["channel"], sample.labels["country"]]
        assert sample.exemplar is not None
        assert (sample.exemplar.value, int(sample.exemplar.labels["position"])) == (1, last.position)
        assert float(sample.exemplar.timestamp or 0) == pytest.approx(last.received_at, rel=0, abs=0.001)
        assert created[sample.labels["channel"], sample.labels["country"]] == pytest.approx(
            first.received_at, rel=0, abs=0.001
        )
    [(first_fee,)] = connection.execute(
        "SELECT extract(EPOCH FROM received_at)::float8 FROM events WHERE status = 'failed' AND error_code <> '30008' ORDER BY position LIMIT 1"
    ).fetchall()
    [beginning] = samples(families["twilio_failed_message_fees_usd"], "twilio_failed_message_fees_usd_created")
    assert beginning.value == pytest.approx(first_fee, rel=0, abs=0.001)
    assert all(
        len(samples(family, f"{name}_created")) == len(samples(family, f"{name}_total"))
        for name, family in families.items()
        if name.startswith("twilio_messages_") and family.type == "counter"
    )
    buckets = samples(families["twilio_message_delivery_seconds"], "twilio_message_delivery_seconds_bucket")
    assert any(sample.exemplar and "position" in sample.exemplar.labels for sample in buckets)


async def test_only_the_active_server_shows_them(database_url: str, pool: Pool, tmp_path: Path) -> None:
    """From the moment when its runner takes over; the other shows none at all, and its own metrics as ever."""
    first, second = uuid4(), uuid4()
    await append_async(database_url, traffic(4, 50))
    registries = [metrics(pool, tmp_path, first), metrics(pool, tmp_path, second)]
    for active, other, instance_id in ((0, 1, first), (1, 0, second), (0, 1, first)):
        run(database_url, instance_id)
        shown, hidden = await scrape(registries[active]), await scrape(registries[other])
        assert values(shown.values())
        derived = [
            name
            for name in hidden
            if name.startswith("twilio_") or name in {"tracker_error_code_info", "tracker_projection_rebuilds"}
        ]
        assert derived
        assert [hidden[name].samples for name in derived] == [[] for _ in derived]
        assert hidden["tracker_log_position"].samples[0].value > 0
        assert hidden["tracker_collector_success"].samples[0].value == 1


async def test_before_the_first_event(database_url: str, pool: Pool, tmp_path: Path) -> None:
    """What has no labels is zero, every code of the dictionary has its line, and no projection was rebuilt."""
    instance_id = uuid4()
    run(database_url, instance_id)
    families = await scrape(metrics(pool, tmp_path, instance_id))
    assert [sample.value for sample in families["twilio_failed_message_fees_usd"].samples] == [0]
    codes = {sample.labels["error_code"]: sample.labels for sample in families["tracker_error_code_info"].samples}
    assert codes.keys() == {entry.code for entry in all_codes()}
    assert (codes["30003"]["fault"], codes["30003"]["label"]) == ("recipient", "phone off or out of reach")
    rebuilds = {sample.labels["projection"]: sample.value for sample in families["tracker_projection_rebuilds"].samples}
    assert rebuilds == dict.fromkeys((projection.name for projection in PROJECTIONS), 0)


async def test_rows_of_another_program_do_no_harm(
    database_url: str, connection: psycopg.Connection[Any], pool: Pool, tmp_path: Path
) -> None:
    """A metric that this program does not know is left out; one with other labels cannot fail the scrape."""
    instance_id = uuid4()
    run(database_url, instance_id)
    for metric, labels in (
        ("twilio_messages_sent_total", '{"colour": "blue"}'),
        ("twilio_message_delivery_seconds", "{}"),
        ("twilio_message_delivery_seconds_sum", '{"x": "y"}'),
        ("no_such_metric_total", "{}"),
    ):
        connection.execute("INSERT INTO metric_counters VALUES (%s, %s, 1, now(), 1, 1, now())", [metric, labels])
    families = await scrape(metrics(pool, tmp_path, instance_id))
    assert "no_such_metric" not in families
    assert families["twilio_messages_sent"].samples[0].labels == {"channel": "", "country": ""}


async def test_without_a_database_the_scrape_is_answered(database_url: str, pool: Pool, tmp_path: Path) -> None:
    """With what the process knows itself; what was shown before is not shown again as if it were true."""
    instance_id = uuid4()
    await append_async(database_url, traffic(5, 20))
    run(database_url, instance_id)
    registry = metrics(pool, tmp_path, instance_id)
    assert values((await scrape(registry)).values())
    await pool.close()
    families = await scrape(registry)
    assert families["tracker_collector_success"].samples[0].value == 0
    assert families["tracker_collector_seconds"].samples[0].value >= 0
    assert values(families.values()) == {}
    assert "tracker_callbacks" in families
