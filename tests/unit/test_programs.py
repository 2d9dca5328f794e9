"""Tests that need a program which is missing: skipped with the remedy, failed under CI."""

from pathlib import Path

import pytest

from tests.deployment.compose import ROOT
from tests.support.programs import PACKAGES, find_program, missing_programs


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("nothing_installed")
def test_a_test_is_skipped_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run names each missing program once."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="promtool .*: sudo apt-get install prometheus"):
        find_program("promtool")
    assert [line.split()[0] for line in missing_programs()] == list(PACKAGES)


@pytest.mark.usefixtures("nothing_installed")
def test_under_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """``.ci/run`` sets CI, so nothing is skipped there unnoticed."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="promtool"):
        find_program("promtool")
    assert "\nexport CI=true\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("program", PACKAGES)
def test_continuous_integration_installs_what_tests_need(program: str) -> None:
    """Each program, from its package."""
    assert f" {program}:{PACKAGES[program]}" in (ROOT / ".ci/run").read_text(encoding="utf-8")
