"""``tracker migrate``: the schema of a database is brought up to date, once, and the command says what it did."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.support.serving import bare_environment
from tracker.postgres.migrations import pending_migrations


def run(url: str, directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """The command on a database, in a folder without settings."""
    return subprocess.run(
        [sys.executable, "-m", "tracker", "migrate", *options],
        env=bare_environment() | {"DATABASE_URL": url, "TRACKER_DATA_DIR": str(directory / "data")},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_it_applies_what_is_missing_and_names_it(empty_database_url: str, tmp_path: Path) -> None:
    """Names on standard output, one per line; a second run has nothing to do and prints none."""
    expected = pending_migrations(empty_database_url)
    first = run(empty_database_url, tmp_path)
    assert (first.returncode, first.stdout.splitlines()) == (0, expected)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT position FROM log_head").fetchone() == (0,)
    second = run(empty_database_url, tmp_path)
    assert (second.returncode, second.stdout) == (0, "")
    assert second.stderr == "Nothing to do: the schema is up to date.\n"


def test_it_prints_json(database_url: str, tmp_path: Path) -> None:
    """For scripts."""
    done = run(database_url, tmp_path, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"applied": []})


def test_a_database_that_cannot_be_reached_is_one_message(tmp_path: Path) -> None:
    """Exit code 1, no traceback, no password."""
    failed = run("postgresql://tracker:nobody-may-see@127.0.0.1:1/none", tmp_path)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "No connection to the database" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "nobody-may-see" not in failed.stderr
