"""A test that hangs, and a test worker that dies, end the whole run soon, with a failure that names the test."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.compose import ROOT
from tests.support.bounded import EXIT_AT_LIMIT
from tests.support.waiting import wait_until

SECONDS = 60.0
"""Limit of each run that this module starts. Without the options under test a run takes longer, or never ends."""

HANGING = "test_hangs.py::test_one[3]"

BOUNDED = (sys.executable, str(ROOT / "tests" / "support" / "bounded.py"))


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Three modules: one passes; where the environment says so, one hangs and one exits. The settings are the project's own."""
    for name, body in {
        "test_passes": "pass",
        "test_hangs": "os.environ['FAULT'] == 'hang' and number == 3 and time.sleep(1000)",
        "test_exits": "os.environ['FAULT'] == 'exit' and number == 3 and os._exit(3)",
    }.items():
        (tmp_path / f"{name}.py").write_text(
            textwrap.dedent(
                f"""
                import os, time, pytest

                @pytest.mark.parametrize("number", range(5))
                def test_one(number):
                    {body}
                """
            )
        )
    (tmp_path / "conftest.py").write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            from tests.support.interruption import RunningTests

            class Reported:
                def pytest_runtest_logstart(self, nodeid):
                    if nodeid == "{HANGING}":
                        Path("reported").touch()

            def pytest_configure(config):
                if not hasattr(config, "workerinput"):
                    # The plugin that is registered last is called first.
                    config.pluginmanager.register(Reported())
                    config.pluginmanager.register(RunningTests())
            """
        )
    )
    return tmp_path


def pytest_command(suite: Path, *options: str) -> list[str]:
    project = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(suite), "-p", "no:cacheprovider")
    return [sys.executable, "-m", "pytest", *project, "-n", "2", "--dist", "loadfile", *options, str(suite)]


def environment(fault: str) -> dict[str, str]:
    return os.environ | {"FAULT": fault, "PYTHONPATH": str(ROOT)}


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS, **options)


@pytest.mark.parametrize(("fault", "name"), [("hang", HANGING), ("exit", "test_exits.py::test_one[3]")])
def test_the_run_ends_and_names_the_test(suite: Path, fault: str, name: str) -> None:
    """A worker that dies is not replaced, and pytest-timeout ends a worker whose test hangs."""
    command = pytest_command(suite, "-o", "timeout=2", "-o", "faulthandler_timeout=1")
    ended = run(command, cwd=suite, env=environment(fault))
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"crashed while running '{name}'" in ended.stdout
    assert "worker restarting disabled" in ended.stdout
    assert ("in test_one" in ended.stderr) == (fault == "hang"), "the stacks of all threads"


def test_a_run_that_is_stopped_names_its_tests(suite: Path) -> None:
    """bounded.py passes SIGTERM on to pytest, which prints the tests that have not ended."""
    with subprocess.Popen(
        [*BOUNDED, "900", *pytest_command(suite)],
        cwd=suite,
        env=environment("hang"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until((suite / "reported").exists, "the hanging test's start to be reported")
        process.terminate()
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == EXIT_AT_LIMIT
    assert "is stopped after SIGTERM" in errors
    assert f"SIGTERM; tests that did not end: {HANGING}" in output


def test_a_command_is_stopped_at_its_limit() -> None:
    """The exit code is 124, and a sentence gives the command and the limit."""
    ended = run([*BOUNDED, "0.3", "sleep", "1000"])
    assert ended.returncode == EXIT_AT_LIMIT
    assert "`sleep 1000` did not end within 0.3 s and is stopped" in ended.stderr


def test_a_process_left_behind_is_killed() -> None:
    """A daemon in a session of its own, which holds the pipe of standard output, ends with the command; the exit code is the command's."""
    daemon = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True); raise SystemExit(5)"
    ended = run([*BOUNDED, "900", sys.executable, "-c", daemon])
    assert ended.returncode == 5
    assert "left running: sleep 1000" in ended.stderr


def test_an_orphan_that_ends_is_reaped_at_once() -> None:
    """A command that waits until its killed grandchild is gone ends, though the grandchild's parent was killed first."""
    shell = "sleep 1000 & echo $!; wait"
    command = f"""
import os, signal, subprocess, psutil
shell = subprocess.Popen(["sh", "-c", {shell!r}], stdout=subprocess.PIPE, text=True)
orphan = psutil.Process(int(shell.stdout.readline()))
shell.kill()
shell.wait()
orphan.kill()
orphan.wait({SECONDS / 2})
"""
    ended = run([*BOUNDED, "900", sys.executable, "-c", command])
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_command_without_descendants_keeps_its_exit_code() -> None:
    """Nothing is reported after a command that leaves nothing, and death by a signal is 128 and its number."""
    ended = run([*BOUNDED, "900", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGKILL, "")
