"""Delivery: whether messages arrive, as promised, as last week, in which country and how fast."""

from grafana.builder.dashboard import Dashboard, Row, label_values, postgresql, prometheus, tracker_url
from grafana.builder.fields import (
    COUNT,
    ERROR_PAGE,
    ERRORS,
    GREEN,
    NEUTRAL,
    RED,
    STATUS_COLOURS,
    YELLOW,
    Column,
    Series,
    Steps,
)
from grafana.builder.firing import firing_alerts
from grafana.builder.measures import (
    CHOSEN,
    FINISHED,
    FIRING,
    MESSAGES,
    PER_MINUTE,
    RANGE,
    RATE,
    delivered_share,
    messages,
    per_minute,
    quantile,
)
from grafana.builder.panels import Panel, chart, heatmap, stat, table
from grafana.builder.queries import prom, sql

OBJECTIVE = "all:twilio_delivery_objective:ratio"
SECONDS = "twilio_message_delivery_seconds"
CHANNEL = '{channel=~"$channel"}'
SHARE_COLOURS: Steps = ((0.90, YELLOW), (0.95, GREEN))
LATENCY_COLOURS: Steps = ((10, YELLOW), (600, RED))


def dashboard() -> Dashboard:
    """The dashboard as a whole."""
    return Dashboard(
        uid="tracker-delivery",
        title="Delivery",
        description="Whether messages arrive: delivery rate against objective and last week, volume, countries, time.",
        variables=[
            prometheus(),
            postgresql(),
            label_values("channel", "Channel", MESSAGES),
            label_values("country", "Country", MESSAGES, all_value=".*"),
            tracker_url(),
        ],
        rows=[
            Row("Now", now()),
            Row("Alerts", [firing_alerts()]),
            Row("Error budget of this month", budget()),
            Row("Delivery rate", rate()),
            Row("Volume", volume()),
            Row("Countries", countries()),
            Row("Senders", senders()),
            Row("Time to deliver", time_to_deliver()),
        ],
    )


def now() -> list[Panel]:
    """The answer: eight figures of the last hour."""
    return [
        stat(
            "Delivered",
            "Of the messages that finished in the last hour (delivered, undelivered or failed), the share that was "
            "delivered. The objective is 95%. No data: nothing finished.",
            [prom(delivered_share(RANGE), instant=True)],
            unit="percentunit",
            decimals=1,
            width=4,
            base=RED,
            steps=SHARE_COLOURS,
            time_from="1h",
            no_data="nothing finished",
        ),
        stat(
            "Budget burn",
            "How many times faster than allowed the error budget was spent in the last hour. 1 keeps the promise "
            "exactly; the alerts are at 2 (over six hours) and 6 (over one).",
            [prom(f"(1 - {delivered_share(RANGE)}) / (1 - {OBJECTIVE})", instant=True)],
            unit="suffix:×",
            decimals=1,
            width=3,
            base=GREEN,
            steps=[(1, YELLOW), (6, RED)],
            time_from="1h",
            no_data="nothing finished",
        ),
        stat(
            "Against last week",
            "The delivered share of the last hour less that of the same hour a week ago, in percentage points.",
            [prom(f"100 * ({delivered_share(RANGE)} - {delivered_share(RANGE, before='1w')})", instant=True)],
            unit="suffix: pp",
            decimals=1,
            width=4,
            base=RED,
            steps=[(-5, YELLOW), (-1, GREEN)],
            time_from="1h",
            no_data="no data a week ago",
        ),
        stat(
            "Finished",
            "Messages that reached an outcome in the last hour: how much the shares beside this rest on.",
            [prom(messages(FINISHED, RANGE), instant=True)],
            unit=COUNT,
            width=3,
            time_from="1h",
            no_data="nothing finished",
        ),
        stat(
            "Median time to deliver",
            "From the first 'sent' to the first 'delivered' that reached us, half of the last hour's messages.",
            [prom(quantile(0.5, SECONDS, RANGE, selector=CHANNEL), instant=True)],
            unit="s",
            width=3,
            base=GREEN,
            steps=LATENCY_COLOURS,
            time_from="1h",
            no_data="nothing delivered",
        ),
        stat(
            "95% within",
            "From the first 'sent' to the first 'delivered' that reached us: 19 of 20 messages of the last hour took "
            "no longer.",
            [prom(quantile(0.95, SECONDS, RANGE, selector=CHANNEL), instant=True)],
            unit="s",
            width=3,
            base=GREEN,
            steps=[(600, YELLOW), (7200, RED)],
            time_from="1h",
            no_data="nothing delivered",
        ),
        stat(
            "Open",
            "Messages of all channels without an outcome so far. Some carriers never report, so a part stays open "
            "for ever.",
            [prom("sum(twilio_messages_open)", instant=True)],
            unit=COUNT,
            width=2,
            no_data="no counters",
        ),
        stat(
            "Alerts",
            "Alerts of this product that fire now; the table below names them.",
            [prom(f"count({FIRING}) or vector(0)", instant=True)],
            unit=COUNT,
            width=2,
            base=GREEN,
            steps=[(1, RED)],
        ),
    ]


