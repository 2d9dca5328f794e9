"""What wrk says is believed only when every request was answered well. A stand-in says it here."""

import json
from pathlib import Path

import pytest

from tests.bench.wrk import BenchError, require_wrk, run_wrk

SAID = {"requests": 5_000, "microseconds": 2_000_000, "bad_answers": 0, "broken": 0, "p50": 1_500, "p99": 9_000}


def stand_in(directory: Path, said: str, exit_code: int = 0) -> None:
    """A ``wrk`` that says this on standard error."""
    program = directory / "wrk"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit {exit_code}\n", encoding="ascii")
    program.chmod(0o755)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in goes before any other wrk."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_a_load_is_read(tmp_path: Path) -> None:
    """Rate and latencies."""
    stand_in(tmp_path, json.dumps(SAID))
    load = run_wrk(1, tmp_path / "requests", seconds=2, connections=4)
    assert (load.requests, load.rate, load.p50_ms, load.p99_ms) == (5_000, 2_500, 1.5, 9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bad_answers": 3}, "3 were answered otherwise than with 200"),
        ({"broken": 2}, "2 not at all"),
        ({"requests": 0}, "of 0 requests"),
    ],
    ids=["bad answers", "broken connections", "no answer"],
)
def test_a_load_that_went_wrong_is_no_load(tmp_path: Path, change: dict[str, int], words: str) -> None:
    """A server that refuses quickly must not be taken for a fast one."""
    stand_in(tmp_path, json.dumps(SAID | change))
    with pytest.raises(BenchError, match=words):
        run_wrk(1, tmp_path / "requests", seconds=2, connections=4)


def test_a_failure_of_wrk_is_told(tmp_path: Path) -> None:
    """In its own words."""
    stand_in(tmp_path, "unable to connect", exit_code=1)
    with pytest.raises(BenchError, match="unable to connect"):
        run_wrk(1, tmp_path / "requests", seconds=2, connections=4)


def test_a_missing_wrk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="apt-get install wrk"):
        require_wrk()
