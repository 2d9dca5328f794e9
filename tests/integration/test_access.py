"""Access to a real server: from this machine, through a tunnel, from a browser's page, with and without the API token."""

import socket
import stat
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from projections.runner import RUNNER_LOCK
from tests.support.database import PostgresForTests
from tests.support.events import message_sid
from tests.support.serving import (
    ACCOUNT_SID,
    FORM,
    PATH,
    TOKEN,
    Tracker,
    callback,
    running_tracker,
    sign,
    starting_tracker,
)
from tests.support.waiting import wait_until
from tracker.postgres.roles import Role, conninfo
from tracker.postgres.sql_files import query
from tracker.web.access.tokens import LOCAL_ONLY

PUBLIC_URL = "https://tracker.example.com"
VICTIM = message_sid(77)
PRIVATE = (
    "/", f"/messages/{VICTIM}", "/api/messages", f"/api/messages/{VICTIM}", f"/api/messages/{VICTIM}/events", "/api/stats", "/metrics",
    "/schema", "/schema/openapi.json", "/schema/openapi.yaml",
)  # fmt: skip
"""All that tells something."""

FOREIGN = (
    {"host": "evil.example"},
    {"host": "tracker.example.com"},
    {"host": "localhost.evil.example:8000"},
    {"host": "0.0.0.0:8000"},
    {"x-forwarded-for": "192.0.2.1"},
    {"x-forwarded-host": "localhost"},
    {"forwarded": "for=192.0.2.1"},
    {"via": "1.1 proxy"},
    {"cf-connecting-ip": "192.0.2.1"},
)
"""Headers of requests that come from a page in a browser (DNS rebinding), or through a tunnel or a proxy on this machine."""


@pytest.fixture(scope="module")
def module_database_url(postgres: PostgresForTests) -> Iterator[str]:
    """One database for all servers of this module."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def local(module_database_url: str) -> Iterator[Tracker]:
    """A server without a public URL and without an API token, behind nothing that it knows of; one message is in its log."""
    with running_tracker(module_database_url) as tracker:
        tracker.post_ok("sent", 77)
        tracker.wait_projected()
        yield tracker


@pytest.fixture(scope="module")
def stderr_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server of the README says."""
    return tmp_path_factory.mktemp("stderr") / "stderr"


@pytest.fixture(scope="module")
def tunnelled(module_database_url: str, stderr_file: Path) -> Iterator[Tracker]:
    """The server of the README's first real callback: a public URL, Twilio's token, nothing else."""
    with (
        stderr_file.open("wb") as stderr,
        running_tracker(module_database_url, stderr=stderr, PUBLIC_BASE_URL=PUBLIC_URL) as tracker,
    ):
        yield tracker


@pytest.fixture(scope="module")
def status(module_database_url: str) -> str:
    """The status of a sound server on this database: degraded where the test server itself has a fault, such as fsync off."""
    info = conninfo(module_database_url, role=Role.SERVICE, application="test")
    with psycopg.connect(info) as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query("read_database_faults"), {"runner_key": RUNNER_LOCK}).fetchone()
    assert row is not None
    found = {name for name, is_present in row.items() if is_present}
    assert found <= {"fsync_off", "login_is_superuser"}
    return "degraded" if found else "ok"


def made_token(tracker: Tracker) -> str:
    """The token that the server made."""
    return (tracker.data_dir / "api-token").read_text(encoding="ascii")


def bearer(token: str) -> dict[str, str]:
    """An Authorization header."""
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", PRIVATE)
def test_without_a_token_this_machine_is_answered_and_no_other(local: Tracker, path: str) -> None:
    """A Host of this machine: 200. Any other Host, or a header of a proxy: 403 with advice, and nothing that is in the log."""
    for host in (f"localhost:{local.port}", f"127.0.0.1:{local.port}", f"[::1]:{local.port}", "localhost"):
        assert local.client.get(path, headers={"host": host}).status_code == HTTPStatus.OK, host
    for headers in FOREIGN:
        answer = local.client.get(path, headers=headers)
        assert answer.status_code == HTTPStatus.FORBIDDEN, headers
        assert VICTIM not in answer.text and "tracker_" not in answer.text
        if path == "/" or path.startswith("/messages/"):
            assert "TRACKER_API_TOKEN" in answer.text
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"] == LOCAL_ONLY


def test_a_second_host_does_not_help(local: Tracker) -> None:
    """Programs differ in which of two they read."""
    for hosts in (("evil.example", "localhost"), ("localhost", "evil.example")):
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        with socket.create_connection(("127.0.0.1", local.port)) as connection:
            connection.sendall(f"GET /api/messages HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read()
        assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))
        assert VICTIM.encode() not in answer


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_health_from_elsewhere_is_a_status(local: Tracker, status: str, headers: dict[str, str]) -> None:
    """/livez and /readyz answer orchestrators wherever they are, without details; /healthz answers this machine only."""
    assert local.client.get("/livez", headers=headers).json() == {"status": "ok"}
    answer = local.client.get("/readyz", headers=headers)
    assert (answer.status_code, answer.json()) == (HTTPStatus.OK, {"status": status})
    assert local.reasons() == []
    assert local.client.get("/healthz", headers=headers).status_code == HTTPStatus.FORBIDDEN
    assert local.client.get("/readyz").json()["position"] >= 1
    assert local.client.get("/healthz").json()["projections"]