def budget() -> list[Panel]:
    """How much of the month's error budget is left, and until when.

    The budget is the share of messages that may stay undelivered, of as many as the month will have at its pace so far.
    The time range is the month so far, in the dashboards' zone, UTC.
    """
    not_delivered = f'sum(increase({MESSAGES}{{status=~"undelivered|failed"}}[{RANGE}]))'
    finished = f'sum(increase({MESSAGES}{{status=~"{FINISHED}"}}[{RANGE}]))'
    month = "days_in_month() * 86400"
    allowed = f"(1 - {OBJECTIVE}) * {finished} * {month} / $__range_s"
    seconds_left = "((days_in_month() - day_of_month() + 1) * 86400 - hour() * 3600 - minute() * 60)"
    lasts = f"clamp_min({allowed} - {not_delivered}, 0) / (all:twilio_messages_not_delivered:increase1d > 0) * 86400"
    return [
        stat(
            "Budget left",
            "Share of this month's error budget that is left. The budget is 5% of the messages that finish, of as many "
            "as the month will have at its pace so far. Below zero: the objective is missed unless deliveries get better.",
            [prom(f"1 - {not_delivered} / ({allowed} > 0)", instant=True)],
            unit="percentunit",
            decimals=0,
            width=6,
            base=RED,
            steps=[(0, YELLOW), (0.25, GREEN)],
            time_from="now/M",
            no_data="nothing finished this month",
        ),
        stat(
            "Budget ends",
            "When nothing is left of it, at the pace of the last 24 hours.",
            [prom(f"1000 * (time() + ({lasts} < {seconds_left}))", instant=True)],
            unit="dateTimeAsIso",
            width=6,
            base=RED,
            time_from="now/M",
            no_data="lasts the month",
        ),
        stat(
            "Messages left",
            "How many more messages may stay undelivered this month.",
            [prom(f"{allowed} - {not_delivered}", instant=True)],
            unit=COUNT,
            width=6,
            base=RED,
            steps=[(0, YELLOW), (1, GREEN)],
            time_from="now/M",
            no_data="nothing finished this month",
        ),
        stat(
            "Not delivered",
            "Messages of this month that ended as undelivered or failed.",
            [prom(not_delivered, instant=True)],
            unit=COUNT,
            width=6,
            time_from="now/M",
            no_data="nothing finished this month",
        ),
    ]


def rate() -> list[Panel]:
    """The delivery rate over time."""
    return [
        chart(
            "Delivered of finished",
            "Share of the finished messages that was delivered. Dashed: the same time a week ago, and the objective. "
            "A point rests on the messages of its own minute or so: at night a single failure is a deep dip.",
            [
                prom(delivered_share(RATE), "now"),
                prom(delivered_share(RATE, before="1w"), "week before"),
                prom(OBJECTIVE, "objective"),
            ],
            unit="percentunit",
            width=16,
            height=9,
            minimum=None,
            maximum=1,
            series=[
                Series("now", GREEN),
                Series("week before", NEUTRAL, dashed=True),
                Series("objective", RED, dashed=True),
            ],
            links=[ERRORS],
        ),
        chart(
            "Delivered of finished, by channel",
            "The same share for each channel: a fault of one channel is a line of its own.",
            [prom(delivered_share(RATE, "channel"), "{{channel}}")],
            unit="percentunit",
            width=8,
            height=9,
            minimum=None,
            maximum=1,
        ),
    ]


def volume() -> list[Panel]:
    """How much, of what."""
    colours = [
        Series(status, STATUS_COLOURS[status]) for status in ("sent", "delivered", "undelivered", "failed", "read")
    ]
    return [
        chart(
            "Messages by status",
            "Messages that reached a status, each once. A message passes through several, so the lines are not parts "
            "of a whole.",
            [prom(per_minute(f"{MESSAGES}{{{CHOSEN}}}", "status"), "{{status}}")],
            unit=PER_MINUTE,
            width=10,
            series=colours,
        ),
        chart(
            "Finished, by channel",
            "Messages that reached an outcome, by channel.",
            [prom(per_minute(f'{MESSAGES}{{status=~"{FINISHED}",{CHOSEN}}}', "channel"), "{{channel}}")],
            unit=PER_MINUTE,
            width=7,
            stacked=True,
        ),
        chart(
            "Open messages",
            "Messages without an outcome, by the status they are in. A step that does not come down: receipts are "
            "missing.",
            [prom("sum by (status) (twilio_messages_open)", "{{status}}")],
            unit=COUNT,
            width=7,
            series=[Series(status, colour) for status, colour in STATUS_COLOURS.items()],
        ),
    ]


