"""The Makefile's way to an environment: too old a Python, and an environment of another one. Stubs stand in for Python and pip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.compose import ROOT

STUB = """#!/bin/sh
case "$1" in
--version) echo "Python {version}" ;;
-c) exec {python} -c "import sys; sys.version_info = {info}; exec(sys.argv[1])" "$2" ;;
-m)
    echo "$@" >> {log}
    for directory; do :; done
    case "$*" in *--clear*) rm -rf "$directory" ;; esac
    mkdir -p "$directory/bin"
    cp "$0" "$directory/bin/python"
    printf '#!/bin/sh\\nexit 0\\n' > "$directory/bin/pip"
    printf '#!/bin/sh\\necho served\\n' > "$directory/bin/tracker"
    chmod +x "$directory/bin/pip" "$directory/bin/tracker"
    ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What of the project the recipes read."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def stub_python(clone: Path, major: int, minor: int) -> Path:
    """A program that says it is this version, and makes environments that say the same."""
    path = clone / f"python{major}.{minor}"
    info = (major, minor, 0, "final", 0)
    path.write_text(
        STUB.format(version=f"{major}.{minor}.0", info=info, python=sys.executable, log=clone / "venvs"),
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def make_run(clone: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    # Variables of the make that runs the tests would make this one a sub-make, which prints more.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "run", f"PYTHON={python}"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("version", [(3, 10), (2, 7)])
def test_too_old_a_python_is_named_before_anything_is_installed(clone: Path, version: tuple[int, int]) -> None:
    """With its version, the version that is needed, and the command that names another one."""
    old = stub_python(clone, *version)
    done = make_run(clone, old)
    assert done.returncode != 0
    assert f"Python 3.11 or newer is needed, and {old} is Python {version[0]}.{version[1]}.0." in done.stderr
    assert "make run PYTHON=python3.12" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_not_there_is_named(clone: Path) -> None:
    """In the same words."""
    done = make_run(clone, "no-such-python")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, and no-such-python is not there." in done.stderr


def test_the_oldest_that_is_good_enough(clone: Path) -> None:
    """3.11 installs once, and the second run starts at once."""
    python = stub_python(clone, 3, 11)
    for _ in range(2):
        done = make_run(clone, python)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "served"), done.stderr
    assert (clone / "venvs").read_text(encoding="utf-8").splitlines() == ["-m venv .venv"]


@pytest.mark.parametrize("state", ["of an older Python", "of a Python that is gone"])
def test_an_environment_of_another_python_is_made_anew(clone: Path, state: str) -> None:
    """Instead of failing again in what an earlier try has left."""
    directory = clone / ".venv/bin"
    directory.mkdir(parents=True)
    if state == "of an older Python":
        shutil.copy(stub_python(clone, 3, 10), directory / "python")
    else:
        (directory / "python").symlink_to(clone / "gone")
    done = make_run(clone, stub_python(clone, 3, 12))
    assert done.returncode == 0, done.stderr
    assert "Making .venv anew" in done.stderr
    assert (clone / "venvs").read_text(encoding="utf-8").splitlines() == ["-m venv --clear .venv"]
