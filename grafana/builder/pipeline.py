"""Pipeline: are callbacks coming, taken, stored and followed? The health of the tracker itself."""

from grafana.builder.dashboard import Dashboard, Row, postgresql, prometheus, tracker_url
from grafana.builder.fields import COUNT, GREEN, RED, YELLOW, Column, Series
from grafana.builder.firing import firing_alerts
from grafana.builder.measures import CALLBACKS_PER_MINUTE, EVENTS_PER_MINUTE, RANGE, RATE, per_minute, quantile
from grafana.builder.panels import Panel, chart, heatmap, stat, table
from grafana.builder.queries import prom

CALLBACKS = "tracker_callbacks_total"
CALLBACK_SECONDS = "tracker_callback_seconds"
BATCH = "tracker_append_batch_events"
RESULT_COLOURS = {
    "appended": GREEN,
    "spooled": YELLOW,
    "quarantined": "blue",
    "repeated": "light-blue",
    "bad_signature": "orange",
    "no_signature": "light-orange",
    "unknown_host": "dark-orange",
    "too_large": "light-purple",
    "too_many_parameters": "semi-dark-purple",
    "bad_media_type": "purple",
    "unavailable": RED,
}


def dashboard() -> Dashboard:
    """The dashboard as a whole."""
    return Dashboard(
        uid="tracker-pipeline",
        title="Pipeline",
        description="Whether callbacks come, are taken in time, stored, and followed by the projections.",
        variables=[prometheus(), postgresql(), tracker_url()],
        rows=[
            Row("Now", now()),
            Row("Alerts", [firing_alerts()]),
            Row("Callbacks", callbacks()),
            Row("Surroundings", surroundings()),
            Row("Log and spool", log_and_spool()),
            Row("Projections", projections()),
        ],
    )


def now() -> list[Panel]:
    """The answer: eight figures, all of which are green when nothing is wrong."""
    refused = f'{CALLBACKS}{{result="bad_signature"}}'
    return [
        stat(
            "Trackers up",
            "Processes of the tracker that answer Prometheus. None: callbacks are being lost.",
            [prom('sum(up{job="tracker"}) or vector(0)', instant=True)],
            unit=COUNT,
            width=2,
            base=RED,
            steps=[(1, GREEN)],
        ),
        stat(
            "Lost callbacks",
            "Callbacks of the time range that were answered 503, because neither database nor spool could take them. "
            "Twilio does not repeat them by default.",
            [prom(f'sum(increase({CALLBACKS}{{result="unavailable"}}[{RANGE}])) or vector(0)', instant=True)],
            unit=COUNT,
            width=3,
            base=GREEN,
            steps=[(1, RED)],
        ),
        stat(
            "Wrong signatures",
            "Requests of the time range whose signature no auth token in force verifies.",
            [prom(f"sum(increase({refused}[{RANGE}])) or vector(0)", instant=True)],
            unit=COUNT,
            width=3,
            base=GREEN,
            steps=[(20, YELLOW)],
        ),
        stat(
            "Callbacks",
            "Requests to the webhook in the last five minutes, whatever became of them.",
            [prom(f"60 * sum(rate({CALLBACKS}[{RANGE}]))", instant=True)],
            unit=CALLBACKS_PER_MINUTE,
            decimals=1,
            width=4,
            time_from="5m",
        ),
        stat(
            "In the spool",
            "Events that wait on the local disk for the database. Above zero the database is not taking them.",
            [prom("sum(tracker_spool_events)", instant=True)],
            unit=COUNT,
            width=3,
            base=GREEN,
            steps=[(1, YELLOW)],
        ),
        stat(
            "Greatest lag",
            "How far the projection that is furthest behind is behind the log.",
            [prom("max(tracker_projection_lag_seconds)", instant=True)],
            unit="s",
            width=3,
            base=GREEN,
            steps=[(5, YELLOW), (60, RED)],
        ),
        stat(
            "Stopped",
            "Projections that an event has stopped. /readyz and 'tracker project --status' say which event and why.",
            [prom("sum(max by (projection) (tracker_projection_stopped))", instant=True)],
            unit=COUNT,
            width=3,
            base=GREEN,
            steps=[(1, RED)],
        ),
        stat(
            "Version",
            "The version that runs; two, while a deploy is under way.",
            [prom("max by (version) (tracker_build_info)", "{{version}}", instant=True)],
            unit="none",
            width=3,
            names=True,
        ),
    ]


