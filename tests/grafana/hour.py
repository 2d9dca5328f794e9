"""What an hour brings, in half a minute: ordinary traffic, an outage of the database, a burst of one error, a rebuild.

A real tracker with its embedded PostgreSQL takes it in, and a real Prometheus on the shipped files watches.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from tests.grafana.prometheus import Prometheus, running_prometheus
from tests.support.events import message_sid
from tests.support.serving import ACCOUNT_SID, TOKEN, Tracker, callback, running_tracker
from tests.support.waiting import wait_until
from tracker.postgres.embedded.server import running_url

NUMBERS: Final = {"US": "+12015550123", "GB": "+447400123456", "BR": "+5511961234567"}
"""A recipient in each country that has traffic."""

SENDERS: Final = {"sms": "+14155550199", "whatsapp": "whatsapp:+14155550199"}
"""A sender of each channel that has traffic."""

BURST: Final = "30007"
"""The error that comes suddenly. Nothing else in the hour has it."""

API_TOKEN: Final = "of-the-hour"
"""The tracker's, which Prometheus reads from a file."""

SMS: Final = ("--channel", "sms", "--error-code")

SAID: Final = """
SELECT status, count(DISTINCT message_sid)
FROM (SELECT message_sid, CASE status WHEN 'read' THEN 'delivered' ELSE status END AS status FROM events) AS said
GROUP BY status
"""
"""Messages that were said to have a status, each once; read counts as delivered."""

RECORDED: Final = "error_code:twilio_message_errors:sum"
"""A series of the first group of rules."""

BUILT_ON: Final = "all:twilio_messages_finished:increase5m"
"""A series of a later group."""

ERRORS: Final = """
SELECT error_code, count(DISTINCT message_sid) FROM events WHERE error_code IS NOT NULL GROUP BY error_code
"""
"""Messages that were said to have a code, each once a code."""

CHANNEL_ERRORS: Final = """
SELECT channel, count(*)
FROM (SELECT DISTINCT channel, message_sid, error_code FROM events WHERE error_code IS NOT NULL) AS said
GROUP BY channel
"""
"""The same by channel."""


LATENCIES: Final = """
SELECT channel, extract(EPOCH FROM min(received_at) FILTER (WHERE status IN ('delivered', 'read')) - min(received_at) FILTER (
    WHERE status = 'sent'
))::float8
FROM events GROUP BY channel, message_sid
"""
"""Seconds from the first sent to the first delivered of each message, by channel; NULL where one of them is missing."""


@dataclass
class Hour:
    """What happened, and whom to ask about it."""

    tracker: Tracker
    prometheus: Prometheus
    database_url: str
    started_at: float
    ended_at: float = 0.0
    """Seconds since 1970: when Prometheus last evaluated its rules before the hour ended."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """The simulator's documents."""

    def counted(self, statement: str) -> dict[str, int]:
        """What the log itself says: a statement that gives names and numbers."""
        with psycopg.connect(self.database_url) as connection:
            return dict(connection.execute(statement.encode()).fetchall())

    @property
    def finished(self) -> Counter[str]:
        """Messages that were said to be delivered, undelivered or failed, each once in each, by the simulator's account."""
        counts = Counter[str]()
        for message in self.messages:
            counts.update({"delivered" if status == "read" else status for status in message["statuses"]})
        return Counter({status: counts[status] for status in ("delivered", "undelivered", "failed")})

    @property
    def errors(self) -> Counter[str]:
        """Messages with an error, each once a code, by the simulator's account."""
        return Counter(code for message in self.messages for code in message["error_codes"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message that the simulator sent callbacks of."""
        return [message for run in self.runs.values() for message in run["messages"]]

    def answers(self, answer: str) -> int:
        """How many requests of the simulator were answered so."""
        return sum(run["answers"].get(answer, 0) for run in self.runs.values())


@contextmanager
def an_hour() -> Iterator[Hour]:
    """Lets it pass; the servers run until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="tracker-hour-") as directory,
        running_tracker(TRACKER_API_TOKEN=API_TOKEN) as tracker,
        running_prometheus(Path(directory), f"127.0.0.1:{tracker.port}", API_TOKEN) as prometheus,
    ):
        tracker.client.headers["authorization"] = f"Bearer {API_TOKEN}"
        url = running_url(tracker.data_dir)
        assert url is not None
        hour = Hour(tracker, prometheus, url, time.time())
        wait_until(lambda: prometheus.number("count(error_code:twilio_message_errors:sum)"), "the first scrape")
        begin_series(hour)
        annotate(hour)
        troubles = ("--forged", "0.05", "--unsigned", "0.01", "--duplicates", "0.1", "--disorder", "0.2")
        hour.runs["ordinary"] = finish(simulate(hour, 300, "--channel", "whatsapp", *troubles))
        pass_through_an_outage(hour)
        hour.runs["burst"] = finish(simulate(hour, 500, *SMS, BURST, "--failure-share", "0.9", "--rate", "400"))
        tracker.wait_drained()
        tracker.wait_projected()
        rebuild(hour)
        wait_until_scraped(hour)
        yield hour


