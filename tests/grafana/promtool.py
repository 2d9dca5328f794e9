"""Prometheus' own checker, from Debian's package ``prometheus``."""

import shutil
import subprocess


def promtool(*arguments: str, given: str = "") -> None:
    """Runs promtool; fails with what it printed. It is needed: where it is missing, ``apt-get install prometheus``.

    given: what it reads from its standard input.
    """
    program = shutil.which("promtool")
    assert program, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
