"""Logs tell what happened, and nothing that must not be in them."""

import json

import pytest
import structlog

from tracker.logs import configure_logging, mask

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


def test_secrets_and_numbers_are_taken_out_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """By key where the key says so, by shape wherever a number or a URL's password stands in a text."""
    configure_logging("json")
    structlog.get_logger().info(
        "x.done",
        token="t0ken",
        reason="to +14155550100 at postgresql://me:pass@host/db",
        more=["whatsapp:+447700900123"],
    )
    line = json.loads(capsys.readouterr().err)
    structlog.reset_defaults()
    assert line["token"] == "[redacted]"
    assert line["reason"] == "to +1415… at postgresql://me:[redacted]@host/db"
    assert line["more"] == ["whatsapp:+4477…"]


@pytest.mark.parametrize(
    "text", ["position 12345678901", "2026-11-23T15:40:15.111333Z", "SM00000000000000000000000000000001"]
)
def test_what_is_no_number_stays(text: str) -> None:
    """SIDs, times and positions are what logs are for."""
    assert mask(text) == text
