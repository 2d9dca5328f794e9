"""Prometheus' own checker, from Debian's package ``prometheus``."""

import subprocess

from tests.support.programs import find_program


def promtool(*arguments: str, given: str = "") -> None:
    """Run promtool; fails with what it printed. Skips the test where it is not installed.

    given: what it reads from its standard input.
    """
    program = find_program("promtool")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
