"""Message audit: what was said about one message, when it reached us, and what follows. From PostgreSQL alone."""

from grafana.builder.dashboard import Dashboard, Row, hidden_sql, postgresql, text_box, tracker_url
from grafana.builder.fields import COUNT, ERROR_PAGE, GREEN, MESSAGE_AUDIT, MESSAGE_PAGE, RED, YELLOW, Column, Link
from grafana.builder.panels import Panel, stat, state_timeline, table
from grafana.builder.queries import sql

PRECISE = "time:YYYY-MM-DD HH:mm:ss.SSS"
ITS_TIME = Link(
    "Show the time of this message",
    "/d/tracker-audit?var-sid=${message_sid}&${postgresql:queryparam}"
    "&from=${__data.fields.shown_from}&to=${__data.fields.shown_to}",
)
ITS_PAGE = Link("Page of this message in the tracker", "${tracker_url:raw}/messages/${message_sid}", new_tab=True)


def dashboard() -> Dashboard:
    """The dashboard as a whole."""
    return Dashboard(
        uid="tracker-audit",
        title="Message audit",
        description="One message: its state, every event about it, and when each reached us.",
        variables=[
            postgresql(),
            text_box("sid", "Message", "SID of a message (SM… or MM…), or the log position of one of its events."),
            hidden_sql("message_sid", "message_sid"),
            tracker_url(),
        ],
        rows=[Row("State", state()), Row("Events", events()), Row("Find a message", find())],
        time_from="now-24h",
        refresh="",
        annotated=False,
    )


def state() -> list[Panel]:
    """The answer: what became of the message."""
    row = [sql("message_state")]
    return [
        stat(
            "Status",
            "The status that the message's events decide. No data: nothing was heard of this message.",
            row,
            unit="string",
            width=5,
            column="Status",
            statuses=True,
            links=[ITS_PAGE],
            no_data="nothing was heard of it",
        ),
        stat("Outcome", "Final, or still open.", row, unit="string", width=3, column="Outcome"),
        stat(
            "Error code",
            "The error code of the deciding status. No data: none.",
            row,
            unit="string",
            width=4,
            column="Code",
            links=[Link("Twilio's error dictionary", "https://www.twilio.com/docs/api/errors", True)],
            no_data="none",
        ),
        stat(
            "Time to deliver",
            "From the first 'sent' to the first 'delivered' that reached us.",
            row,
            unit="s",
            width=4,
            column="Time to deliver",
            base=GREEN,
            steps=[(10, YELLOW), (600, RED)],
            no_data="not delivered",
        ),
        stat(
            "Facts",
            "Events in the log about this message, repetitions among them.",
            row,
            unit=COUNT,
            width=4,
            column="Events",
        ),
        stat(
            "Not yet projected",
            "Events of this message that the state does not hold yet. The message's page in the tracker does.",
            row,
            unit=COUNT,
            width=4,
            column="Not yet projected",
            base=GREEN,
            steps=[(1, YELLOW)],
        ),
        table(
            "State",
            "The message's row. 'Decided by' is the position of the event that the status rests on. The link at "
            "'First callback' sets the time range to this message.",
            row,
            columns=[
                Column("Message", width=300, links=[MESSAGE_PAGE]),
                Column("Status", width=110, statuses=True),
                Column("Outcome", width=80),
                Column("Code", width=80, links=[ERROR_PAGE]),
                Column("Decided by", unit=COUNT),
                Column("Events", unit=COUNT),
                Column("Not yet projected", unit=COUNT),
                Column("First callback", unit=PRECISE, width=190, links=[ITS_TIME]),
                Column("Last callback", unit=PRECISE, width=190),
                Column("Sent", unit=PRECISE, width=190),
                Column("Delivered", unit=PRECISE, width=190),
                Column("Time to deliver", unit="s"),
                Column("shown_from", hidden=True),
                Column("shown_to", hidden=True),
            ],
            width=24,
            height=4,
        ),
    ]


def events() -> list[Panel]:
    """What was said, and when."""
    return [
        state_timeline(
            "What was said",
            "The status and error code of each event from the time it reached us until the next. What came last need "
            "not decide: a late 'sent' does not undo 'delivered'. Only the time range is drawn; the link in the row "
            "above fits it.",
            [sql("message_timeline")],
            width=24,
        ),
        table(
            "Events",
            "Every event about the message, in the order of the log. 'Said before' counts earlier events that said "
            "the same. The exact body, its signature and the effect of each event are on the message's page in the "
            "tracker.",
            [sql("message_events")],
            columns=[
                Column("Position", unit=COUNT, width=110),
                Column("Received", unit=PRECISE, width=190),
                Column("Status", width=110, statuses=True),
                Column("Code", width=80, links=[ERROR_PAGE]),
                Column("Carrier's done date", width=150),
                Column("Source", width=120),
                Column("Decides", width=80),
                Column("Said before", unit=COUNT, width=100),
                Column("Delay", unit="s", width=90),
            ],
            width=24,
            height=10,
            links=[ITS_PAGE],
        ),
    ]


def find() -> list[Panel]:
    """A way in for whoever has no SID."""
    return [
        table(
            "Latest messages",
            "The newest fifty messages of the time range. The SID opens the message here, or its page in the tracker.",
            [sql("latest_messages")],
            columns=[
                Column("First callback", unit=PRECISE, width=190),
                Column("Message", width=300, links=[MESSAGE_AUDIT, MESSAGE_PAGE]),
                Column("Status", width=110, statuses=True),
                Column("Code", width=90, links=[ERROR_PAGE]),
                Column("Events", unit=COUNT, width=80),
                Column("Channel", width=100),
                Column("Country", width=90),
                Column("To", width=80),
            ],
            width=24,
            height=10,
        ),
    ]
