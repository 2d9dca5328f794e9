"""A message with very many events: its pages are small, complete, and cost other requests little."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from projections.fold.message import Said
from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, append, event
from tests.support.serving import Tracker, running_tracker
from tracker.commands.history import command
from tracker.queries.history import HistoryFold
from tracker.queries.history_reader import PAGE_BYTES, PAGE_EVENTS, PART_EVENTS

REPLAYED = "SM" + "a" * 32
"""A message of which one callback was replayed for hours."""

VARIED = "SM" + "b" * 32
"""A message of which ever new facts were stated."""

EVENTS = 59_700
FACTS = 10_000

SEED: tuple[LiteralString, ...] = (
    """
    INSERT INTO events (
        position, event_id, source, account_sid, message_sid, status, error_code, channel, received_at, body
    )
    SELECT
        n, gen_random_uuid(), 'api', %(account)s, CASE WHEN n <= %(events)s THEN %(replayed)s ELSE %(varied)s END,
        CASE n WHEN 1 THEN 'sent' WHEN %(events)s THEN 'undelivered' ELSE 'delivered' END,
        CASE WHEN n > %(events)s THEN (20000 + n %% 10000)::text END, 'sms', '2026-03-01 12:00Z'::timestamptz + n * interval '1 s',
        convert_to(repeat('ApiVersion=2010-04-01&', 20), 'UTF8')
    FROM generate_series(1, %(events)s + %(facts)s) AS n
    """,
    "UPDATE log_head SET position = %(events)s + %(facts)s",
    "ANALYZE events",
)

PATIENCE = 0.5
"""Seconds that another request may wait. A fold on the event loop kept it for eleven."""


@pytest.fixture(scope="module")
def long_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database with both messages."""
    values = {"account": ACCOUNT, "events": EVENTS, "facts": FACTS, "replayed": REPLAYED, "varied": VARIED}
    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in SEED:
                connection.execute(statement, values)
        yield url


@pytest.fixture(scope="module")
def tracker(long_url: str) -> Iterator[Tracker]:
    """A whole server on it, without a projector: nothing else works meanwhile."""
    with running_tracker(long_url, "--no-projector") as tracker:
        yield tracker


def slowest_meanwhile(tracker: Tracker, path: str) -> tuple[httpx.Response, float]:
    """The answer at a path, and the longest that another request had to wait until it came."""
    waits: list[float] = []
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.get(tracker.client.base_url.join(path), timeout=60))

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        started = time.perf_counter()
        assert tracker.client.get("/livez").status_code == 200
        waits.append(time.perf_counter() - started)
    thread.join()
    return answers[0], max(waits)


@pytest.mark.parametrize("sid", [REPLAYED, VARIED], ids=["replayed", "varied"])
@pytest.mark.parametrize(
    "path", ["/messages/{}", "/api/messages/{}", "/api/messages/{}/events", "/messages/{}?after=9000"]
)
def test_a_long_history_holds_nobody_up(tracker: Tracker, sid: str, path: str) -> None:
    """State, history and page are answered, in less than a megabyte, while other requests are served."""
    answer, slowest = slowest_meanwhile(tracker, path.format(sid))
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.content) < 1_000_000
    assert slowest < PATIENCE


