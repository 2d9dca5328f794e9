"""The page ``/``: what happened in the last hour and day, equal to what the log says."""

import re
from collections.abc import Iterator

import pytest

from tests.serving import Tracker, callback, message_sid, running_tracker


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    """A server with a database of its own."""
    with running_tracker() as tracker:
        yield tracker


def test_an_empty_tracker_says_so(tracker: Tracker) -> None:
    """Before the first callback the page says how to get some, and divides by nothing."""
    text = tracker.client.get("/").text
    assert "No callback has come in yet" in text
    assert "nothing finished in this time" in text


def test_the_page_shows_what_the_log_says(tracker: Tracker) -> None:
    """Delivery rate, volumes, the top error code with its label, an unknown code raw, projections, newest messages."""
    for number in range(1, 9):
        for status in ("sent", "delivered"):
            assert tracker.post(callback(status, message_sid(number))).is_success
    assert tracker.post(callback("undelivered", message_sid(9), ErrorCode="30003")).is_success
    assert tracker.post(callback("failed", message_sid(10), ErrorCode="99<b>")).is_success
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
    assert "appended 18" in answer.text


def test_an_unknown_query_parameter_is_a_400(tracker: Tracker) -> None:
    """As everywhere: an answer to another question than was asked would look like an answer."""
    assert tracker.client.get("/?as_of=yesterday").status_code == 400
