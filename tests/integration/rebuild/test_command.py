"""``tracker rebuild``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg


def tracker(database_url: str, tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the program."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_"))
    }
    environment |= {"DATABASE_URL": database_url, "TRACKER_DATA_DIR": str(tmp_path), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_rebuilds(projected: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """All projections by default; what differed is said, and cut short where it is a phone number; the exit code is 0."""
    connection.execute(
        "UPDATE message_state SET status = 'lost', to_address = '+14155550123' WHERE decided_by = (SELECT min(decided_by) FROM message_state)"
    )
    done = tracker(projected, tmp_path, "rebuild")
    assert done.returncode == 0, done.stderr
    assert "message_state: version 2, position" in done.stdout
    assert "1 rows DIFFER; switched" in done.stdout
    assert "status lost → " in done.stdout
    assert "+1415…" in done.stdout
    assert "5550123" not in done.stdout + done.stderr
    assert "metric_counters: version 2" in done.stdout
    assert connection.execute("SELECT count(*) FROM projections WHERE rebuilds = 1").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM message_state WHERE status = 'lost'").fetchone() == (0,)


def test_the_command_checks(projected: str, connection: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Exit code 0 without differences, 1 with some; JSON for machines; nothing is switched."""
    good = tracker(projected, tmp_path, "rebuild", "--check", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    report: dict[str, Any] = json.loads(good.stdout)
    assert [(each["projection"], each["switched"]) for each in report["projections"]] == [
        ("message_state", False), ("metric_counters", False), ("delivery_stats", False),
    ]  # fmt: skip
    assert report["events"] > 0
    connection.execute("DELETE FROM delivery_latency WHERE bucket > 60")
    bad = tracker(projected, tmp_path, "rebuild", "delivery_stats", "--check", "--json")
    assert bad.returncode == 1
    [result] = json.loads(bad.stdout)["projections"]
    assert [(table["table"], table["missing"], table["different"]) for table in result["tables"]] == [
        ("delivery_stats", 0, 0), ("delivery_latency", 0, 0),
    ]  # fmt: skip
    assert result["tables"][1]["added"] > 0
    assert connection.execute("SELECT sum(rebuilds) FROM projections").fetchone() == (0,)


def test_an_unknown_projection_is_refused(projected: str, tmp_path: Path) -> None:
    """With the names that there are."""
    refused = tracker(projected, tmp_path, "rebuild", "no_such_projection")
    assert refused.returncode == 2
    assert "delivery_stats" in refused.stderr


def test_without_a_schema_it_says_what_to_do(empty_database_url: str, tmp_path: Path) -> None:
    """One message, no traceback."""
    refused = tracker(empty_database_url, tmp_path, "rebuild")
    assert refused.returncode == 1
    assert "tracker migrate" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    """The same."""
    refused = tracker("postgresql://nobody@127.0.0.1:1/nothing", tmp_path, "rebuild")
    assert refused.returncode == 1
    assert "No connection to the database" in refused.stderr
    assert "Traceback" not in refused.stderr
