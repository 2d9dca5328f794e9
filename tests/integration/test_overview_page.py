"""The page ``/``: what happened in the last hour and day, equal to what the log says."""

import re
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.database import PostgresForTests
from tests.support.events import message_sid, new_event
from tests.support.serving import Tracker, callback, running_tracker
from tracker.log.event import NewEvent
from tracker.log.event_store import event_columns
from tracker.postgres.binary_arrays import register_packed_arrays
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query


@pytest.fixture(scope="module")
def module_database_url(postgres: PostgresForTests) -> Iterator[str]:
    """One database for the module."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def tracker(module_database_url: str) -> Iterator[Tracker]:
    """A server with this database."""
    with running_tracker(module_database_url) as tracker:
        yield tracker


def append_event(database_url: str, event: NewEvent) -> None:
    """Append to the log what today's receiver quarantines and an earlier one appended."""
    with psycopg.connect(conninfo(database_url, role=Role.SERVICE, application="test"), autocommit=True) as connection:
        register_packed_arrays(connection)
        connection.execute(query("append_events"), event_columns([event]))


def test_an_empty_tracker_says_so(tracker: Tracker) -> None:
    """Before the first callback the page says how to get some, and divides by nothing."""
    text = tracker.client.get("/").text
    assert "No callback has come in yet" in text
    assert "nothing finished in this time" in text


def test_the_page_shows_what_the_log_says(tracker: Tracker, module_database_url: str) -> None:
    """Delivery rate, volumes, the top error code with its label, an unknown code raw, projections, newest messages."""
    for number in range(1, 9):
        for status in ("sent", "delivered"):
            assert tracker.post(callback(status, message_sid(number))).is_success
    assert tracker.post(callback("undelivered", message_sid(9), ErrorCode="30003")).is_success
    append_event(module_database_url, new_event(10, "failed", error_code="99<b>", received_at=time.time_ns() // 1000))
    tracker.wait_projected()
    answer = tracker.client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert answer.text.count("80.0 %") == 2
    assert re.search(
        r"30003</a></td>\s*<td[^>]*>1</td>\s*<td[^>]*>1</td>\s*<td[^>]*>phone off or out of reach", answer.text
    )
    assert "99&lt;b&gt;" in answer.text
    assert "<b>" not in answer.text
    assert answer.text.count("up to date") >= 3
    assert answer.text.count('href="./messages/SM') == 10
    assert "8 delivered, 1 undelivered, 1 failed" in answer.text
    assert "appended 17" in answer.text


def test_an_unknown_query_parameter_is_a_400(tracker: Tracker) -> None:
    """As everywhere: an answer to another question than was asked would look like an answer."""
    assert tracker.client.get("/?as_of=yesterday").status_code == 400
