"""pyproject.toml and the locks: every imported package is declared, every declared one has a reason, and every licence is permitted."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.licences import EXCEPTIONS, find_refusal, licence_of, locked_packages

ROOT = Path(__file__).parents[2]
OWN = frozenset({"tracker", "projections", "grafana", "tests"})
EXTRAS = {"psycopg-pool": "psycopg", "psycopg-binary": "psycopg"}
"""Distributions that are declared as an extra of another one."""


def canonical(name: str) -> str:
    """The name of a distribution as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


distributions_by_package = cache(packages_distributions)


def declared(extras: Sequence[str] = ()) -> set[str]:
    """Distributions that pyproject.toml names for the program, and for these extras."""
    requirements = [*project()["dependencies"]]
    for extra in extras:
        requirements += project()["optional-dependencies"][extra]
    return {canonical(re.split(r"[\[<>=,; ]", requirement, maxsplit=1)[0]) for requirement in requirements}


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Name and importing file of each import of a package that is neither ours nor of the standard library."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                root = name.partition(".")[0]
                if root not in sys.stdlib_module_names and root not in OWN:
                    yield root, str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    ("folder", "extras"), [("tracker", ()), ("projections", ()), ("grafana", ("dev",)), ("tests", ("dev",))]
)
def test_every_import_is_declared(folder: str, extras: Sequence[str]) -> None:
    """No module imports a package that only another package brings along."""
    distributions = distributions_by_package()
    known = declared(extras)
    undeclared = {
        f"{path} imports {name}"
        for name, path in imported(folder)
        if not known & {EXTRAS.get(canonical(each), canonical(each)) for each in distributions.get(name, [])}
    }
    assert sorted(undeclared) == []


def test_every_dependency_has_a_reason() -> None:
    """Every line of a dependency of the program in pyproject.toml ends with a comment."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lines = text.partition("dependencies = [\n")[2].partition("\n]")[0].splitlines()
    assert len(lines) == len(project()["dependencies"])
    assert [line for line in lines if "  # " not in line] == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_has_every_declared_dependency(name: str) -> None:
    """`make lock` was run after the last change of pyproject.toml, and names no registry."""
    text = (ROOT / name).read_text("utf-8")
    locked = {canonical(each) for each in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = declared(("build", "dev") if "dev" in name else ("build",))
    assert sorted(wanted - locked) == []
    assert "://" not in text
    assert "index-url" not in text


def test_every_licence_of_the_program_is_permitted() -> None:
    """No package of the runtime lock is under the GPL or AGPL; psycopg alone is under the LGPL."""
    refused = {name: reason for name in locked_packages() if (reason := find_refusal(name, licence_of(name)))}
    assert refused == {}
    assert {name.partition("-")[0] for name in EXCEPTIONS} == {"psycopg"}


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("MIT", None),
        ("Apache-2.0 OR BSD-2-Clause", None),
        ("LGPL-3.0-only", "copyleft"),
        ("GPL-2.0-or-later", "copyleft"),
        ("AGPLv3", "copyleft"),
        ("GNU Affero General Public License v3", "copyleft"),
        ("MIT AND GPL-3.0-only", "copyleft"),
        ("", "unknown licence"),
        ("Business Source License 1.1", "unknown licence"),
    ],
)
def test_licences_are_refused_by_name(licence: str, reason: str | None) -> None:
    """A licence of the GNU family, an unknown one, and none at all are refused; the exception is of one package."""
    assert find_refusal("another-package", licence) == reason
    assert find_refusal("psycopg", "LGPL-3.0-only") is None


def test_the_sbom_lists_the_lock(tmp_path: Path) -> None:
    """`make sbom` writes CycloneDX with every package of the runtime lock, its version and its hashes."""
    output = tmp_path / "sbom.json"
    recipe = re.search(r"^sbom:.*\n\t(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    command = recipe[1].replace("$(BIN)", str(Path(sys.executable).parent)).replace("sbom.json", str(output)).split()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    document = json.loads(output.read_text("utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    assert {canonical(each["name"]) for each in document["components"]} == {
        canonical(each) for each in locked_packages()
    }
    assert [each["name"] for each in document["components"] if not each.get("externalReferences")] == []