@pytest.mark.parametrize("sid", [REPLAYED, VARIED], ids=["replayed", "varied"])
def test_a_long_fold_leaves_the_event_loop(long_url: str, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, each in the thread for long work; no part is larger than it may be."""
    folded: list[tuple[str, int]] = []
    add = HistoryFold.add

    def recorded(fold: HistoryFold, events: Iterable[Said]) -> None:
        part = list(events)
        folded.append((threading.current_thread().name, len(part)))
        add(fold, part)

    monkeypatch.setattr(HistoryFold, "add", recorded)
    with answering(long_url) as client:
        assert client.get(f"/api/messages/{sid}").status_code == 200
    assert {name.partition("_")[0] for name, _ in folded} == {"history"}
    assert max(size for _, size in folded) == PART_EVENTS


def test_the_state_is_that_of_all_pages(tracker: Tracker) -> None:
    """Though a page shows two hundred events, the last one decides nothing that it should not."""
    state = tracker.client.get(f"/api/messages/{REPLAYED}").json()
    assert (state["status"], state["event_count"], state["has_conflict"]) == ("delivered", EVENTS, True)
    codes = tracker.client.get(f"/api/messages/{VARIED}").json()
    assert (len(codes["error_codes_seen"]), codes["error_codes_truncated"]) == (32, True)


def test_a_page_deep_inside_follows_the_one_before(tracker: Tracker) -> None:
    """By position, without a gap, and the last page says so."""
    path = f"/api/messages/{REPLAYED}/events"
    page: Any = tracker.client.get(path, params={"after": EVENTS - PAGE_EVENTS - 5}).json()
    assert [each["position"] for each in page["events"]] == list(range(EVENTS - PAGE_EVENTS - 4, EVENTS - 4))
    assert page["next_after"] == EVENTS - 5
    rest = tracker.client.get(path, params={"after": page["next_after"]}).json()
    assert [each["effect"] for each in rest["events"]] == ["duplicate"] * 4 + ["late"]
    assert rest["next_after"] is None
    assert tracker.client.get(path, params={"after": EVENTS}).json()["events"] == []


def test_the_command_shows_a_page(long_url: str) -> None:
    """And says how to see the next one, on stderr."""
    result = CliRunner().invoke(command, [REPLAYED, "--limit", "3", "--after", "5"], env={"DATABASE_URL": long_url})
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0].isdigit()] == ["6", "7", "8"]
    assert "--after 8" in result.stderr


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("limit", [1, 2, 3, 200])
def test_pages_make_the_whole_history(database_url: str, count: int, limit: int) -> None:
    """Whatever the size of a page: every event once, in order; the state is the same on each."""
    append(database_url, [event("sent", number) for number in range(count + 1)])
    with answering(database_url) as client:
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = client.get(f"/api/messages/SM{'1' * 32}/events", params={"limit": limit, "after": after}).json()
            assert 1 <= len(page["events"]) <= limit
            seen += [each["position"] for each in page["events"]]
            after = page["next_after"]
    assert seen == list(range(1, count + 2))


def test_long_bodies_end_a_page_early(database_url: str) -> None:
    """A page holds so many bytes of evidence at most, at least one event, and nothing is left out."""
    body = f"MessageSid=SM{'1' * 32}&MessageStatus=sent&X={'x' * 60_000}".encode()
    append(database_url, [event("", number, body=body) for number in range(7)])
    with answering(database_url) as client:
        seen: list[int] = []
        after: int | None = 0
        while after is not None:
            page = client.get(f"/api/messages/SM{'1' * 32}/events", params={"after": after}).json()
            assert sum(len(each["body"]) for each in page["events"]) <= PAGE_BYTES
            seen += [each["position"] for each in page["events"]]
            after = page["next_after"]
    assert seen == list(range(1, 8))


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"limit": "0"}, "limit: Expected `int` >= 1"),
        ({"limit": "201"}, "limit: Expected `int` <= 200"),
        ({"after": "-1"}, "after: Expected `int` >= 0"),
        ({"after": "first"}, "after: Expected `int`"),
        ({"after": str(2**63)}, "after: Expected `int` <="),
    ],
)
def test_a_page_that_cannot_be_is_refused(database_url: str, query: dict[str, str], detail: str) -> None:
    """With what was expected; on the page for people, too."""
    append(database_url, [event("sent")])
    with answering(database_url) as client:
        answer = client.get(f"/api/messages/SM{'1' * 32}/events", params=query)
        assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (400, detail)
        assert client.get(f"/messages/SM{'1' * 32}", params={"after": "x"}).status_code == 400
