"""Logs tell what happened, and nothing that must not be in them."""

import io
import json
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from tracker.logging_setup import RepeatedLines, configure_logging, mask, read_log_format

PRIVATE = "MessageSid=SM1&To=%2B14155550100&signature"


@pytest.fixture(autouse=True)
def _as_before() -> None:
    """Other tests log as they did."""
    structlog.reset_defaults()


def fail(body: str) -> None:
    """A bug that has private things in its frames."""
    raise ValueError(f"a bug of {len(body)} characters")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_has_no_variables(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What went wrong and where, without the bodies, tokens and numbers that the frames hold."""
    configure_logging(log_format)
    try:
        fail(PRIVATE)
    except ValueError:
        structlog.get_logger().exception("append.crashed", message_sid="SM1")
    written = capsys.readouterr().err
    structlog.reset_defaults()
    assert "append.crashed" in written
    assert "a bug of" in written
    assert "in fail" in written or '"fail"' in written
    assert PRIVATE not in written
    assert "14155550100" not in written


def test_lines_go_above_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a bar has put itself in the place of standard error since logging was set up; of structlog and the standard library."""
    configure_logging("json")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", bar := io.StringIO())
        structlog.get_logger().info("rebuild.switched")
        logging.getLogger("psycopg.pool").warning("lost")
    structlog.reset_defaults()
    assert [json.loads(line)["event"] for line in bar.getvalue().splitlines()] == ["rebuild.switched", "lost"]


NUMBERS = {
    "+14155550100": "+1415…",
    "whatsapp:+447700900123": "whatsapp:+4477…",
    "To=%2B14155550100&From=%2b447700900123": "To=%2B1415…&From=%2b4477…",
    "To=%252B14155550100": "To=%252B1415…",
    r'{"to": "\u002b14155550100"}': r'{"to": "\u002b1415…"}',
    r"'\x2b14155550100'": r"'\x2b1415…'",
    "&#43;14155550100 &#x2B;14155550100 &plus;14155550100": "&#43;1415… &#x2B;1415… &plus;1415…",
    "postgresql://me:pa55@host/db and https://:pa55@host": "postgresql://me:[redacted]@host/db and https://:[redacted]@host",
}
"""A text as it is given and as it must be logged."""


def written(capsys: pytest.CaptureFixture[str], **fields: object) -> dict[str, Any]:
    """The line of one event with these fields, as JSON."""
    configure_logging("json")
    structlog.get_logger().info("x.done", **fields)
    line = capsys.readouterr().err
    structlog.reset_defaults()
    return json.loads(line)


def fail_to_store(number: str, other: str) -> None:
    """An error with a number in its text, caused by one with another."""
    raise ValueError(f"cannot store {number}") from KeyError(other)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_does_not_tell_numbers(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of an exception, and of what caused it, is masked like any other, in both formats and from the standard library."""
    configure_logging(log_format)
    try:
        fail_to_store("+14155550100", "%2B447700900123")
    except ValueError:
        structlog.get_logger().exception("append.crashed")
        logging.getLogger("elsewhere").exception("crashed for %s", "+14155550100")
    text = capsys.readouterr().err
    structlog.reset_defaults()
    assert text.count("cannot store +1415") == 2
    assert text.count("crashed for +1415") == 1
    assert "14155550100" not in text
    assert "447700900123" not in text


@pytest.mark.parametrize(
    "key",
    ["authorization", "body", "password", "secret", "signature", "token",
     "Authorization", "auth_token", "auth_tokens", "X-Twilio-Signature", "request_body"],
)  # fmt: skip
def test_a_secret_is_known_by_its_key(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However the key is spelt, and however deep it stands."""
    deep = {"headers": [{key: "s3cret"}], "pair": ({key: b"s3cret"},)}
    line = written(capsys, **{key: "s3cret"}, deep=deep)
    assert line[key] == "[redacted]"
    assert line["deep"] == {"headers": [{key: "[redacted]"}], "pair": [{key: "[redacted]"}]}


@pytest.mark.parametrize("key", ["bad_signature", "no_signature", "refused_tokens", "body"])
def test_a_number_is_no_secret(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A count stays readable under a key that ends like a secret's; a text, bytes or a list under that key does not."""
    counts = written(capsys, **{key: 3}, reasons={key: 4, "nested": [{key: 0.5}]}, absent={key: None})
    assert (counts[key], counts["reasons"], counts["absent"]) == (3, {key: 4, "nested": [{key: 0.5}]}, {key: None})
    texts = written(capsys, reasons=[{key: "3"}, {key: b"3"}, {key: [3]}, {key: {"code": 3}}])
    assert texts["reasons"] == [{key: "[redacted]"}] * 4


@pytest.mark.parametrize("key", ["message_sid", "key_id", "bodyguard", "keys", "reason"])
def test_what_is_no_secret_stays(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that only begins like a secret's is none."""
    assert written(capsys, **{key: "SM1"})[key] == "SM1"


def test_numbers_of_refusals_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason whose name ends like a secret's has a count, which the line about refused callbacks shows."""
    reasons = {"bad_signature": 12, "no_signature": 3, "unknown_host": 1}
    assert written(capsys, reasons=reasons)["reasons"] == reasons


@pytest.mark.parametrize(("given", "logged"), NUMBERS.items())
def test_numbers_and_passwords_are_cut_wherever_they_stand(
    given: str, logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escaped once or twice; in texts, bytes, keys, lists and dictionaries within each other, and objects that become text."""
    line = written(
        capsys, text=given, raw=given.encode(), deep=[{"to": [given, {given: (given,)}]}], failure=OSError(given)
    )
    assert line["text"] == line["raw"] == line["failure"] == logged
    assert line["deep"] == [{"to": [logged, {logged: [logged]}]}]


def test_values_that_are_no_text_keep_their_type(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stay numbers for the machine that reads them; a UUID and a path are readable."""
    line = written(
        capsys, number=3, share=0.5, right=True, none=None, identity=UUID(int=7), path=Path("/var/lib/tracker")
    )
    assert (line["number"], line["share"], line["right"], line["none"]) == (3, 0.5, True, None)
    assert (line["identity"], line["path"]) == ("00000000-0000-0000-0000-000000000007", "/var/lib/tracker")


def test_the_pool_does_not_bury_other_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a hundred complaints of psycopg's pool one is logged; what others log is all there, before and after."""
    configure_logging("json")
    pool = logging.getLogger("psycopg.pool")
    for number in range(100):
        pool.warning("error connecting in %r: %s", "pool-test", f"attempt {number}")
    structlog.get_logger().error("database.lost", reason="gone")
    logging.getLogger("psycopg").warning("another")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()
    assert events == ["error connecting in 'pool-test': attempt 0", "database.lost", "another"]


def test_lines_that_were_held_back_are_counted() -> None:
    """One per kind and interval; the first of the next interval tells how many there were."""
    now = 0.0
    lines = RepeatedLines(60, lambda: now)

    def log(kind: str) -> str | None:
        record = logging.LogRecord("psycopg.pool", logging.WARNING, "", 0, kind, ("x",), None)
        return record.getMessage() if lines.filter(record) else None

    assert [log("lost %s"), log("lost %s"), log("lost %s"), log("late %s")] == ["lost x", None, None, "late x"]
    now = 59.9
    assert log("lost %s") is None
    now = 60.0
    assert log("lost %s") == "lost x (and 3 more like it)"
    now = 120.0
    assert log("lost %s") == "lost x"


@pytest.mark.parametrize(
    ("environment", "file", "expected"),
    [
        (None, None, "auto"),
        ("json", None, "json"),
        (None, "console", "console"),
        ("json", "console", "json"),
        ("", "console", "console"),
        ("yaml", None, "auto"),
    ],
)
def test_the_format_is_known_before_the_settings(
    environment: str | None, file: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the environment, else from ``.env``; a wrong one is for the settings to complain about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKER_LOG_FORMAT", raising=False)
    if environment is not None:
        monkeypatch.setenv("TRACKER_LOG_FORMAT", environment)
    if file is not None:
        (tmp_path / ".env").write_text(f"TRACKER_LOG_FORMAT={file}\n", encoding="utf-8")
    assert read_log_format() == expected


@pytest.mark.parametrize(
    "text", ["position 12345678901", "2026-11-23T15:40:15.111333Z", "SM00000000000000000000000000000001"]
)
def test_what_is_no_number_stays(text: str) -> None:
    """SIDs, times and positions are what logs are for."""
    assert mask(text) == text


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lines for a full disk are dropped without an error, and their number is logged once there is room again."""
    configure_logging("json")
    log = structlog.get_logger()
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        log.error("store.away")
        logging.getLogger("somewhere").error("nor this one")
        with suppress(OSError):
            full.close()
    with (tmp_path / "log").open("w", buffering=1) as file:
        monkeypatch.setattr(sys, "stderr", file)
        log.info("store.connected")
        log.info("server.ready")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "store.connected",
        "2 log lines were dropped: the log could not be written",
        "server.ready",
    ]
