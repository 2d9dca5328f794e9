"""Commands in a directory where no tracker was ever started."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import bare_environment

SID = "SM" + "0" * 32

COMMANDS: dict[str, list[str]] = {
    "history": ["history", SID],
    "project --status": ["project", "--status"],
    "project --once": ["project", "--once"],
    "project": ["project"],
    "rebuild": ["rebuild"],
    "rebuild --check": ["rebuild", "--check"],
    "annotate": ["annotate", "shop 4.2 deployed"],
    "simulate": ["simulate", "--messages", "1"],
}


@pytest.fixture(params=COMMANDS.values(), ids=list(COMMANDS))
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Each of them, run there."""
    return subprocess.run(
        [sys.executable, "-m", "tracker", *request.param],
        env=bare_environment(), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_it_makes_nothing_and_names_the_directory(finished: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    """An answer from a new and empty database would be a lie."""
    assert list(tmp_path.iterdir()) == []
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert f"{tmp_path}/.tracker" in finished.stderr
    assert "tracker serve" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_error_codes_need_no_database(tmp_path: Path) -> None:
    """Their explanations are the program's own."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "errors", "30003"],
        env=bare_environment(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert b"30003" in done.stdout
    assert list(tmp_path.iterdir()) == []