def callbacks() -> list[Panel]:
    """What Twilio asks, and how it is answered."""
    return [
        chart(
            "Callbacks by result",
            "What became of each request: appended and spooled are kept, quarantined is kept aside, repeated was "
            "kept often enough before, the others are refused; unavailable is lost.",
            [prom(per_minute(CALLBACKS, "result"), "{{result}}")],
            unit=CALLBACKS_PER_MINUTE,
            width=8,
            stacked=True,
            series=[Series(result, colour) for result, colour in RESULT_COLOURS.items()],
        ),
        chart(
            "Time to answer",
            "From the first byte of a callback to our answer. Dashed: 15 seconds, after which Twilio gives up "
            "(https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides).",
            [
                prom(quantile(0.5, CALLBACK_SECONDS, RATE), "50%"),
                prom(quantile(0.95, CALLBACK_SECONDS, RATE), "95%"),
                prom(quantile(0.99, CALLBACK_SECONDS, RATE), "99%"),
            ],
            unit="s",
            width=8,
            legend="table",
            logarithmic=True,
            limits=[(15, RED)],
        ),
        heatmap(
            "Time to answer, spread",
            "How many callbacks were answered in which time. A second band: waiting for the database.",
            [prom(f"sum by (le) (increase({CALLBACK_SECONDS}_bucket[{RATE}]))", "{{le}}", heatmap=True)],
            unit="s",
            width=8,
        ),
    ]


def surroundings() -> list[Panel]:
    """What the tracker needs from others: a database, a disk, right settings."""
    return [
        stat(
            "Database",
            "Whether the database answers every tracker. Away: callbacks are kept on the local disk.",
            [prom("min(tracker_database_up)", instant=True)],
            unit="bool_yes_no",
            width=4,
            base=RED,
            steps=[(1, GREEN)],
        ),
        stat(
            "Spool full in",
            "Time until the first spool is full at the rate of the last ten minutes. Then callbacks are lost.",
            [prom("all:tracker_spool_left:seconds", instant=True)],
            unit="s",
            width=5,
            base=RED,
            steps=[(3600, YELLOW), (86400, GREEN)],
            no_data="not growing",
        ),
        stat(
            "Refused records",
            "Records on the local disk that the database refuses. They are kept and tried again.",
            [prom("sum(tracker_spool_refused_events)", instant=True)],
            unit=COUNT,
            width=5,
            base=GREEN,
            steps=[(1, YELLOW)],
        ),
        stat(
            "Refused, our accounts",
            "Requests of the time range that name an account of ours and do not verify. Many: an auth token or the "
            "public URL is wrong, and genuine callbacks are lost.",
            [prom(f'sum(increase(tracker_refused_callbacks_total{{account="configured"}}[{RANGE}]))', instant=True)],
            unit=COUNT,
            width=5,
            base=GREEN,
            steps=[(10, RED)],
        ),
        stat(
            "Faults",
            "Faults that the tracker finds in its surroundings, such as a database that does not flush. No fault: all is "
            "well; the alerts above name the chapter for each.",
            [prom("max by (fault) (tracker_fault) == 1", "{{fault}}", instant=True)],
            unit="none",
            width=5,
            base=RED,
            names=True,
            no_data="none",
        ),
    ]


