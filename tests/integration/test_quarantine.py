"""The quarantine: read by API, page and command, and one callback accepted as an event, once."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, SID, append, event, quarantined
from tracker.commands.quarantine import command
from tracker.postgres.roles import Role, conninfo

VOICE = UUID(int=1)
READABLE = UUID(int=2)
KEYLESS = UUID(int=3)
HOSTILE = UUID(int=4)

BODY = urlencode(
    [
        ("MessageSid", SID),
        ("MessageStatus", "delivered"),
        ("MessageStatus", "failed"),
        ("AccountSid", ACCOUNT.upper()),
        ("From", "+15557122661"),
        ("To", "whatsapp:+15558675310"),
        ("RawDlrDoneDate", "2603011206"),
    ]
)

CALLBACKS = (
    quarantined("no_message_sid", "CallSid=CA1&CallStatus=completed", 0, identity=VOICE),
    quarantined("invalid_status", BODY, 60, identity=READABLE),
    quarantined("invalid_status", f"MessageSid={SID}&MessageStatus=sent", 120, identity=KEYLESS, key_id="shared"),
    quarantined("no_status", f"MessageSid={SID}&%1B%5D0%3B=%C2%9B31m%E2%80%AE&X=" + "y" * 5000, 180, identity=HOSTILE),
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any ``.env``."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def quarantine_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database with ``CALLBACKS``, none of which is accepted."""
    with postgres.database() as url:
        append(url, CALLBACKS)
        yield url


@pytest.fixture(scope="module")
def client(quarantine_url: str) -> Iterator[TestClient[Litestar]]:
    """A server that answers from it."""
    with answering(quarantine_url) as client:
        yield client


