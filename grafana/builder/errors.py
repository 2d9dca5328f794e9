"""Errors: which codes, since when, whose fault, where, and what they cost."""

from grafana.builder.dashboard import Dashboard, Row, postgresql, prometheus, tracker_url
from grafana.builder.fields import (
    COUNT,
    ERROR_PAGE,
    GREEN,
    MESSAGE_AUDIT,
    MESSAGE_PAGE,
    RED,
    YELLOW,
    Column,
    Link,
    Series,
)
from grafana.builder.measures import FINISHED, MESSAGES, PER_MINUTE, RANGE, RATE, per_minute
from grafana.builder.panels import Panel, chart, stat, table
from grafana.builder.queries import prom, sql

ERRORS = "twilio_message_errors_total"
COUNTED = "error_code:twilio_message_errors:sum"
"""The same by code alone, where every code of the dictionary is there from the start."""

COUNTED_BY_CHANNEL = "channel:twilio_message_errors:sum"

FEES = "all:twilio_failed_message_fees_usd:max"
BUDGET = "all:twilio_failed_message_fee_budget:usd1h"


def dashboard() -> Dashboard:
    """The dashboard as a whole."""
    return Dashboard(
        uid="tracker-errors",
        title="Errors",
        description="Why messages do not arrive: error codes with labels and advice, countries, fees, latest messages.",
        variables=[prometheus(), postgresql(), tracker_url()],
        rows=[
            Row("Now", now()),
            Row("Codes", codes()),
            Row("Where", where()),
            Row("Cost", cost()),
            Row("Messages", messages()),
        ],
    )


def explained(expr: str, labels: str) -> str:
    """A vector by error_code with labels of the dictionary added; a code that is not in it stays as it is."""
    # One entry a code, even while processes of two versions disagree on its label.
    dictionary = "topk by (error_code) (1, tracker_error_code_info)"
    return f"({expr}) * on (error_code) group_left ({labels}) {dictionary} or on (error_code) ({expr})"


def now() -> list[Panel]:
    """The answer: how many, which, how expensive."""
    finished = f'sum(increase({MESSAGES}{{status=~"{FINISHED}"}}[{RANGE}]))'
    return [
        stat(
            "Messages with an error",
            "Messages that got an error code in the last hour, once for each code.",
            [prom(f"sum(increase({COUNTED}[{RANGE}]))", instant=True)],
            unit=COUNT,
            width=4,
            time_from="1h",
            no_data="no counters",
        ),
        stat(
            "Errors of finished",
            "The same, as a share of the messages that finished in the last hour. The objective leaves room for 5%. "
            "No data: none finished.",
            [prom(f"sum(increase({COUNTED}[{RANGE}])) / ({finished} > 0)", instant=True)],
            unit="percentunit",
            decimals=1,
            width=4,
            base=GREEN,
            steps=[(0.05, YELLOW), (0.10, RED)],
            time_from="1h",
            no_data="nothing finished",
        ),
        stat(
            "Most frequent",
            "The code that most messages got in the last hour. No data: none.",
            [
                prom(
                    f"{explained(f'topk(1, increase({COUNTED}[{RANGE}]) > 0)', 'label')}",
                    "{{error_code}} {{label}}",
                    instant=True,
                )
            ],
            unit="none",
            width=8,
            names=True,
            time_from="1h",
            links=[Link("Twilio's error dictionary", "https://www.twilio.com/docs/api/errors", new_tab=True)],
            no_data="no errors",
        ),
        stat(
            "Fees, last hour",
            "Twilio's fee of $0.001 for each failed message whose code is not exempt, in the last hour. Above the "
            "hour's budget it is red.",
            [prom(f"sum(increase({FEES}[{RANGE}]))", instant=True)],
            unit="currencyUSD",
            decimals=2,
            width=4,
            base=GREEN,
            steps=[(1, RED)],
            time_from="1h",
        ),
        stat(
            "Fees, time range",
            "The same for the whole time range of the dashboard.",
            [prom(f"sum(increase({FEES}[{RANGE}]))", instant=True)],
            unit="currencyUSD",
            decimals=2,
            width=4,
        ),
    ]


