"""What a server writes on standard error: in the format that was asked for, whichever process writes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import ACCOUNT_SID, TOKEN, bare_environment
from tests.support.waiting import PATIENCE, wait_until

READY = ("server.ready", "projector.ready")
"""Said once the webhook answers, and once the projections are kept."""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_every_process_logs_in_the_format_that_was_asked_for(
    log_format: str, database_url: str, tmp_path: Path
) -> None:
    """Web worker, projector and supervisor; both that take part in a callback's way report that they are ready."""
    settings = {
        "DATABASE_URL": database_url,
        "TRACKER_DATA_DIR": str(tmp_path / "data"),
        "TRACKER_PORT": "0",
        "TRACKER_LOG_FORMAT": log_format,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
    }
    path = tmp_path / "log"
    with path.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "serve"], env=bare_environment() | settings, cwd=tmp_path, stderr=file
        )
        try:
            wait_until(lambda: all(event in path.read_text("utf-8") for event in READY), "both to be ready")
        finally:
            process.terminate()
            process.wait(PATIENCE)
    lines = path.read_text("utf-8").splitlines()
    as_json = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    as_text = [line for line in lines if line[:4].isdigit() and line[4:5] == "-"]
    if log_format == "json":
        assert as_text == []
        assert [as_json.count(event) for event in READY] == [1, 1]
        assert "server.stopped" in as_json
    else:
        assert as_json == []
        assert [sum(event in line for line in as_text) for event in READY] == [1, 1]