@pytest.mark.parametrize("path", PRIVATE)
def test_a_tunnel_exposes_nothing(tunnelled: Tracker, path: str) -> None:
    """With a public URL everything needs the token that was made, from this machine too; the token opens it from anywhere."""
    through_tunnel = {"host": "tracker.example.com", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"}
    for headers in (
        through_tunnel,
        {},
        {"host": "evil.example"},
        through_tunnel | bearer("wrong"),
        {"authorization": "Bearer"},
    ):
        answer = tunnelled.client.get(path, headers=headers)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED, headers
        assert VICTIM not in answer.text and "tracker_" not in answer.text
    answer = tunnelled.client.get(path, headers=through_tunnel | bearer(made_token(tunnelled)))
    assert answer.status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/", "/schema", "/metrics", "/readyz", "/healthz"])
def test_the_token_is_the_password_of_http_basic(tunnelled: Tracker, path: str) -> None:
    """For what people open in a browser, with any user name."""
    answer = tunnelled.client.get(path, auth=httpx.BasicAuth("anyone", made_token(tunnelled)))
    assert answer.status_code == HTTPStatus.OK
    assert path in {"/", "/schema", "/metrics"} or "position" in answer.json()


def test_details_of_health_need_the_token(tunnelled: Tracker, status: str) -> None:
    """Without it, or with a wrong one: the status."""
    for path in ("/readyz", "/healthz"):
        for headers in ({}, bearer("wrong"), {"host": "evil.example"}):
            answer = tunnelled.client.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (HTTPStatus.OK, {"status": status})
        answer = tunnelled.client.get(path, headers=bearer(made_token(tunnelled)))
        assert answer.json().keys() - {"reasons"} == {"status", "position", "projections"}
        assert ("reasons" in answer.json()) == (status == "degraded")


def test_the_token_is_kept_for_its_owner_and_named_at_the_start(tunnelled: Tracker, stderr_file: Path) -> None:
    """The banner has the path and not the token; no log line has either."""
    path = tunnelled.data_dir / "api-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = stderr_file.read_text()
    assert f"API token          {path}" in said
    assert made_token(tunnelled) not in said


def test_callbacks_need_no_api_token(tunnelled: Tracker) -> None:
    """Twilio signs for the public URL, through the tunnel."""
    params = callback("delivered", message_sid(78))
    for host in ("tracker.example.com", f"127.0.0.1:{tunnelled.port}", "anything"):
        answer = tunnelled.client.post(
            PATH,
            content=urlencode(params),
            headers={
                "host": host,
                "content-type": FORM,
                "x-twilio-signature": sign(PUBLIC_URL + PATH, list(params.items())),
            },
        )
        assert answer.status_code == HTTPStatus.OK


def forgery(before: str) -> tuple[str, str, str]:
    """What a vendor posts who has seen the signature of another webhook of the account: the inbound message that he sent it himself.

    before: what precedes the signed parameters in the Host. Returns the Host, the body and the signature.
    """
    body = f"hi{PATH}MessageSid{VICTIM}MessageStatusdeliveredzzzz"
    inbound = [("AccountSid", ACCOUNT_SID), ("ApiVersion", "2010-04-01"), ("Body", body)]
    signature = sign(f"http://{before}", inbound)
    host = f"{before}AccountSid{ACCOUNT_SID}ApiVersion2010-04-01Bodyhi"
    return host, urlencode([("MessageSid", VICTIM), ("MessageStatus", "delivered"), ("z", "zzz")]), signature


def events_of_victim(url: str) -> int:
    """How many events the message has."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM events WHERE message_sid = %s", [VICTIM]).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    "before", ["vendor.example/sms", "vendor.example/sms?x=", "vendor.example", "a b", "x#y", "u:p@h:80"]
)
def test_a_signature_of_another_webhook_makes_no_event(local: Tracker, module_database_url: str, before: str) -> None:
    """Twilio signs URL and parameters without a delimiter: a Host that carries parameters must not be believed."""
    host, body, signature = forgery(before)
    events = events_of_victim(module_database_url)
    counted = local.metric('tracker_callbacks_total{result="unknown_host"}')
    answer = local.client.post(
        PATH, content=body, headers={"host": host, "content-type": FORM, "x-twilio-signature": signature}
    )
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert answer.headers["content-type"] == "application/problem+json"
    assert events_of_victim(module_database_url) == events
    assert local.metric('tracker_callbacks_total{result="unknown_host"}') == counted + 1


def test_a_clean_host_of_somebody_else_is_not_believed_either(local: Tracker, module_database_url: str) -> None:
    """Twilio signed it for that host's webhook. The log says what to set."""
    params = list(callback("delivered", VICTIM).items())
    events = events_of_victim(module_database_url)
    for host in ("vendor.example", "status.example.com:443", ""):
        answer = local.client.post(
            PATH,
            content=urlencode(params),
            headers={
                "host": host,
                "content-type": FORM,
                "x-twilio-signature": sign(f"http://{host}{PATH}", params),
            },
        )
        assert answer.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST}
    assert events_of_victim(module_database_url) == events


