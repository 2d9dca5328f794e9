"""Programs that tests need beside Python, and what happens to those tests on a machine that lacks one.

They are skipped, with one line that names the command to install it. Under CI, where ``.ci/run`` sets ``CI``, they fail instead.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Final

import pytest

PACKAGES: Final = {"promtool": "prometheus", "prometheus": "prometheus", "chromium": "chromium"}
"""Debian's package by program."""

_NAMES: Final = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
"""Names under which a program may be installed, where it has several."""

MISSING: Final = "is not installed, so these tests are skipped: sudo apt-get install"


def find_program(program: str) -> str:
    """Path of a program of PACKAGES. Skips the test where it is missing; fails it where ``CI`` is set."""
    found = _which(program)
    if found is None:
        reason = f"{program} {MISSING} {PACKAGES[program]}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def missing_programs() -> Iterator[str]:
    """A sentence per program of PACKAGES that this machine lacks."""
    for program, package in PACKAGES.items():
        if _which(program) is None:
            yield f"{program} is not installed; tests that need it are skipped: sudo apt-get install {package}"


def _which(program: str) -> str | None:
    return next(filter(None, map(shutil.which, _NAMES.get(program, (program,)))), None)
