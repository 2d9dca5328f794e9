"""Two accounts may have messages of one SID: each is asked about by its account."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, append, event
from tracker.commands.history import command

OTHER = "AC" + "b" * 32
SHARED = "SM" + "5" * 32
ALONE = "SM" + "abcdef01" * 4
NAMELESS = "SM" + "6" * 32


@pytest.fixture(scope="module")
def accounts_url(postgres: PostgresForTests) -> Iterator[str]:
    """A database with a SID of two accounts, one of one account, and one of an account and of events that name none."""
    with postgres.database() as url:
        append(
            url,
            [
                event("sent", 0, SHARED),
                event("failed", 1, SHARED, AccountSid=OTHER, ErrorCode="30008"),
                event("delivered", 2, SHARED),
                event("read", 3, ALONE),
                event("sent", 4, NAMELESS, AccountSid=None),
                event("delivered", 5, NAMELESS),
            ],
        )
        yield url


@pytest.fixture(scope="module")
def client(accounts_url: str) -> Iterator[TestClient[Litestar]]:
    """A server that answers from it."""
    with answering(accounts_url) as client:
        yield client


@pytest.mark.parametrize("suffix", ["", "/events"])
def test_several_accounts_are_named(client: TestClient[Litestar], suffix: str) -> None:
    """409 with both of them, and what to do."""
    answer = client.get(f"/api/messages/{SHARED}{suffix}")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    problem = answer.json()
    assert (problem["title"], problem["status"]) == ("Conflict", 409)
    assert ACCOUNT in problem["detail"]
    assert OTHER in problem["detail"]
    assert "account_sid" in problem["detail"]


@pytest.mark.parametrize(
    ("sid", "account", "status", "positions"),
    [
        (SHARED, ACCOUNT, "delivered", [1, 3]),
        (SHARED, OTHER, "failed", [2]),
        (SHARED, "ac" + "B" * 32, "failed", [2]),
        (ALONE, ACCOUNT, "read", [4]),
        (ALONE, None, "read", [4]),
        (ALONE[:2].lower() + ALONE[2:].upper(), None, "read", [4]),
        (NAMELESS, "none", "sent", [5]),
        (NAMELESS, ACCOUNT, "delivered", [6]),
    ],
)
def test_each_account_has_its_own(
    client: TestClient[Litestar], sid: str, account: str | None, status: str, positions: list[int]
) -> None:
    """State, history and page are of the account's events alone; letters of SIDs may be capital or small."""
    query = {} if account is None else {"account_sid": account}
    assert client.get(f"/api/messages/{sid}", params=query).json()["status"] == status
    events = client.get(f"/api/messages/{sid}/events", params=query).json()["events"]
    assert [each["position"] for each in events] == positions
    page = client.get(f"/messages/{sid}", params=query)
    assert (page.status_code, page.text.count('id="event-')) == (200, len(positions))


def test_the_page_offers_the_accounts(client: TestClient[Litestar]) -> None:
    """The problem page of a SID of several accounts links to the message of each, as of the same moment."""
    page = client.get(f"/messages/{SHARED}", params={"as_of": "2026-03-02T00:00:00Z"})
    assert page.status_code == 409
    links = [unescape(link) for link in re.findall(r'<li>[^<]*<a href="([^"]*)"', page.text)]
    pages = [client.get(f"/messages/{SHARED}{link}").text for link in links]
    assert ["as known at" in each for each in pages] == [True, True]
    assert [account in each for account, each in zip(sorted([ACCOUNT, OTHER]), pages, strict=True)] == [True, True]


def run(url: str, *arguments: str) -> Result:
    """The command on this database."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url, "COLUMNS": "160"})


def test_the_command_takes_the_account(accounts_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, both are named on stderr; a wrong one is a usage error."""
    monkeypatch.chdir(tmp_path)
    both = run(accounts_url, SHARED)
    assert (both.exit_code, both.stdout) == (1, "")
    words = "".join(both.stderr.replace("│", " ").split())
    assert ACCOUNT in words
    assert OTHER in words
    assert "--account" in words
    assert "failed, final" in run(accounts_url, SHARED, "--account", OTHER.upper()).stdout
    assert run(accounts_url, SHARED, "--account", "AC1").exit_code == 2
