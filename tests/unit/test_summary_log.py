"""Log lines about many requests at once."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tracker.web.summary_log import MAX_EXAMPLES, SUMMARY_SECONDS, SummaryLog, describe_network, describe_url


class Clock:
    """Calls functions when the test says that their time has come."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, function: Callable[[], None]) -> "Clock":
        """As in an event loop."""
        self.waiting.append((seconds, function))
        return self

    def cancel(self) -> None:
        """As in a timer."""
        self.waiting.clear()

    def advance(self) -> None:
        """All timers end."""
        waiting, self.waiting = self.waiting, []
        for seconds, function in waiting:
            assert seconds == SUMMARY_SECONDS
            function()


def counted(log: SummaryLog, reason: str, times: int = 1) -> None:
    """So many events."""
    for number in range(times):
        log.count(reason)
        log.example("networks", f"10.0.{number}.0/24")
        log.finish()


def test_a_burst_gives_two_lines_and_the_last_counts_all_that_came() -> None:
    """Also when no event follows that could carry it."""
    clock, log = Clock(), None
    with capture_logs() as lines:
        log = SummaryLog("callback.refused", clock.call_later)
        counted(log, "bad_signature", 1000)
        counted(log, "no_signature", 3)
        assert [line["number"] for line in lines] == [1]
        clock.advance()
        assert [line["number"] for line in lines] == [1, 1002]
        assert lines[1]["reasons"] == {"bad_signature": 999, "no_signature": 3}
        assert len(lines[1]["networks"]) == MAX_EXAMPLES
        clock.advance()
        assert len(lines) == 2
        assert not clock.waiting


def test_after_a_quiet_time_the_first_is_logged_at_once_again() -> None:
    """Within ten seconds of the last line it is not."""
    clock = Clock()
    with capture_logs() as lines:
        log = SummaryLog("callback.refused", clock.call_later)
        for _ in range(3):
            counted(log, "bad_signature")
            counted(log, "bad_signature")
            clock.advance()
            clock.advance()
    assert [line["number"] for line in lines] == [1, 1] * 3


def test_a_stop_logs_the_rest_and_ends_the_timer() -> None:
    """Once."""
    clock = Clock()
    with capture_logs() as lines:
        log = SummaryLog("callback.refused", clock.call_later)
        counted(log, "bad_signature", 5)
        log.close()
        log.close()
    assert [line["number"] for line in lines] == [1, 4]
    assert not clock.waiting


URLS = {
    "https://h.example/p": "https://h.example/p",
    "https://h.example/p?": "https://h.example/p?",
    "https://h.example/p?a=1&b-2.c=secret": "https://h.example/p?a=…&b-2.c=…",
    "https://h.example/p?+15551234567=x&=y": "https://h.example/p?…=…&…=…",
    "https://h\n\x1b[31m\x9b/p": "https://h???31m?/p".replace("???", "??["),
    "https://" + "h" * 1000: "https://" + "h" * 292,
}


@pytest.mark.parametrize(("url", "described"), URLS.items(), ids=range(len(URLS)))
def test_a_url_is_described_without_values_and_control_characters(url: str, described: str) -> None:
    """What a stranger sends is bounded, and steers no terminal."""
    assert describe_url(url) == described


def test_a_described_query_is_bounded() -> None:
    """A query may have 8,000 characters."""
    assert len(describe_url("https://h/p?" + "a&" * 4000)) < 1000


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "::/48"),
        (None, None),
        ("unix", None),
    ],
)
def test_a_clients_network(client: str | None, network: str | None) -> None:
    """Enough to find who it is, and no person's address."""
    assert describe_network(client) == network