def log_and_spool() -> list[Panel]:
    """Into the log, or to the disk while the database is away."""
    mean = f"sum(rate({BATCH}_sum[{RATE}])) / (sum(rate({BATCH}_count[{RATE}])) > 0)"
    return [
        chart(
            "Events by effect",
            "Events as they entered the log: decided moved a message on, late and duplicate changed nothing, "
            "corrected changed an outcome, unknown has a status that we do not know.",
            [prom(per_minute("twilio_status_events_total", "effect"), "{{effect}}", exemplars=True)],
            unit=EVENTS_PER_MINUTE,
            width=8,
            stacked=True,
            series=[
                Series("decided", GREEN),
                Series("late", "blue"),
                Series("duplicate", "light-blue"),
                Series("corrected", YELLOW),
                Series("unknown", RED),
            ],
        ),
        chart(
            "Batch size",
            "Events per commit: the mean, and what 95% of the commits do not exceed. It grows under load: that is what "
            "keeps the database fast.",
            # Between the bounds of a bucket a quantile is interpolated; a batch has whole events, and one at least.
            [prom(mean, "mean"), prom(f"clamp_min(ceil({quantile(0.95, BATCH, RATE)}), 1)", "95%")],
            unit="suffix: events",
            decimals=0,
            width=8,
            series=[Series("mean", properties=[{"id": "decimals", "value": 1}])],
        ),
        chart(
            "Spool",
            "Bytes on the local disk that wait for the database, and the limit. At the limit callbacks are answered "
            "503 and lost.",
            [prom("sum(tracker_spool_bytes)", "in the spool"), prom("sum(tracker_spool_limit_bytes)", "limit")],
            unit="bytes",
            width=8,
            series=[Series("in the spool", YELLOW), Series("limit", RED, dashed=True)],
        ),
    ]


def projections() -> list[Panel]:
    """Out of the log."""
    by = "max by (projection)"
    return [
        table(
            "Projections",
            "Where each projection stands. Position is the last event that it has taken in.",
            [
                prom(f"{by} (tracker_projection_position)", table=True),
                prom(f"{by} (tracker_projection_lag_events)", table=True),
                prom(f"{by} (tracker_projection_lag_seconds)", table=True),
                prom(f"{by} (tracker_projection_stopped)", table=True),
                prom(f"{by} (tracker_projection_rebuilds_total)", table=True),
            ],
            order=["projection", "Value #A", "Value #B", "Value #C", "Value #D", "Value #E"],
            renames={
                "projection": "Projection",
                "Value #A": "Position",
                "Value #B": "Events behind",
                "Value #C": "Behind",
                "Value #D": "Stopped",
                "Value #E": "Rebuilds",
            },
            columns=[
                Column("Position", unit=COUNT),
                Column("Events behind", unit=COUNT),
                Column("Behind", unit="s", colour=[(5, YELLOW), (60, RED)]),
                Column("Stopped", unit="bool_yes_no", colour=[(1, RED)]),
                Column("Rebuilds", unit=COUNT),
            ],
            sort="Events behind",
            width=12,
        ),
        chart(
            "Lag",
            "How far each projection is behind the log. Dashed: a minute, above which an alert fires after five.",
            [prom(f"{by} (tracker_projection_lag_seconds)", "{{projection}}")],
            unit="s",
            width=12,
            limits=[(60, RED)],
        ),
        chart(
            "Lag in events",
            "How many events of the log each projection has not taken in yet.",
            [prom(f"{by} (tracker_projection_lag_events)", "{{projection}}")],
            unit=COUNT,
            width=8,
        ),
        chart(
            "Positions",
            "The log's last position and that of each projection: parallel lines, or one that stands still.",
            [prom("max(tracker_log_position)", "log"), prom(f"{by} (tracker_projection_position)", "{{projection}}")],
            unit=COUNT,
            width=8,
            minimum=None,
            series=[Series("log", "text", dashed=True)],
        ),
        chart(
            "Reading the counters",
            "Time that /metrics takes to read the counters of the log. No line: no runner is active, and the "
            "delivery alerts are blind.",
            [prom("max(tracker_collector_seconds)", "reading"), prom("1 - max(tracker_collector_success)", "failing")],
            unit="s",
            width=8,
            series=[Series("failing", RED, unit="bool")],
        ),
    ]
