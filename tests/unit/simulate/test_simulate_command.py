"""``tracker simulate`` as it is used: output, exit codes, verification."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.unit.simulate.stub_tracker import TOKEN, Received, StubTracker, validates
from tracker.commands.simulate import command
from tracker.twilio.form import first_values, parse_form

KEYS = {"seed", "url", "account_sid", "started_at", "finished_at", "sent", "answers", "latency_ms", "messages"}
MESSAGE_KEYS = {
    *("message_sid", "account_sid", "messaging_service_sid", "channel", "country", "from", "to"),
    *("status", "error_code", "is_final", "raw_dlr_done_date", "event_count", "delivered", "in_doubt"),
}
UNDATED = ("-n", "20", "--channel", "whatsapp")
"""Messages without carriers' receipts, so that two runs expect the same, whatever the time."""


def simulate(url: str, *options: str) -> Result:
    return CliRunner().invoke(command, ["--url", url, "--token", TOKEN, "--seed", "1", *options])


def document(result: Result) -> dict[str, Any]:
    """What stands on stdout, which is one JSON document and nothing else."""
    return json.loads(result.stdout)


def verifying(stub: StubTracker) -> StubTracker:
    """Makes the stub refuse what Twilio's validator refuses."""

    def judge(received: Received) -> int:
        params = first_values(parse_form(received.body))
        signature = received.headers.get("x-twilio-signature", "")
        return 200 if validates(stub.base_url + received.target, params, signature) else 403

    stub.respond = judge
    return stub


def test_the_document_tells_all(stub: StubTracker) -> None:
    """One JSON document on stdout: figures that agree with what arrived, and every message."""
    result = simulate(stub.url, "-n", "50", "--json", "--disorder", "0.3", "--duplicates", "0.1")
    told = document(result)
    assert result.exit_code == 0
    assert told.keys() >= KEYS
    assert all(message.keys() >= MESSAGE_KEYS for message in told["messages"])
    assert told["sent"]["callbacks"] == told["answers"]["200"] == len(stub.received)
    assert sum(message["event_count"] for message in told["messages"]) == len(stub.received)
    assert len({message["message_sid"] for message in told["messages"]}) == told["sent"]["messages"] == 50
    assert told["latency_ms"]["p50"] <= told["latency_ms"]["p99"] <= told["latency_ms"]["max"]
    assert told["started_at"] < told["finished_at"]
    assert told["started_at"].endswith("Z")


def test_the_summary_stands_on_stdout(stub: StubTracker) -> None:
    """It can be piped; the next step is on stderr. Neither names the token or a number."""
    result = simulate(stub.url, "-n", "20", "--channel", "sms")
    assert result.exit_code == 0
    for words in ("Sent", "Answers", "States that the tracker should have", "Latency", "callbacks in", "seed 1"):
        assert words in result.stdout
        assert words not in result.stderr
    assert re.search(r"^Next: .+ history (SM|MM)[0-9a-f]{32}$", result.stderr, re.MULTILINE)
    assert f"{stub.base_url}/messages/" in result.stderr
    assert TOKEN not in result.output
    assert "+1" not in result.output


def test_the_summary_leaves_stdout_to_the_document(stub: StubTracker) -> None:
    """With ``--json``."""
    result = simulate(stub.url, "-n", "5", "--json")
    assert document(result)["sent"]["messages"] == 5
    assert "States that the tracker should have" in result.stderr


