"""Annotations: ``tracker annotate`` and ``POST /api/annotations``, and the table that nothing changes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from litestar import Litestar
from litestar.testing import TestClient
from psycopg.rows import TupleRow

from tests.support.application import answering
from tracker.commands.annotate import command
from tracker.postgres.roles import Role, conninfo
from tracker.queries.annotations import MAX_TEXT

AT = "2026-03-01T12:00:00Z"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORED = b"SELECT happened_at, text FROM annotations ORDER BY annotation_id"


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient[Litestar]]:
    """A server without a token."""
    with answering(database_url) as client:
        yield client


def run(database_url: str, *arguments: str) -> Result:
    """The command on this database."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": database_url})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any ``.env``."""
    monkeypatch.chdir(tmp_path)


def test_the_command_records_a_mark(database_url: str, connection: psycopg.Connection[TupleRow]) -> None:
    """At the moment that is given, or now; printed for a person, or as JSON."""
    result = run(database_url, " shop 4.2 deployed ", "--at", "2026-03-01T13:00:00+01:00")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2026-03-01 12:00:00 UTC  shop 4.2 deployed\n", "")
    before = datetime.now(UTC)
    as_json = json.loads(run(database_url, "shop 4.3 deployed", "--json").stdout)
    assert (as_json["annotation_id"], as_json["text"]) == (2, "shop 4.3 deployed")
    first, second = connection.execute(STORED).fetchall()
    assert first == (MOMENT, "shop 4.2 deployed")
    assert before <= second[0] <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((" ",), "one line of 1 to 200 characters"),
        (("x" * (MAX_TEXT + 1),), "one line of 1 to 200 characters"),
        (("two\nlines",), "without control characters"),
        (("a\x1b[31mred",), "without control characters"),
        (("right-to-left \u202e",), "without control characters"),
        (("text", "--at", "yesterday"), "RFC 3339"),
        (("text", "--at", "2026-03-01T12:00:00"), "RFC 3339"),
    ],
)
def test_what_cannot_be_a_mark_is_a_usage_error(
    arguments: tuple[str, ...], complaint: str, database_url: str, connection: psycopg.Connection[TupleRow]
) -> None:
    """Exit code 2 and the reason; nothing is stored."""
    result = run(database_url, *arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())
    assert connection.execute(STORED).fetchall() == []


def test_the_longest_text_is_accepted(database_url: str, connection: psycopg.Connection[TupleRow]) -> None:
    """Exactly as many characters as the limit says, whatever their bytes."""
    assert run(database_url, "ü" * MAX_TEXT, "--at", AT).exit_code == 0
    assert connection.execute(STORED).fetchall() == [(MOMENT, "ü" * MAX_TEXT)]


def test_a_database_without_the_table_is_explained(empty_database_url: str) -> None:
    """Exit code 1 and what to run first."""
    result = run(empty_database_url, "text")
    assert result.exit_code == 1
    assert "tracker migrate" in str(result.exception)


def test_the_api_records_a_mark(client: TestClient[Litestar], connection: psycopg.Connection[TupleRow]) -> None:
    """201 with the annotation as it was recorded."""
    answer = client.post("/api/annotations", json={"text": "shop 4.2 deployed", "happened_at": AT})
    assert (answer.status_code, answer.json()) == (
        201,
        {"annotation_id": 1, "happened_at": AT, "text": "shop 4.2 deployed"},
    )
    assert client.post("/api/annotations", json={"text": "now"}).status_code == 201
    assert [text for _, text in connection.execute(STORED)] == ["shop 4.2 deployed", "now"]


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ('{"text": ""}', "application/json", 400),
        ('{"text": "  "}', "application/json", 400),
        ('{"text": "two\\nlines"}', "application/json", 400),
        (json.dumps({"text": "x" * (MAX_TEXT + 1)}), "application/json", 400),
        ('{"text": "x", "happened_at": "yesterday"}', "application/json", 400),
        ('{"text": "x", "hapened_at": "2026-03-01T12:00:00Z"}', "application/json", 400),
        ('{"text": 7}', "application/json", 400),
        ("no JSON", "application/json", 400),
        (json.dumps({"text": "x" * 5000}), "application/json", 413),
        ('{"text": "x"}', "text/plain", 415),
        ("text=x", "application/x-www-form-urlencoded", 415),
    ],
)
def test_what_cannot_be_a_mark_is_refused(
    body: str, media_type: str, status: int, client: TestClient[Litestar], connection: psycopg.Connection[TupleRow]
) -> None:
    """A problem with its reason, and nothing stored. A form or plain text, which another site's page can make a browser send, is 415."""
    answer = client.post("/api/annotations", content=body, headers={"content-type": media_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert connection.execute(STORED).fetchall() == []


def test_the_token_is_needed_where_there_is_one(database_url: str, connection: psycopg.Connection[TupleRow]) -> None:
    """401 without it, and with it as a browser's password; 201 with it as a bearer token."""
    with answering(database_url, "s3cret") as client:
        body = {"text": "shop 4.2 deployed"}
        assert client.post("/api/annotations", json=body).status_code == 401
        assert client.post("/api/annotations", json=body, auth=("anyone", "s3cret")).status_code == 401
        assert connection.execute(STORED).fetchall() == []
        answer = client.post("/api/annotations", json=body, headers={"Authorization": "Bearer s3cret"})
        assert answer.status_code == 201


@pytest.mark.parametrize(
    "statement",
    [b"UPDATE annotations SET text = 'x'", b"DELETE FROM annotations", b"TRUNCATE annotations"],
)
def test_not_even_the_owner_changes_a_mark(
    statement: bytes, database_url: str, connection: psycopg.Connection[TupleRow]
) -> None:
    """A trigger refuses it."""
    run(database_url, "text")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        connection.execute(statement)


def test_the_service_cannot_choose_when_a_mark_was_recorded(database_url: str) -> None:
    """It inserts the moment and the text; the rest is the database's. The reader inserts nothing."""
    with psycopg.connect(conninfo(database_url, role=Role.SERVICE, application="test"), autocommit=True) as service:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute("INSERT INTO annotations (text, recorded_at) VALUES ('x', '2020-01-01T00:00Z')")
        service.execute("INSERT INTO annotations (text) VALUES ('x')")
    with psycopg.connect(conninfo(database_url, role=Role.READER, application="test"), autocommit=True) as reader:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("INSERT INTO annotations (text) VALUES ('x')")
        assert reader.execute("SELECT text FROM annotations").fetchall() == [("x",)]


@pytest.mark.parametrize("text", ["", "x" * 201, "two\nlines", "\x1b"])
def test_the_table_refuses_what_the_program_would(text: str, connection: psycopg.Connection[TupleRow]) -> None:
    """The bound holds for whoever writes past the program."""
    with pytest.raises(psycopg.errors.CheckViolation, match="annotations_text_is_one_short_line"):
        connection.execute("INSERT INTO annotations (text) VALUES (%s)", (text,))


def test_the_endpoint_is_documented(client: TestClient[Litestar]) -> None:
    """With its body, its answer and every problem."""
    operation = client.get("/schema/openapi.json").json()["paths"]["/api/annotations"]["post"]
    assert operation["requestBody"]["content"].keys() == {"application/json"}
    assert operation["responses"].keys() == {"201", "400", "401", "403", "413", "415", "503"}
