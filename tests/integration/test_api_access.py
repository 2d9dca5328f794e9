"""Who may ask, and what is answered when there is no answer: 401, unknown paths, a database that is away, a bug."""

import base64
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from structlog.testing import capture_logs

from tests.support.application import answering
from tests.support.events import SID, append, event
from tracker.queries import reads
from tracker.queries.reads import READ_SECONDS
from tracker.web.api import messages as api

TOKEN = "correct horse ü battery"
PROTECTED = (
    f"/api/messages/{SID}",
    f"/api/messages/{SID}/events",
    "/api/messages",
    "/api/stats",
    f"/messages/{SID}",
    "/schema/openapi.json",
)
FOR_PEOPLE = (f"/messages/{SID}", "/schema/openapi.json", "/schema")
SHORT_SECONDS = READ_SECONDS / 4
BOUND = SHORT_SECONDS + 6
"""Seconds: what a busy machine may add is less than any timeout below ours would take."""


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """An answer that does not come is waited for a quarter of the usual time: most tests here wait for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reads, "READ_SECONDS", SHORT_SECONDS)
        yield


@pytest.fixture(scope="module")
def nowhere() -> str:
    """A database URL behind which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres"


@pytest.fixture(scope="module")
def guarded(nowhere: str) -> Iterator[TestClient[Litestar]]:
    """A server with a token. Whoever is let in meets a database that is away, which is answered 503."""
    with answering(nowhere, TOKEN) as client:
        yield client


def bearer(token: str, scheme: str = "Bearer") -> dict[bytes, bytes]:
    """An Authorization header."""
    return {b"Authorization": f"{scheme} {token}".encode()}


def basic(user_and_password: str) -> dict[bytes, bytes]:
    """What a browser sends after it has asked."""
    return bearer(base64.b64encode(user_and_password.encode()).decode(), "Basic")


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param(bearer(""), id="empty"),
        pytest.param(bearer(TOKEN[:-1]), id="cut short"),
        pytest.param(bearer(TOKEN + "x"), id="too long"),
        pytest.param(bearer(TOKEN.upper()), id="capitals"),
        pytest.param({b"Authorization": b"Bearer"}, id="only the scheme"),
        pytest.param({b"Authorization": TOKEN.encode()}, id="no scheme"),
        pytest.param({b"Authorization": b"Bearer \xff\xfe"}, id="no text"),
        pytest.param(basic("anyone:wrong"), id="a wrong password"),
        pytest.param(basic(TOKEN), id="the token as the user"),
        pytest.param({b"Authorization": b"Basic !!!"}, id="no base64"),
    ],
)
def test_without_the_token_nothing_is_told(
    guarded: TestClient[Litestar], path: str, headers: dict[bytes, bytes]
) -> None:
    """401 for everything that tells something, naming the way in."""
    response = guarded.get(path, headers=headers)
    assert response.status_code == 401
    assert 'Bearer realm="tracker"' in response.headers["www-authenticate"]
    assert ("Basic" in response.headers["www-authenticate"]) == (path in FOR_PEOPLE)
    assert TOKEN not in response.text
    if path.startswith("/messages/"):
        assert response.headers["content-type"].startswith("text/html")
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["title"] == "Unauthorized"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens(guarded: TestClient[Litestar], scheme: str) -> None:
    """However the scheme is spelt (RFC 9110: its case does not matter)."""
    assert guarded.get("/schema/openapi.json", headers=bearer(TOKEN, scheme)).status_code == 200
    assert guarded.get(f"/api/messages/{SID}", headers=bearer(TOKEN, scheme)).status_code == 503


def test_a_browser_may_send_the_token_as_a_password(guarded: TestClient[Litestar]) -> None:
    """For what people open, whatever the user name; the API wants a bearer."""
    for user in ("", "anyone"):
        headers = basic(f"{user}:{TOKEN}")
        assert guarded.get("/schema/openapi.json", headers=headers).status_code == 200
        assert guarded.get(f"/messages/{SID}", headers=headers).status_code == 503
        assert guarded.get(f"/api/messages/{SID}", headers=headers).status_code == 401


