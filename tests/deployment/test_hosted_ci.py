"""The files for outsiders: the hosted CI has no rights and no movable actions, and hooks call tools that are there."""

import re
from typing import Any

import yaml

from tests.deployment.compose import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TOOLS = ("ruff", "lint-imports", "sqlfluff", "python")


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_the_workflow_has_no_rights_by_default() -> None:
    """A job may read the repository and nothing else, and gives its token to no later step."""
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job.get("permissions", {}) in ({}, {"contents": "read"})
        assert "timeout-minutes" in job
        for step in job["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_actions_are_pinned_by_commit() -> None:
    """Each action is named by a full commit hash, with its version in a comment."""
    uses = re.findall(r"uses: (.*)", WORKFLOW.read_text("utf-8"))
    assert uses
    assert [each for each in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_the_workflow_runs_what_everyone_runs() -> None:
    """Its last step is .ci/run, and it runs for pull requests without secrets."""
    workflow = read_yaml(".github/workflows/ci.yml")
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request"}
    [job] = workflow["jobs"].values()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert "secrets." not in WORKFLOW.read_text("utf-8")


def test_hooks_are_the_project_s_own_tools() -> None:
    """pre-commit downloads nothing: every hook is a program of .venv that the development lock installs."""
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program = re.match(r"\.venv/bin/([\w-]+) ", f"{hook['entry']} ")
        assert program is not None
        assert program[1] in TOOLS
    entries = {hook["entry"].split()[0].rpartition("/")[2] for hook in repository["hooks"]}
    assert entries == set(TOOLS)
