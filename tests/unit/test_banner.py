"""What ``tracker serve`` prints when it is ready, and the command lines that it proposes."""

import os
import sys
from pathlib import Path

import pytest

from tracker.commands.banner import banner
from tracker.commands.invocation import invocation, invocation_for
from tracker.settings import load_settings, setting_names


@pytest.fixture(autouse=True)
def installed_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory with ``.venv/bin/tracker``, called as ``make run`` does; no settings, and nothing of ours on PATH."""
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / ".venv/bin/tracker"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/tracker", "serve"])
    monkeypatch.setenv("PATH", os.defpath)
    return program


def lines_of(port: int = 8000, **overrides: str) -> dict[str, str]:
    """The banner's lines by their first words."""
    text = banner(load_settings(overrides), port)
    return {line[:19].strip(): line[19:] for line in text.splitlines()}


def test_it_says_ready_and_how_to_try_it() -> None:
    """The command works as it stands in the directory of ``make run``."""
    lines = lines_of()
    assert lines["Ready"].startswith("status callbacks are accepted")
    assert lines["Overview"] == "http://127.0.0.1:8000/"
    assert lines["Try"].startswith(".venv/bin/tracker simulate --messages ")
    assert "Public address" not in lines


def test_the_local_address_stands_beside_the_public_one() -> None:
    """Twilio calls the public one, prefix included; a person on this machine opens the local one."""
    lines = lines_of(PUBLIC_BASE_URL="https://status.example.com/tracker")
    assert lines["Status callbacks"] == "POST https://status.example.com/tracker/webhooks/twilio/status"
    assert lines["Public address"] == "https://status.example.com/tracker/"
    assert lines["Overview"] == "http://127.0.0.1:8000/"
    assert lines["API token"].startswith(".tracker/api-token")


@pytest.mark.parametrize(
    ("host", "base"),
    [("::1", "http://[::1]:8123"), ("[::1]", "http://[::1]:8123"), ("::", "http://[::1]:8123"),
     ("0.0.0.0", "http://127.0.0.1:8123"), ("localhost", "http://localhost:8123")],
)  # fmt: skip
def test_addresses_are_urls_that_can_be_opened(host: str, base: str) -> None:
    """IPv6 in brackets, and loopback where the server listens on all addresses."""
    lines = lines_of(8123, TRACKER_HOST=host, TRACKER_API_TOKEN="token")
    assert lines["Overview"] == f"{base}/"
    assert lines["Metrics"] == f"{base}/metrics"


def test_a_proposed_command_finds_this_server(tmp_path: Path) -> None:
    """It assigns what the next shell does not know: neither a default nor ``.env`` has it."""
    settings = load_settings({"TRACKER_DATA_DIR": "/data of mine", "TRACKER_HOST": "::1"})
    expected = "TRACKER_DATA_DIR='/data of mine' TRACKER_HOST=::1 TRACKER_PORT=8123 .venv/bin/tracker"
    assert invocation_for(settings, 8123) == expected
    (tmp_path / ".env").write_text("TRACKER_PORT=8123\nTRACKER_HOST=::1\n")
    assert invocation_for(load_settings(), 8123) == ".venv/bin/tracker"


def test_a_program_on_the_path_needs_no_path(monkeypatch: pytest.MonkeyPatch, installed_here: Path) -> None:
    """As in the container."""
    monkeypatch.setenv("PATH", f"{installed_here.parent}:{os.defpath}")
    assert invocation() == "tracker"


def test_other_ways_to_call_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed_here: Path) -> None:
    """From elsewhere by its whole path; as a module by Python's."""
    monkeypatch.setattr(sys, "argv", [str(installed_here), "serve"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert invocation() == str(installed_here)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "tracker/__main__.py")])
    assert invocation() == f"{sys.executable} -m tracker"