def countries() -> list[Panel]:
    """Where messages do not arrive."""
    messages_rate = f'sum by (country) (rate({MESSAGES}{{status=~"{FINISHED}",{CHOSEN}}}[{RATE}]))'
    largest = f"topk(8, {messages(FINISHED, RANGE, 'country', at=' @ end()')})"
    return [
        chart(
            "Delivered of finished, by country",
            "The eight countries with the most finished messages in the time range.",
            [prom(f"{delivered_share(RATE, 'country')} and {largest}", "{{country}}")],
            unit="percentunit",
            width=12,
            minimum=None,
            maximum=1,
            links=[ERRORS],
        ),
        chart(
            "Finished, by country",
            "Messages that reached an outcome, of the same eight countries.",
            [prom(f"60 * ({messages_rate} and {largest})", "{{country}}")],
            unit=PER_MINUTE,
            width=12,
            stacked=True,
        ),
        table(
            "Countries against the week before",
            "Counted from the log for exactly this time range, with late events, beside the same range a week "
            "earlier. Change is in percentage points.",
            [sql("delivery_by_country")],
            columns=[
                Column("Finished", unit=COUNT),
                Column("Delivered", unit="percentunit", decimals=1, colour=SHARE_COLOURS, colour_base=RED),
                Column("Week before", unit="percentunit", decimals=1, no_value="no data"),
                Column(
                    "Change",
                    no_value="no week before",
                    unit="suffix: pp",
                    decimals=1,
                    colour=[(-5, YELLOW), (-1, NEUTRAL)],
                    colour_base=RED,
                ),
                Column("Undelivered", unit=COUNT),
                Column("Failed", unit=COUNT),
            ],
            width=24,
            height=10,
        ),
    ]


def senders() -> list[Panel]:
    """Which messaging service, which sender."""
    share = Column("Delivered", unit="percentunit", decimals=1, colour=SHARE_COLOURS, colour_base=RED)
    return [
        table(
            "Delivery by messaging service",
            "Counted from the log for exactly this time range, with late events. 'none' are messages that were sent "
            "without a messaging service.",
            [sql("delivery_by_service")],
            columns=[
                Column("Messaging service", width=320),
                Column("Finished", unit=COUNT),
                share,
                Column("Undelivered", unit=COUNT),
                Column("Failed", unit=COUNT),
                Column("Sent", unit=COUNT),
            ],
            width=12,
            height=10,
        ),
        table(
            "Delivery by sender",
            "States of the messages whose first callback is in the time range, of the newest 100,000. 'Code' is the "
            "error code that most of the sender's messages have. Inbound messages are left out.",
            [sql("delivery_by_sender")],
            columns=[
                Column("Sender", width=180),
                Column("Channel", width=90),
                Column("Messages", unit=COUNT),
                Column("Finished", unit=COUNT),
                share,
                Column("Undelivered", unit=COUNT),
                Column("Failed", unit=COUNT),
                Column("Without outcome", unit=COUNT),
                Column("Code", width=80, links=[ERROR_PAGE]),
            ],
            width=12,
            height=10,
        ),
    ]


def time_to_deliver() -> list[Panel]:
    """How long messages take.

    Twilio's benchmarks are 10 s for one-time passwords, 10 min for notifications, 2 h for marketing:
    https://www.twilio.com/docs/messaging/features/messaging-insights/dashboards
    """

    def within(seconds: int) -> str:
        # The label is "10" or "10.0", depending on the client library and the version of Prometheus.
        bucket = f'{SECONDS}_bucket{{channel=~"$channel",le=~"{seconds}(\\\\.0)?"}}'
        return f"sum(rate({bucket}[{RATE}])) / (sum(rate({SECONDS}_count{CHANNEL}[{RATE}])) > 0)"

    return [
        chart(
            "Time to deliver",
            "From the first 'sent' to the first 'delivered' that reached us, by our own clock. Dashed: 10 seconds "
            "and 10 minutes, Twilio's benchmarks for one-time passwords and for notifications. Points lead to a "
            "message.",
            [
                prom(quantile(0.5, SECONDS, RATE, selector=CHANNEL), "50%"),
                prom(quantile(0.95, SECONDS, RATE, selector=CHANNEL), "95%", exemplars=True),
                prom(quantile(0.99, SECONDS, RATE, selector=CHANNEL), "99%"),
            ],
            unit="s",
            width=8,
            legend="table",
            logarithmic=True,
            limits=LATENCY_COLOURS,
        ),
        heatmap(
            "Time to deliver, spread",
            "How many messages took how long. Two bands are two kinds of route.",
            [prom(f"sum by (le) (increase({SECONDS}_bucket{CHANNEL}[{RATE}]))", "{{le}}", heatmap=True)],
            unit="s",
            width=8,
        ),
        chart(
            "Delivered in time",
            "Of the delivered messages, the share that took no longer than 10 seconds (one-time passwords), 10 "
            "minutes (notifications), 2 hours (marketing).",
            [prom(within(10), "10 seconds"), prom(within(600), "10 minutes"), prom(within(7200), "2 hours")],
            unit="percentunit",
            width=8,
            maximum=1,
            legend="table",
        ),
    ]