def run(url: str, *arguments: str) -> Result:
    """The command on this database."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url, "COLUMNS": "160", "LOGNAME": "auditor-7"})


def ids(page: Any) -> list[UUID]:
    """The callbacks of a page."""
    return [UUID(each["quarantine_id"]) for each in page["callbacks"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [HOSTILE, KEYLESS, READABLE, VOICE]),
        ({"reason": "invalid_status"}, [KEYLESS, READABLE]),
        ({"reason": "ambiguous"}, []),
        ({"since": "2026-03-01T12:01:00Z"}, [HOSTILE, KEYLESS, READABLE]),
        ({"until": "2026-03-01T12:01:00Z"}, [VOICE]),
        ({"since": "2026-03-01T12:00:30Z", "until": "2026-03-01T12:02:30Z"}, [KEYLESS, READABLE]),
        ({"accepted": "false"}, [HOSTILE, KEYLESS, READABLE, VOICE]),
        ({"accepted": "true"}, []),
    ],
)
def test_the_list_is_filtered_and_paged(
    client: TestClient[Litestar], query: dict[str, str], expected: list[UUID]
) -> None:
    """Newest first; pages of one make the same list."""
    assert ids(client.get("/api/quarantine", params=query).json()) == expected
    seen: list[UUID] = []
    cursor: str | None = None
    for _ in range(len(expected) + 1):
        page = client.get(
            "/api/quarantine", params=query | {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += ids(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert (seen, cursor) == (expected, None)


def test_a_callback_says_what_it_states(client: TestClient[Litestar]) -> None:
    """The first value of each name, all values as sent, and a fingerprint instead of the signature."""
    found = client.get(f"/api/quarantine/{READABLE}").json()
    assert found["reading"] == {
        "account_sid": ACCOUNT,
        "message_sid": SID,
        "status": "delivered",
        "error_code": None,
        "raw_dlr_done_date": "2603011206",
        "channel": "whatsapp",
        "from": "+15557122661",
        "to": "whatsapp:+15558675310",
        "messaging_service_sid": None,
        "error_message": None,
    }
    assert found["params"]["MessageStatus"] == ["delivered", "failed"]
    assert (found["body"], found["reason"], found["acceptance"]) == (BODY, "invalid_status", None)
    assert found["signature_fingerprint"] == hashlib.sha256(b"c2lnbmF0dXJl").hexdigest()[:16]
    assert "c2lnbmF0dXJl" not in json.dumps(found)


def test_what_names_no_message_has_no_reading(client: TestClient[Litestar]) -> None:
    """Nor has, in the list, what is long; by itself it is read."""
    assert client.get(f"/api/quarantine/{VOICE}").json()["reading"] is None
    listed = client.get("/api/quarantine", params={"reason": "no_status"}).json()["callbacks"]
    assert listed[0]["reading"] is None
    assert listed[0]["body_bytes"] > 5000


def test_nothing_of_it_steers_a_terminal(client: TestClient[Litestar], quarantine_url: str) -> None:
    """Control and bidirectional characters are escapes in JSON, on pages and in the command's output."""
    answer = client.get(f"/api/quarantine/{HOSTILE}")
    texts = [
        answer.text,
        client.get(f"/quarantine/{HOSTILE}").text,
        run(quarantine_url, "show", str(HOSTILE)).stdout,
        run(quarantine_url, "show", str(HOSTILE), "--json").stdout,
    ]
    for text in texts:
        assert not set("\x1b\x9b\u202e") & set(text)
        assert r"\u009b31m\u202e" in text
    assert answer.json()["params"]["\x1b]0;"] == "\x9b31m\u202e"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/quarantine/x", 400, "expected a UUID"),
        (f"/api/quarantine/{UUID(int=99)}", 404, "There is no quarantined callback"),
        ("/api/quarantine?reason=no_satus", 400, "reason: expected no_message_sid, invalid_message_sid, no_status"),
        ("/quarantine?reason=ambiguos", 400, "ambiguous or opt_out"),
        ("/api/quarantine?cursor=abc", 400, "cursor: is no next_cursor"),
        ("/api/quarantine?accepted=perhaps", 400, "accepted: expected true or false"),
        ("/api/quarantine?since=2099-01-01T00:00:00Z", 400, "since: lies in the future"),
        ("/api/quarantine?what=x", 400, "There is no query parameter 'what' here"),
        ("/quarantine/x", 400, "expected a UUID"),
        (f"/quarantine/{UUID(int=99)}", 404, "There is no quarantined callback"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(client: TestClient[Litestar], path: str, status: int, words: str) -> None:
    """In words, as JSON or as a page."""
    answer = client.get(path)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_pages_show_it(client: TestClient[Litestar]) -> None:
    """List, one callback, and the number of those that wait on the overview; empty fields of the form are no filters."""
    page = client.get("/quarantine?reason=&since=&until=&accepted=false").text
    assert page.count('href="./quarantine/0') == 4
    assert "invalid_status" in client.get(f"/quarantine/{READABLE}").text
    assert "has a status that cannot be one" in client.get(f"/quarantine/{READABLE}").text
    assert "4 waiting" in client.get("/").text
    assert "No callback passes these filters" in client.get("/quarantine?reason=ambiguous").text


def test_an_accepted_callback_becomes_an_event_once(database_url: str) -> None:
    """With its own evidence and time of receipt; a second acceptance says so and adds nothing."""
    append(database_url, [event("sent", 30), *CALLBACKS])
    result = run(database_url, "accept", str(READABLE), "--reason", "checked in Twilio's console")
    assert result.exit_code == 0, result.output
    assert SID in result.stdout
    with answering(database_url) as client:
        events = client.get(f"/api/messages/{SID}/events").json()["events"]
        kept = client.get(f"/api/quarantine/{READABLE}").json()
        assert ids(client.get("/api/quarantine", params={"accepted": "true"}).json()) == [READABLE]
        assert READABLE not in ids(client.get("/api/quarantine", params={"accepted": "false"}).json())
        assert client.get(f"/api/messages/{SID}").json()["status"] == "delivered"
    accepted = events[-1]
    assert len(events) == 2
    assert (accepted["status"], accepted["account_sid"], accepted["source"]) == ("delivered", ACCOUNT, "callback")
    for name in ("received_at", "body", "url", "key_id", "signature_fingerprint", "idempotency_token"):
        assert accepted[name] == kept[name], name
    acceptance = kept["acceptance"]
    assert (acceptance["reason"], acceptance["event_id"]) == ("checked in Twilio's console", accepted["event_id"])
    assert acceptance["accepted_by"] == "auditor-7"
    again = run(database_url, "accept", str(READABLE), "--reason", "once more")
    assert again.exit_code == 0
    assert "accepted before" in again.stderr
    assert "checked in Twilio's console" in again.stderr
    with answering(database_url) as client:
        assert len(client.get(f"/api/messages/{SID}/events").json()["events"]) == 2


def test_the_account_is_that_of_the_key_where_the_body_names_none(database_url: str) -> None:
    """A shared key names none either."""
    named = quarantined(
        "invalid_status", f"MessageSid={SID}&MessageStatus=sent", identity=VOICE, key_id=f"{ACCOUNT}/01234567"
    )
    append(database_url, [named, CALLBACKS[2]])
    for identity in (VOICE, KEYLESS):
        assert run(database_url, "accept", str(identity), "--reason", "x").exit_code == 0
    with psycopg.connect(database_url) as connection:
        accounts = connection.execute("SELECT account_sid FROM events ORDER BY position").fetchall()
    assert accounts == [(ACCOUNT,), (None,)]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("accept", str(VOICE), "--reason", "x"), 1, "names no message or no status"),
        (("accept", str(UUID(int=99)), "--reason", "x"), 1, "There is no quarantined callback"),
        (("accept", "x", "--reason", "x"), 2, "expected the quarantine_id, a UUID"),
        (("accept", str(READABLE), "--reason", " "), 2, "expected 1 to 1000 characters"),
        (("accept", str(READABLE), "--reason", "x" * 1001), 2, "expected 1 to 1000 characters"),
        (("accept", str(READABLE)), 2, "Missing option '--reason'"),
        (("show", str(UUID(int=99))), 1, "There is no quarantined callback"),
        (("list", "--since", "noon"), 2, "expected an RFC 3339 time"),
        (("list", "--reason", "no_satus"), 2, "is not one of 'no_message_sid'"),
    ],
)
def test_what_the_command_cannot_do(
    quarantine_url: str, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    """Clear words on stderr, nothing in the log."""
    result = run(quarantine_url, *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert words in " ".join(result.stderr.replace("│", " ").split())
    with psycopg.connect(quarantine_url) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_command_lists(quarantine_url: str) -> None:
    """A line per callback, or JSON as the API has it; a hint where more follow."""
    result = run(quarantine_url, "list", "--limit", "2")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0].startswith("0000")] == [str(HOSTILE), str(KEYLESS)]
    assert "Older ones follow" in result.stderr
    listed = json.loads(run(quarantine_url, "list", "--json", "--waiting").stdout)
    with answering(quarantine_url) as client:
        assert listed == client.get("/api/quarantine", params={"accepted": "false"}).json()["callbacks"]
    none = run(quarantine_url, "list", "--reason", "ambiguous")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "None passes these filters.\n")