@pytest.mark.parametrize("base_url", ["", PUBLIC_URL])
def test_forwarded_headers_are_no_part_of_the_url(module_database_url: str, base_url: str) -> None:
    """Neither from a trusted proxy, nor from anyone else, nor where no URL is configured."""
    # An empty value is an unset one.
    proxies = "127.0.0.0/8" if base_url else ""
    with running_tracker(module_database_url, PUBLIC_BASE_URL=base_url, TRACKER_TRUSTED_PROXIES=proxies) as tracker:
        forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "vendor.example", "x-forwarded-prefix": "/p"}
        params = list(callback("delivered", VICTIM).items())
        own = base_url or tracker.base_url
        answers = [
            tracker.client.post(
                PATH,
                content=urlencode(params),
                headers=forwarded | {"content-type": FORM, "x-twilio-signature": sign(url + PATH, params)},
            ).status_code
            for url in ("https://vendor.example/p", "https://vendor.example", own)
        ]
    assert answers == [HTTPStatus.FORBIDDEN, HTTPStatus.FORBIDDEN, HTTPStatus.OK]


def test_an_unknown_host_is_logged_with_advice(module_database_url: str, tmp_path: Path) -> None:
    """Once per ten seconds, whatever number of requests."""
    with (tmp_path / "stderr").open("wb") as stderr, running_tracker(module_database_url, stderr=stderr) as tracker:
        for _ in range(20):
            answer = tracker.post(callback("sent"), host="evil.example", x_twilio_signature="A" * 27 + "=")
            assert answer.status_code == HTTPStatus.FORBIDDEN
        wait_until(lambda: "unknown_host" in (tmp_path / "stderr").read_text(), "the log line")
    lines = [line for line in (tmp_path / "stderr").read_text().splitlines() if "callback.refused" in line]
    assert len(lines) <= 2
    assert "set PUBLIC_BASE_URL" in lines[0]


@pytest.mark.parametrize("path", [*PRIVATE, "/livez", "/readyz", "/healthz"])
def test_head_is_get_without_the_body(local: Tracker, path: str) -> None:
    """Same status and headers; the connection goes on."""
    got, head = local.client.get(path), local.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path not in {"/", "/metrics", "/readyz", "/healthz"}:  # these differ from one moment to the next
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


def test_head_opens_nothing(tunnelled: Tracker, local: Tracker) -> None:
    """It needs what GET needs, and the webhook answers neither."""
    assert tunnelled.client.head("/api/messages").status_code == HTTPStatus.UNAUTHORIZED
    assert local.client.head("/api/messages", headers={"host": "evil.example"}).status_code == HTTPStatus.FORBIDDEN
    assert local.client.head("/nothing").status_code == HTTPStatus.NOT_FOUND
    for method in ("HEAD", "GET"):
        answer = local.client.request(method, PATH)
        assert (answer.status_code, answer.headers["allow"]) == (HTTPStatus.METHOD_NOT_ALLOWED, "POST")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in (*PRIVATE, "/livez", "/readyz", "/healthz")),
        ("GET", "/nothing"),
        ("DELETE", "/api/messages"),
        ("GET", "/api/messages?nonsense=1"),
        ("GET", f"/api/messages/{message_sid(999)}"),
        ("GET", PATH),
        ("POST", PATH),
    ],
)
def test_no_cache_keeps_an_answer_and_no_browser_guesses_its_type(local: Tracker, method: str, path: str) -> None:
    """API, pages, metrics, health, document and problems; also where access is refused."""
    for headers in ({}, {"host": "evil.example"}):
        answer = local.client.request(method, path, headers=headers)
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("cache-control") == ["no-store"]
    is_page = path == "/" or path.startswith("/messages/")
    assert ("content-security-policy" in answer.headers) == is_page


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN: must be set, because TWILIO_ACCOUNT_SID is"),
        ({"TRACKER_TRUSTED_PROXIES": "127.0.0.1"}, "PUBLIC_BASE_URL: must be set, because TRACKER_TRUSTED_PROXIES is"),
        (
            {"TRACKER_HOST": "0.0.0.0", "TRACKER_API_TOKEN": "x"},
            "PUBLIC_BASE_URL: must be set, because TRACKER_HOST 0.0.0.0 is no loopback address",
        ),
        ({"TRACKER_HOST": "0.0.0.0", "PUBLIC_BASE_URL": PUBLIC_URL}, "TRACKER_API_TOKEN: must be set"),
    ],
)
def test_an_unsafe_start_is_refused(tmp_path: Path, environment: dict[str, Any], complaint: str) -> None:
    """With the one message of settings, exit code 2, before anything is made."""
    with (
        (tmp_path / "stderr").open("wb") as stderr,
        starting_tracker(data_dir=tmp_path / "data", stderr=stderr, **environment) as (process, _),
    ):
        assert process.wait(60) == 2
    assert complaint in (tmp_path / "stderr").read_text()
    assert TOKEN not in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "data").exists()