def codes() -> list[Panel]:
    """Which codes, since when, what to do about them."""
    top_ten = f"topk(10, increase({COUNTED}[{RANGE}]) > 0)"
    return [
        chart(
            "Messages by error code",
            "Messages that got the code, with our label for it; 'other' are codes that are not in the dictionary. "
            "Points lead to a message.",
            [
                # The counter itself begins at the first scrape that has the code, so its rate would lack the first part of a burst.
                # It is named only for its points.
                prom(
                    explained(
                        f"60 * rate({COUNTED}[{RATE}]) > 0 and on (error_code) max by (error_code) ({ERRORS})", "label"
                    ),
                    "{{error_code}} {{label}}",
                    exemplars=True,
                ),
            ],
            unit=PER_MINUTE,
            width=16,
            height=10,
            stacked=True,
            legend="table",
        ),
        chart(
            "Messages by fault",
            "Where to look first: the carrier, Twilio, the sender's account, the recipient, the content, or a "
            "registration.",
            [prom(f"sum by (fault) ({explained(f'60 * rate({COUNTED}[{RATE}])', 'fault')})", "{{fault}}")],
            unit=PER_MINUTE,
            width=8,
            height=10,
            stacked=True,
        ),
        table(
            "Top ten codes",
            "The most frequent codes of the time range with our advice; the code leads to Twilio's page. 'Week "
            "before' is the same range a week earlier. The command 'tracker errors CODE' says the same.",
            [
                prom(explained(top_ten, "label, fault, advice"), table=True),
                prom(
                    f"increase({COUNTED}[{RANGE}] offset 1w) and on (error_code) {top_ten}",
                    table=True,
                ),
            ],
            order=["error_code", "label", "fault", "advice", "Value #A", "Value #B"],
            renames={
                "error_code": "Code",
                "label": "Label",
                "fault": "Fault",
                "advice": "Advice",
                "Value #A": "Messages",
                "Value #B": "Week before",
            },
            columns=[
                Column("Code", width=90, links=[ERROR_PAGE]),
                Column("Label", width=260),
                Column("Fault", width=110),
                Column("Messages", unit=COUNT, width=110),
                Column("Week before", unit=COUNT, no_value="no data", width=120),
            ],
            sort="Messages",
            width=24,
            height=11,
        ),
    ]


def where() -> list[Panel]:
    """In which countries and channels."""
    return [
        table(
            "Errors by country",
            "Messages that got an error code, by country and code, counted from the log for exactly this time range. "
            "The share is of the country's own errors: one code with nearly all of them is the cause.",
            [sql("errors_by_country")],
            columns=[
                Column("Country", width=110),
                Column("Code", width=110, links=[ERROR_PAGE]),
                Column("Messages", unit=COUNT),
                Column("Share of the country's errors", unit="percentunit", decimals=0),
            ],
            width=12,
            height=10,
        ),
        chart(
            "Errors by channel",
            "Messages that got an error code, by channel.",
            [prom(per_minute(COUNTED_BY_CHANNEL, "channel"), "{{channel}}")],
            unit=PER_MINUTE,
            width=12,
            height=10,
            stacked=True,
        ),
    ]


def cost() -> list[Panel]:
    """What failed messages cost."""
    return [
        chart(
            "Failed-message fees",
            "US dollars an hour at the rate of the moment. Dashed: the hour's budget, above which an alert fires.",
            [prom(f"sum(rate({FEES}[{RATE}])) * 3600", "fees"), prom(BUDGET, "budget")],
            unit="currencyUSD",
            decimals=2,
            width=12,
            series=[Series("fees", YELLOW), Series("budget", RED, dashed=True)],
        ),
        chart(
            "Failed and undelivered",
            "Only failed messages cost the fee; undelivered ones were sent and are paid for as sent.",
            [prom(per_minute(f'{MESSAGES}{{status=~"undelivered|failed"}}', "status"), "{{status}}")],
            unit=PER_MINUTE,
            width=12,
            series=[Series("failed", RED), Series("undelivered", "orange")],
        ),
    ]


def messages() -> list[Panel]:
    """Examples to look into."""
    return [
        table(
            "Latest messages with an error",
            "The newest hundred messages of the time range that have an error code. The SID leads to the message's "
            "page and to its audit.",
            [sql("latest_errors")],
            columns=[
                Column("First callback", unit="time:YYYY-MM-DD HH:mm:ss", width=170),
                Column("Message", width=300, links=[MESSAGE_PAGE, MESSAGE_AUDIT]),
                Column("Status", width=110, statuses=True),
                Column("Code", width=90, links=[ERROR_PAGE]),
                Column("Channel", width=100),
                Column("Country", width=90),
                Column("To", width=80),
            ],
            width=24,
            height=10,
        ),
    ]