def test_two_acceptances_at_once_append_one_event(database_url: str) -> None:
    """The second waits for the first, and finds it done."""
    append(database_url, CALLBACKS)
    service = conninfo(database_url, role=Role.SERVICE, application="tests")
    statement = "SELECT accept_quarantined(%s, 'a', 'r', NULL, %s, 'sent', NULL, NULL, 'sms', NULL, NULL, NULL, NULL)"
    with psycopg.connect(service) as first, psycopg.connect(service) as second:
        assert first.execute(statement, (READABLE, SID)).fetchone() == (True,)
        second.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute(statement, (READABLE, SID))
        second.rollback()
        first.commit()
        assert second.execute(statement, (READABLE, SID)).fetchone() == (False,)
        assert second.execute(statement, (UUID(int=99), SID)).fetchone() == (None,)


def test_acceptances_are_written_by_the_function_alone(database_url: str) -> None:
    """No role of ours may insert or change one, other roles may not accept, and even the owner cannot take one back."""
    append(database_url, CALLBACKS)
    for role in Role:
        with psycopg.connect(conninfo(database_url, role=role, application="tests"), autocommit=True) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(
                    "INSERT INTO quarantine_acceptances (quarantine_id, accepted_by, reason, event_id) VALUES (%s, 'x', 'x', %s)",
                    (READABLE, READABLE),
                )
            if role is not Role.SERVICE:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(
                        "SELECT accept_quarantined(%s, 'a', 'r', NULL, %s, 'sent', NULL, NULL, 'sms', NULL, NULL, NULL, NULL)",
                        (READABLE, SID),
                    )
    assert run(database_url, "accept", str(READABLE), "--reason", "x").exit_code == 0
    with psycopg.connect(database_url) as owner, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        owner.execute("DELETE FROM quarantine_acceptances")