def begin_series(hour: Hour) -> None:
    """One message each way, so that Prometheus knows the series before what it is to count: a series that begins anywhere but at
    zero has a first value that no increase shows."""
    places = [(country, channel) for country in NUMBERS for channel in SENDERS]
    for number, (country, channel) in enumerate(places, start=1):
        to = NUMBERS[country] if channel == "sms" else f"{channel}:{NUMBERS[country]}"
        assert hour.tracker.post(callback("sent", message_sid(number), To=to, From=SENDERS[channel])).is_success
    expr = 'count(channel_country_status:twilio_messages:max{status="delivered"})'
    wait_until(lambda: hour.prometheus.number(expr) == len(places), "Prometheus to know the series")


def pass_through_an_outage(hour: Hour) -> None:
    """The database freezes while callbacks come, until Prometheus has seen some in the spool; then it goes on."""
    before = hour.tracker.metric("tracker_log_position")
    sending = simulate(hour, 400, *SMS, "30003", "--rate", "100")
    wait_until(lambda: hour.tracker.metric("tracker_log_position") > before + 100, "some callbacks before the outage")
    processes = database_processes(hour.tracker)
    for process in processes:
        process.suspend()
    try:
        wait_until(lambda: hour.prometheus.number("sum(tracker_spool_events)"), "Prometheus to see the spool fill")
    finally:
        for process in processes:
            process.resume()
    hour.runs["outage"] = finish(sending)


def annotate(hour: Hour) -> None:
    """The application that sends is deployed, and says so."""
    run_tracker(hour, "annotate", "shop 4.2 deployed")


def rebuild(hour: Hour) -> None:
    """The counters are computed again from the log, which must move none of them."""
    run_tracker(hour, "rebuild", "metric_counters")


def run_tracker(hour: Hour, *arguments: str) -> None:
    """A command beside the server, which must succeed."""
    command = [sys.executable, "-m", "tracker", *arguments]
    done = subprocess.run(command, env=environment(hour), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def wait_until_scraped(hour: Hour) -> None:
    """Until Prometheus has scraped, and its rules have seen, all that is in the log, and the rebuild."""
    events = hour.counted("SELECT 'events', count(*) FROM events")["events"]
    errors = sum(hour.counted(ERRORS).values())
    prometheus = hour.prometheus

    def seen() -> bool:
        return (
            prometheus.number("max(tracker_log_position)") == events
            and prometheus.number("sum(twilio_status_events_total)") == events
            and prometheus.number("sum(error_code:twilio_message_errors:sum)") == errors
            and prometheus.number("sum(tracker_projection_rebuilds_total)") == 1
        )

    wait_until(seen, "Prometheus to have seen everything")
    scraped_at = last_at(prometheus, "tracker_projection_rebuilds_total")
    # The last evaluation may be older than the last scrape, which alone has the rebuild: the hour must not end before it.
    wait_until(lambda: last_at(prometheus, RECORDED) > scraped_at, "the rules to follow")
    # The recorded counters are evaluated together. At the very moment of an evaluation, increase() has nothing to extrapolate.
    hour.ended_at = last_at(prometheus, RECORDED)
    # Rules that build on these are evaluated a moment later; the same moment is asked again.
    wait_until(lambda: last_at(prometheus, BUILT_ON) > hour.ended_at + 1, "the other rules to follow")


def last_at(prometheus: Prometheus, series: str) -> float:
    """When a series last had a value, seconds since 1970; 0 when it has none now."""
    return prometheus.number(f"max(timestamp({series}))") or 0.0


def database_processes(tracker: Tracker) -> list[psutil.Process]:
    """The embedded PostgreSQL: the postmaster first, that it starts no more of them."""
    pid = int((tracker.data_dir / "postgres" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
    postmaster = psutil.Process(pid)
    return [postmaster, *postmaster.children()]


def environment(hour: Hour) -> dict[str, str]:
    """The settings of commands that are run beside the server."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_"))
    }
    tracker = hour.tracker
    own = {"TRACKER_DATA_DIR": str(tracker.data_dir), "TRACKER_PORT": str(tracker.port)}
    return inherited | own | {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": TOKEN}


def simulate(hour: Hour, messages: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin to send. Seeds differ from run to run, so that messages do."""
    seed = str(len(hour.runs) + 1)
    places = [part for country in NUMBERS for part in ("--country", country)]
    return subprocess.Popen(
        [sys.executable, "-m", "tracker", "simulate", "--json", "--seed", seed, "--messages", str(messages), *places, *arguments],
        env=environment(hour), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(sending: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for the simulator; its document. Every callback must have been answered as it should be."""
    output, complaints = sending.communicate(timeout=60)
    assert sending.returncode == 0, complaints.decode()
    return json.loads(output)
