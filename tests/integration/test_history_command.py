"""``tracker history``: for a person, and for a program."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from rich.console import Console

from tests.support.application import answering
from tests.support.events import ACCOUNT, SID, append, event
from tracker.commands.history import command
from tracker.commands.tables.history_table import print_history
from tracker.errors import DatabaseUnavailableError
from tracker.queries.history import History
from tracker.queries.history_reader import Answer, read_message

HISTORY = (
    event("queued", 0),
    event("delivered", 5, RawDlrDoneDate="2602281000"),
    event("sent", 2),
    event("undelivered", 7, ErrorCode="30003", RawDlrDoneDate="2603011201"),
    event("undelivered", 8),
    event("tele\x1b[31mported", 9, To="[bold]+447400123456", From="\x9b31m\u202e+1"),
)


def run(database_url: str, *arguments: str) -> Result:
    """The command on this database, without any other setting."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": database_url, "COLUMNS": "160"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any ``.env``."""
    monkeypatch.chdir(tmp_path)


def test_a_person_sees_state_events_and_reasons(database_url: str) -> None:
    """The state on top, a line an event, a mark at what decides, and a sentence for what is not obvious."""
    append(database_url, HISTORY)
    result = run(database_url, SID)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for expected in (
        f"message {SID}",
        "status undelivered, final",
        "error 30003 phone off or out of reach",
        (
            "why ◀ Position 4 decides, with undelivered: the carrier dates it more than 26 hours later, 2026-03-01 12:01 over "
            "2026-02-28 10:00, which no difference of"
        ),
        "route sms, +15557122661 to +15558675310",
        f"account {ACCOUNT}",
        "sent 2026-03-01 12:00:02.000 UTC, received",
        "delivered 2026-03-01 12:00:05.000 UTC, received",
        "position received (UTC) status error carrier's done date effect",
        "1 2026-03-01 12:00:00.000 queued decided",
        "2 2026-03-01 12:00:05.000 delivered 2026-02-28 10:00 decided",
        "3 2026-03-01 12:00:02.000 sent late",
        "4 2026-03-01 12:00:07.000 undelivered 30003 phone off or out of reach 2026-03-01 12:01 corrected ◀",
        "5 2026-03-01 12:00:08.000 undelivered late",
        "Position 3 said sent after position 2 had said delivered: late, the message stays delivered.",
        "Position 5 said undelivered after position 4 had said undelivered: late, the message stays undelivered.",
    ):
        assert expected in lines, result.stdout


def test_what_came_from_outside_does_not_steer_the_terminal(database_url: str) -> None:
    """Escape sequences, bidirectional overrides and rich's own markup are shown as text, in tables and in JSON."""
    append(database_url, HISTORY)
    document = run(database_url, SID, "--json").stdout
    for steering in "\x1b\x9b\x7f\u202e":
        assert steering not in document
    assert json.loads(document)["events"][-1]["from"] == "\x9b31m\u202e+1"
    result = run(database_url, SID)
    assert "\x1b" not in result.stdout
    assert r"tele\u001b[31mported" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "positions"),
    [
        pytest.param((), "undelivered", [1, 2, 3, 4, 5, 6], id="now"),
        pytest.param(("--as-of", "2026-03-01T12:00:05Z"), "delivered", [1, 2, 3], id="known"),
        pytest.param(("--as-of", "2026-03-01T12:00:01Z", "--clock", "happened"), "delivered", [1, 2], id="happened"),
    ],
)
def test_a_program_gets_the_answers_of_the_api(
    database_url: str, arguments: tuple[str, ...], status: str, positions: list[int]
) -> None:
    """State and events, word for word, as of any moment, and nothing else on stdout."""
    append(database_url, HISTORY)
    result = run(database_url, SID, "--json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert told["state"]["status"] == status
    assert [each["position"] for each in told["events"]] == positions
    query = {
        name.strip("-").replace("-", "_"): value for name, value in zip(arguments[::2], arguments[1::2], strict=True)
    }
    with answering(database_url) as client:
        assert told["state"] == client.get(f"/api/messages/{SID}", params=query).json()
        events = client.get(f"/api/messages/{SID}/events", params=query).json()
    assert told == {"state": told["state"], **events}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        pytest.param(("SM" + "0" * 32,), 1, "Nothing is known of SM" + "0" * 32, id="unknown"),
        pytest.param((SID, "--as-of", "2020-01-01T00:00:00Z"), 1, f"Nothing was known of {SID}", id="not yet known"),
        pytest.param((SID, "--json", "--as-of", "2020-01-01T00:00:00Z"), 1, "Nothing was known of", id="as JSON too"),
        pytest.param(("hello",), 2, "expected SM or MM and 32 hexadecimal digits", id="no SID"),
        pytest.param((SID + "\n",), 2, "expected SM or MM and 32 hexadecimal digits", id="newline"),
        pytest.param((SID, "--as-of", "noon"), 2, "expected an RFC 3339 time with its offset", id="no time"),
        pytest.param((SID, "--clock", "wall"), 2, "'wall' is not one of 'known', 'happened'", id="no clock"),
        pytest.param((), 2, "Missing argument 'SID'", id="nothing"),
    ],
)
def test_what_cannot_be_answered_is_said_on_stderr(
    database_url: str, arguments: tuple[str, ...], exit_code: int, complaint: str
) -> None:
    """1: nothing is known. 2: the question is wrong. Nothing on stdout."""
    append(database_url, [event("sent")])
    result = run(database_url, *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_a_database_without_a_log_says_what_to_do(empty_database_url: str) -> None:
    """Before the first migration."""
    result = run(empty_database_url, SID)
    assert isinstance(result.exception, DatabaseUnavailableError)
    assert "tracker migrate" in str(result.exception)


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_narrow_terminal_shows_everything(database_url: str, columns: int) -> None:
    """In lines that are no longer than the terminal is wide; no word of a status is lost."""
    append(database_url, HISTORY)

    async def read() -> History:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:

            def ask(question: Callable[[AsyncConnection[TupleRow]], Awaitable[Answer]]) -> Awaitable[Answer]:
                return question(connection)

            return await read_message(ask, SID)

    file = io.StringIO()
    print_history(Console(width=columns, file=file), asyncio.run(read()), None)
    lines = file.getvalue().splitlines()
    assert max(len(line) for line in lines) <= columns
    assert "30003" in "".join(file.getvalue().split())


@pytest.mark.parametrize("moment", ["2026-03-01 12:00:05", "2026-03-01T12:00:05", "2026-03-01 12:00:05 UTC"])
def test_a_time_is_understood_as_the_table_shows_it(database_url: str, moment: str) -> None:
    """In UTC."""
    append(database_url, HISTORY)
    assert "status     delivered, final" in run(database_url, SID, "--as-of", moment).stdout
