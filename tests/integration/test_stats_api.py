"""``/api/stats``: messages over time, equal to counts over the log, by the events' own time, late events included."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import psycopg
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from projections.latency_digest import FLOOR_SECONDS, RELATIVE_ERROR
from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import append, at, event
from tests.support.projections.traffic import CHANNELS, COUNTRIES, START, traffic
from tests.support.projector import project
from tracker.queries.statistics import MAX_ROWS
from tracker.queries.times import format_time

TRAFFIC_MINUTES = 60


@pytest.fixture(scope="module")
def stats_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database with an hour of traffic and its tail, taken in in two parts; in the second are events of the first minutes."""
    with postgres.database() as url:
        events = traffic(1, 800)
        half = len(events) // 2
        append(url, events[:half])
        project(url)
        append(url, events[half:])
        project(url)
        yield url


@pytest.fixture(scope="module")
def client(stats_url: str) -> Iterator[TestClient[Litestar]]:
    """A client of a server that answers from it."""
    with answering(stats_url) as client:
        yield client


@pytest.fixture
def log(stats_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The log itself."""
    with psycopg.connect(stats_url, autocommit=True) as connection:
        yield connection


WHOLE = {"from": "2026-03-01T11:00:00Z", "until": "2026-03-01T18:00:00Z"}
"""A range with all traffic in it."""


def ask(client: TestClient[Litestar], group_by: Sequence[str] = (), **parameters: str) -> dict[str, Any]:
    """An answer."""
    answer = client.get("/api/stats", params={**WHOLE, **parameters, "group_by": list(group_by)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def firsts(log: psycopg.Connection[Any], status: str, *groups: str) -> list[tuple[Any, ...]]:
    """When each message was first (by position) said to have a status, and its groups; counted by nothing of ours."""
    columns = "".join(f", {group}" for group in groups)
    return log.execute(
        (
            f"SELECT DISTINCT ON (account_sid, message_sid) received_at {columns} FROM events"
            " WHERE lower(trim(status)) = %s ORDER BY account_sid, message_sid, position"
        ).encode(),
        [status],
    ).fetchall()  # fmt: skip


@pytest.mark.parametrize("status", ["sent", "undelivered", "failed", "read"])
@pytest.mark.parametrize("minutes", [1, 7, 60])
def test_steps_hold_what_was_received_in_them(
    client: TestClient[Litestar], log: psycopg.Connection[Any], status: str, minutes: int
) -> None:
    """Against the log, whenever the events came into it; the total is their sum."""
    beginning = datetime(2026, 3, 1, 11, tzinfo=UTC)
    expected: dict[str, int] = {}
    for (received_at,) in firsts(log, status):
        start = beginning + (received_at - beginning) // timedelta(minutes=minutes) * timedelta(minutes=minutes)
        name = start.strftime("%Y-%m-%dT%H:%M:%SZ")
        expected[name] = expected.get(name, 0) + 1
    [series] = ask(client, step=f"{minutes}m")["series"]
    assert {point["at"]: point[status] for point in series["points"] if point[status]} == expected
    assert series["total"][status] == sum(expected.values()) > 0
    assert [point["at"] for point in series["points"]] == sorted(point["at"] for point in series["points"])


@pytest.mark.parametrize("beyond", [0, 1, 59_999_999, 60_000_000], ids=lambda beyond: f"{beyond} microseconds")
def test_a_range_counts_its_minutes_and_no_others(
    client: TestClient[Litestar], log: psycopg.Connection[Any], beyond: int
) -> None:
    """The minute of ``from`` counts whole; that of ``until`` too, unless ``until`` is its beginning. Nothing outside counts."""
    minute = timedelta(minutes=1)
    moments = [received_at.astimezone(UTC) for (received_at,) in firsts(log, "sent")]
    busy = {moment.replace(second=0, microsecond=0) for moment in moments}
    start = min(moment for moment in busy if moment + minute in busy)
    # Two neighbours with messages in both: one too many or too few would be seen.
    turn = min(moment for moment in busy if moment - minute in busy and moment > start + 2 * minute)
    until = turn + timedelta(microseconds=beyond)
    end = turn if beyond == 0 else turn + minute
    answer = ask(client, **{"from": format_time(start + minute / 2), "until": format_time(until)})
    [series] = answer["series"]
    assert series["total"]["sent"] == sum(start <= moment < end for moment in moments)
    assert answer["until"] == format_time(end)
    assert all(answer["from"] <= point["at"] < answer["until"] for point in series["points"])


def test_every_message_is_counted_once(client: TestClient[Litestar], log: psycopg.Connection[Any]) -> None:
    """In the minute of its first event by position, whatever that states: once per account and SID, and not where it was received."""
    rows = log.execute(
        "SELECT DISTINCT ON (account_sid, message_sid) received_at FROM events"
        " WHERE lower(trim(status)) NOT IN ('receiving', 'received') ORDER BY account_sid, message_sid, position"
    ).fetchall()
    distinct = log.execute(
        "SELECT count(DISTINCT message_sid) FROM events WHERE lower(trim(status)) NOT IN ('receiving', 'received')"
    ).fetchall()
    assert distinct[0][0] < len(rows), "no SID is that of two accounts"
    expected: dict[str, int] = {}
    for (received_at,) in rows:
        name = received_at.strftime("%Y-%m-%dT%H:%M:00Z")
        expected[name] = expected.get(name, 0) + 1
    [series] = ask(client, step="1m")["series"]
    assert {point["at"]: point["messages"] for point in series["points"] if point["messages"]} == expected
    assert series["total"]["messages"] == len(rows)


def test_groups_are_told_apart(client: TestClient[Litestar], log: psycopg.Connection[Any]) -> None:
    """By channel, country and messaging service at once; what cannot be told is null."""
    expected: dict[tuple[Any, ...], int] = {}
    for _, channel, to, service in firsts(log, "sent", "channel", "to_address", "messaging_service_sid"):
        country = None if COUNTRIES[to] == "unknown" else COUNTRIES[to]
        key = (CHANNELS[channel], country, service)
        expected[key] = expected.get(key, 0) + 1
    answer = ask(client, ["country", "channel", "messaging_service_sid"])
    assert answer["group_by"] == ["channel", "country", "messaging_service_sid"]
    found = {tuple(series["group"].values()): series["total"]["sent"] for series in answer["series"]}
    assert {key: sent for key, sent in found.items() if sent} == expected
    assert all(list(series["group"]) == answer["group_by"] for series in answer["series"])


def test_error_codes_are_told_apart(client: TestClient[Litestar], log: psycopg.Connection[Any]) -> None:
    """A code that our dictionary lacks by itself; what is no code is other. Latencies are of no code, so there are none."""
    rows = log.execute(
        "SELECT error_code, count(DISTINCT (account_sid, message_sid)) FROM events WHERE error_code IS NOT NULL GROUP BY 1"
    ).fetchall()
    expected = {code if code.isdigit() else "other": messages for code, messages in rows}
    series = ask(client, ["error_code"])["series"]
    assert {
        each["group"]["error_code"]: each["total"]["errors"] for each in series if each["total"]["errors"]
    } == expected
    assert "39999" in expected
    for each in series:
        for counts in [each["total"], *each["points"]]:
            others = {name: value for name, value in counts.items() if name not in {"at", "errors"}}
            assert set(others.values()) == {None}, "another count of a group would be of callbacks, not of messages"
            assert counts["errors"] > 0
    assert all(each["group"]["error_code"] is not None for each in series)
    assert {each["total"]["latency_seconds"] for each in series} == {None}


def test_the_delivery_rate_is_of_what_finished(client: TestClient[Litestar]) -> None:
    """Null where nothing did."""
    for series in ask(client, ["channel"], step="1m")["series"]:
        for counts in [series["total"], *series["points"]]:
            finished = counts["delivered"] + counts["undelivered"] + counts["failed"]
            assert counts["delivery_rate"] == (counts["delivered"] / finished if finished else None)


def latencies(log: psycopg.Connection[Any], group: str = "''") -> dict[str | None, list[float]]:
    """All of them, in seconds, sorted, by a column: of each message as of the event that completed the pair."""
    rows = log.execute(
        f"""
        WITH said AS (SELECT (coalesce(account_sid, ''), message_sid) AS message, {group} AS told, * FROM events),
        complete AS (
            SELECT message, greatest(min(position) FILTER (WHERE status = 'sent'), min(position) FILTER (WHERE status = 'delivered')) AS position
            FROM said GROUP BY message HAVING bool_or(status = 'sent') AND bool_or(status = 'delivered')
        )
        SELECT told, greatest(extract(EPOCH FROM
            min(received_at) FILTER (WHERE status = 'delivered') - min(received_at) FILTER (WHERE status = 'sent')
        ), 0)::float8 AS seconds
        FROM said INNER JOIN complete USING (message)
        WHERE said.position <= complete.position
        GROUP BY message, told ORDER BY seconds
        """.encode()
    )
    found: dict[str | None, list[float]] = {}
    for told, seconds in rows:
        found.setdefault(told, []).append(seconds)
    return found


@pytest.mark.parametrize(
    ("group", "column", "names"),
    [
        ("channel", "channel", CHANNELS),
        ("country", "to_address", {to: None if name == "unknown" else name for to, name in COUNTRIES.items()}),
        ("messaging_service_sid", "messaging_service_sid", {None: None, "MG" + "1" * 32: "MG" + "1" * 32}),
    ],
)
def test_percentiles_of_each_group_are_those_of_its_messages(
    client: TestClient[Litestar],
    log: psycopg.Connection[Any],
    group: str,
    column: str,
    names: dict[str | None, str | None],
) -> None:
    """Within the stated error of the true ones, by nearest rank, whatever the messages are told apart by."""
    true: dict[str | None, list[float]] = {}
    for told, seconds in latencies(log, column).items():
        true[names[told]] = sorted(true.get(names[told], []) + seconds)
    series = {each["group"][group]: each["total"]["latency_seconds"] for each in ask(client, [group])["series"]}
    assert {name for name, found in series.items() if found} == true.keys()
    for name, seconds in true.items():
        for percentile, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            expected = seconds[ceil(share * len(seconds)) - 1]
            assert series[name][percentile] == pytest.approx(expected, rel=RELATIVE_ERROR, abs=FLOOR_SECONDS)


def test_percentiles_are_within_the_stated_error(client: TestClient[Litestar], log: psycopg.Connection[Any]) -> None:
    """Of the true ones, by nearest rank."""
    [true] = latencies(log).values()
    answer = ask(client)
    assert answer["relative_error"] == RELATIVE_ERROR
    found = answer["series"][0]["total"]["latency_seconds"]
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        expected = true[ceil(share * len(true)) - 1]
        assert abs(found[name] - expected) <= max(RELATIVE_ERROR * expected, FLOOR_SECONDS) + 0.001, name
    assert found["p99"] > found["p50"]


def test_a_range_is_of_whole_minutes(client: TestClient[Litestar]) -> None:
    """The minutes that the beginning and the end are in, unless the end begins one."""
    answer = ask(client, **{"from": "2026-03-01T12:00:59.5Z", "until": "2026-03-01T12:10:00.5Z"})
    assert (answer["from"], answer["until"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:11:00Z")
    answer = ask(client, **{"from": "2026-03-01T14:00:00+02:00", "until": "2026-03-01T12:10:00Z"})
    assert (answer["from"], answer["until"], answer["step_seconds"]) == (
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:10:00Z",
        60,
    )


@pytest.mark.parametrize(
    ("hours", "seconds"), [(1, 60), (2, 60), (3, 300), (24, 900), (48, 3600), (24 * 30, 21_600), (24 * 365, 86_400)]
)
def test_the_usual_step_gives_some_hundred(client: TestClient[Litestar], hours: int, seconds: int) -> None:
    """Whatever the range."""
    until = START + timedelta(hours=hours)
    assert ask(client, **{"from": START.isoformat(), "until": until.isoformat()})["step_seconds"] == seconds


def test_an_empty_range_has_no_series(client: TestClient[Litestar]) -> None:
    """No message, no answer about one."""
    assert ask(client, **{"from": "2020-01-01T00:00:00Z", "until": "2020-01-01T01:00:00Z"})["series"] == []


def test_without_parameters_it_is_the_last_hour(database_url: str) -> None:
    """Up to this minute."""
    now = datetime.now(UTC)
    append(database_url, [event("sent", (now - START).total_seconds())])
    project(database_url)
    with answering(database_url) as client:
        answer = client.get("/api/stats").json()
    assert answer["step_seconds"] == 60
    assert datetime.fromisoformat(answer["until"]) - datetime.fromisoformat(answer["from"]) == timedelta(hours=1)
    assert answer["series"][0]["total"]["sent"] == 1


def test_a_late_event_changes_the_past(database_url: str) -> None:
    """What was asked before is answered anew: the correction counts in both minutes, the latency where the delivery was."""
    sid = "SM" + "7" * 32
    parameters = {"from": at(0).isoformat(), "until": at(3600).isoformat(), "step": "1m"}
    append(database_url, [event("undelivered", 600, sid, ErrorCode="30003"), event("sent", 1800, "SM" + "8" * 32)])
    project(database_url)
    with answering(database_url) as client:
        before = client.get("/api/stats", params=parameters).json()["series"][0]
        append(database_url, [event("delivered", 660, sid), event("sent", 590, sid)])
        project(database_url)
        after = client.get("/api/stats", params=parameters).json()["series"][0]
    assert [(point["at"][11:16], point["undelivered"], point["delivered"], point["corrected"]) for point in before["points"]] == [
        ("12:10", 1, 0, 0), ("12:30", 0, 0, 0),
    ]  # fmt: skip
    assert [(point["at"][11:16], point["undelivered"], point["delivered"], point["corrected"]) for point in after["points"]] == [
        ("12:09", 0, 0, 0), ("12:10", 1, 0, 0), ("12:11", 0, 1, 1), ("12:30", 0, 0, 0),
    ]  # fmt: skip
    assert [point["latency_seconds"] is not None for point in after["points"]] == [False, False, True, False]
    assert after["points"][2]["latency_seconds"]["p50"] == pytest.approx(70, rel=RELATIVE_ERROR)


NONSENSE = {
    "2099": ({"from": "2099-01-01T00:00:00Z", "until": "2099-01-02T00:00:00Z"}, "from: lies in the future"),
    "no time": ({"from": "yesterday"}, "from: expected an RFC 3339 time"),
    "no offset": ({"until": "2026-03-01T12:00:00"}, "until: expected an RFC 3339 time"),
    "backwards": ({"from": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "from: is not before until."),
    "nothing between": (
        {"from": "2026-03-01T00:00:00Z", "until": "2026-03-01T00:00:00Z"},
        "from: is not before until.",
    ),
    "seconds": ({"step": "30s"}, "step: expected minutes, hours or days"),
    "a step of nothing": ({"step": "0m"}, "step: expected minutes, hours or days"),
    "a huge step": ({"step": "99999d"}, "step: expected minutes, hours or days"),
    "no step": ({"step": ""}, "step: expected minutes, hours or days"),
    "too many steps": ({"from": "1990-01-01T00:00:00Z", "step": "1m"}, "step: gives more than 2000 steps"),
    "the first minute there is": ({"until": "0001-01-01T00:00:00Z"}, "until: is no time"),
    "the last minute there is": ({"until": "9999-12-31T23:59:59Z"}, "until: is no time"),
    "an unknown group": (
        {"group_by": "colour"},
        "group_by: expected any of channel, country, messaging_service_sid, error_code",
    ),
    "a group of counts": ({"group_by": "channel,status"}, "statuses are counted apart already"),
    "a parameter that is not there": ({"form": "2026-03-01T00:00:00Z"}, "There is no query parameter 'form' here"),
}


@pytest.mark.parametrize(("parameters", "detail"), NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused(client: TestClient[Litestar], parameters: dict[str, str], detail: str) -> None:
    """With what was expected."""
    answer = client.get("/api/stats", params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert detail in answer.json()["detail"]


def test_too_long_an_answer_is_refused(database_url: str, connection: psycopg.Connection[Any]) -> None:
    """With what to ask instead; a coarser question is answered."""
    connection.execute(
        "INSERT INTO delivery_stats SELECT '2026-03-01 12:00Z'::timestamptz + n %% 2000 * interval '1 min', 'sms', n::text, '', '', 1, 0, 0, 0, 0, 0, 0, 0"
        " FROM generate_series(1, %s) AS n",
        [MAX_ROWS],
    )
    with answering(database_url) as client:
        parameters = {"from": "2026-03-01T12:00:00Z", "until": "2026-03-02T21:20:00Z", "step": "1m"}
        refused = client.get("/api/stats", params={**parameters, "group_by": "country"})
        assert refused.status_code == 400
        assert "longer steps, a shorter range or fewer groups" in refused.json()["detail"]
        [series] = client.get("/api/stats", params=parameters).json()["series"]
        assert series["total"]["messages"] == MAX_ROWS


def test_groups_may_be_repeated_or_listed(client: TestClient[Litestar]) -> None:
    """The same question."""
    listed = client.get("/api/stats", params={**WHOLE, "group_by": "country,channel"}).json()
    assert listed == ask(client, ["channel", "country", "country"])


def test_it_needs_the_token(stats_url: str) -> None:
    """As the rest of the API does."""
    with answering(stats_url, token="secret-of-the-api") as client:  # of nobody's server
        assert client.get("/api/stats").status_code == 401
        assert client.get("/api/stats", headers={"authorization": "Bearer secret-of-the-api"}).status_code == 200