def test_bad_input_is_not_told_from_good_without_the_token(guarded: TestClient[Litestar]) -> None:
    """Whoever has no token learns nothing from trying."""
    for path in ("/api/messages/x", "/api/messages?nonsense=1", "/schema/nothing", "/messages/x"):
        assert guarded.get(path).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        pytest.param("GET", "/api", 404, "There is nothing at this path.", id="api"),
        pytest.param("GET", "/api/message", 404, "There is nothing at this path.", id="unknown"),
        pytest.param("GET", "/api/messages/a/b/c", 404, "There is nothing at this path.", id="too deep"),
        pytest.param("GET", "/schema/swagger", 404, "There is nothing at this path.", id="a page that is not served"),
        pytest.param("POST", "/api/messages", 405, "POST is not allowed here.", id="POST"),
        pytest.param("DELETE", f"/api/messages/{SID}", 405, "DELETE is not allowed here.", id="DELETE"),
    ],
)
def test_wrong_paths_and_methods_are_problems(nowhere: str, method: str, path: str, status: int, detail: str) -> None:
    """Like everything else, and 405 says what is allowed."""
    with answering(nowhere) as client:
        response = client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["detail"] == detail
    if status == 405:
        assert "GET" in response.headers["allow"]


def assert_unanswered(response: Any, detail: str) -> None:
    """A 503 that says when to come again."""
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    assert response.headers["retry-after"] == "5"
    assert response.json()["detail"] == f"{detail} Try again in a few seconds."


@pytest.mark.parametrize("path", [f"/api/messages/{SID}", f"/api/messages/{SID}/events", "/api/messages"])
def test_a_database_that_is_away_is_a_503_in_bounded_time(nowhere: str, path: str) -> None:
    """Nobody waits for longer than the bound, and the log says of which message."""
    with answering(nowhere) as client, capture_logs() as logs:
        began = time.monotonic()
        response = client.get(path)
        took = time.monotonic() - began
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert took < BOUND
    (line,) = (line for line in logs if line["event"] == "request.unanswered")
    assert line.get("message_sid") == (SID if SID in path else None)


def test_a_database_that_hangs_is_a_503_and_is_used_again_when_it_answers(database_url: str) -> None:
    """The connections that hung are given back, each of them."""
    append(database_url, [event("sent")])
    with answering(database_url) as client:
        with psycopg.connect(database_url) as blocker:
            blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            for _ in range(3):
                began = time.monotonic()
                assert_unanswered(client.get(f"/api/messages/{SID}"), "The database did not answer within 0.5 seconds.")
                assert time.monotonic() - began < BOUND
        assert client.get(f"/api/messages/{SID}").json()["status"] == "sent"


def test_connections_that_died_are_not_noticed(database_url: str) -> None:
    """After a restart of the database the first question is answered, though every pooled connection is dead."""
    append(database_url, [event("sent")])
    with answering(database_url) as client, psycopg.connect(database_url, autocommit=True) as other:
        for _ in range(3):
            assert client.get(f"/api/messages/{SID}").status_code == 200
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


def test_a_bug_is_logged_whole_and_told_to_nobody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 without a word of what is inside; the log has the traceback, the message, and no variables."""

    async def broken(*_: object, **__: object) -> None:
        private = "to=+15558675310"  # noqa: F841  # pyright: ignore[reportUnusedVariable]  # must not be shown
        raise ValueError("secret detail")

    monkeypatch.setattr(api, "read_message", broken)
    with answering(database_url) as client, capture_logs() as logs:
        response = client.get(f"/api/messages/{SID}?as_of=2026-03-01T12:00:00Z")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json()["detail"] == "This is our fault. The log of the server says more."
    (line,) = (line for line in logs if line["event"] == "request.failed")
    assert (line["log_level"], line["message_sid"], line["handler"]) == ("error", SID, "/api/messages/{message_sid}")
    assert "ValueError: secret detail" in line["exception"]
    assert "15558675310" not in str(logs)