def test_a_narrow_terminal_breaks_no_table(stub: StubTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 40 columns every line of a table ends where the others end."""
    monkeypatch.setenv("COLUMNS", "40")
    result = simulate(stub.url, "-n", "20", "--verify", "--verify-seconds", "0")
    assert "Traceback" not in result.output
    rows = [line for line in result.stdout.splitlines() if line[:1] in {"┏", "┃", "┡", "│", "└"}]
    assert rows
    assert {line[-1] for line in rows} == {"┓", "┃", "┩", "│", "┘"}
    assert max(len(line) for line in rows) <= 40


def test_the_same_seed_gives_the_same_messages(stub: StubTracker) -> None:
    """SIDs, numbers and states are told twice alike."""
    keys = ("message_sid", "to", "from", "country", "channel", "status", "error_code", "event_count")
    first, second = (
        [[message[key] for key in keys] for message in document(simulate(stub.url, "--json"))["messages"]]
        for _ in range(2)
    )
    assert first == second
    assert len(first) == 200


def test_a_tracker_that_verifies_passes(stub: StubTracker) -> None:
    """Genuine callbacks 200, the others 403: as it should be."""
    result = simulate(verifying(stub).url, "-n", "50", "--forged", "0.2", "--unsigned", "0.2", "--json")
    told = document(result)
    assert result.exit_code == 0
    assert told["sent"]["forged"] > 0
    assert told["sent"]["unsigned"] > 0
    assert told["answers"]["403"] == told["sent"]["forged"] + told["sent"]["unsigned"]
    assert told["unexpected_answers"] == {}


def test_a_tracker_that_believes_anyone_does_not_pass(stub: StubTracker) -> None:
    """Exit code 1, and the answers that should have been 403."""
    result = simulate(stub.url, "-n", "50", "--forged", "0.2")
    assert result.exit_code == 1
    assert "forged: 200" in result.stdout


def test_a_refusal_does_not_pass(stub: StubTracker) -> None:
    """Exit code 1 when a genuine callback was answered 403, and what to compare: the URL, the account, the token."""
    stub.respond = lambda _: 403
    result = simulate(stub.url, "-n", "5", "--json")
    assert result.exit_code == 1
    for words in ("403", stub.url, "AC" + "0" * 31 + "1", "TWILIO_AUTH_TOKEN", "PUBLIC_BASE_URL", "TRACKER_DATA_DIR"):
        assert words in result.stderr
    assert {message["status"] for message in document(result)["messages"]} == {None}


def test_without_a_tracker_it_says_how_to_start_one() -> None:
    """Exit code 1, every callback counted as unreachable; one message and no tables."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        result, plain = simulate(url, "-n", "5", "--json"), simulate(url, "-n", "5", "--verify")
    assert result.exit_code == plain.exit_code == 1
    assert document(result)["answers"].keys() == {"unreachable"}
    assert plain.stdout == ""
    assert plain.stderr.splitlines() == result.stderr.splitlines()
    assert plain.stderr.startswith(f"Nothing was reached at {url}. Is the tracker running? `make run` starts it")


def test_an_ipv6_address_that_nobody_listens_on_is_no_traceback() -> None:
    """The same one message."""
    with socket.socket(socket.AF_INET6) as unused:
        unused.bind(("::1", 0))
        result = simulate(f"http://[::1]:{unused.getsockname()[1]}/", "-n", "2")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Nothing was reached at http://[::1]:")


def test_a_burst_of_one_error(stub: StubTracker) -> None:
    """Every message fails, with the code asked for, where it was asked for."""
    burst = ("--error-code", "30007", "--failure-share", "1", "--channel", "sms", "--country", "DE")
    told = document(simulate(stub.url, "-n", "30", "--json", *burst))
    assert {(message["error_code"], message["channel"], message["country"]) for message in told["messages"]} == {
        ("30007", "sms", "DE")
    }


def test_the_rate_is_kept(stub: StubTracker) -> None:
    """At 100 a second, some 20 callbacks take a fifth of a second."""
    told = document(simulate(stub.url, "-n", "10", "--rate", "100", "--json"))
    assert told["duration_seconds"] >= (told["sent"]["callbacks"] - 1) / 100


def test_verification_passes_when_the_tracker_agrees(stub: StubTracker) -> None:
    """Each message's state is asked for, and the result is told."""
    _teach(stub, document(simulate(stub.url, *UNDATED, "--json")))
    result = simulate(stub.url, *UNDATED, "--json", "--verify")
    assert result.exit_code == 0
    assert document(result)["verification"] == {"messages": 20, "matched": 20, "mismatches": []}
    assert "Verified 20 messages" in result.stderr


def test_verification_fails_when_the_tracker_disagrees(stub: StubTracker) -> None:
    """Exit code 1, and a table that names the message, the field, and both values."""
    told = document(simulate(stub.url, *UNDATED, "--json"))
    _teach(stub, told)
    wrong = told["messages"][3]["message_sid"]
    stub.states[wrong][0]["status"] = "teleported"
    result = simulate(stub.url, *UNDATED, "--verify", "--verify-seconds", "0")
    assert result.exit_code == 1
    assert wrong in result.stdout
    assert "teleported" in result.stdout


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as on a terminal: whoever is started in the background of a script has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_reported(stub: StubTracker) -> None:
    """Ctrl-C: exit code 1, with the summary and the document of what was sent until then; nothing is verified."""

    def interrupt(_: Received) -> int:
        if len(stub.received) == 200:
            os.kill(os.getpid(), signal.SIGINT)
        return 200

    stub.respond = interrupt
    result = simulate(stub.url, "-n", "100000", "--json", "--verify")
    told = document(result)
    assert result.exit_code == 1
    assert told["complete"] is False
    assert told["verification"] is None
    assert 100 < told["answers"]["200"] <= len(stub.received) < 10_000
    assert "Interrupted" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--channel", "mms", "--country", "DE"],
        ["--channel", "pigeon"],
        ["--country", "XX"],
        ["--disorder", "1.1"],
        ["--messages", "0"],
        ["--error-code", "abc"],
        ["--url", "nowhere"],
    ],
)
def test_wrong_usage_is_exit_code_2(stub: StubTracker, options: list[str]) -> None:
    """With a sentence on stderr, and nothing sent."""
    result = simulate(stub.url, *options)
    assert result.exit_code == 2
    assert result.stderr
    assert stub.received == []


def _teach(stub: StubTracker, told: dict[str, Any]) -> None:
    """Make the stub answer what this run expects."""
    stub.states = {message["message_sid"]: [message] for message in told["messages"]}
