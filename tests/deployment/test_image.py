"""Dockerfile and .dockerignore: what goes into the image, and who runs it."""

import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deployment.compose import ROOT, read_compose

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")
]


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name, in order."""
    return [line.partition(" ")[2] for line in INSTRUCTIONS if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """What is copied from the build context."""
    return [source for line in instructions("COPY") if not line.startswith("--from") for source in line.split()[:-1]]


def test_hadolint_finds_nothing() -> None:
    """With its default rules, none of them switched off."""
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "hadolint ignore" not in DOCKERFILE


def test_the_base_image_is_pinned() -> None:
    """The same one builds and runs: what was installed for one Python may not run on another."""
    bases = [line.partition(" AS ")[0] for line in instructions("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.13\.\d+-slim-[a-z]+", bases[0])


def test_dependencies_are_installed_by_hash() -> None:
    """Nothing is resolved when an image is built, our own package's build included."""
    installs = [command for line in instructions("RUN") for command in line.split("&&") if "pip install" in command]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_the_image_runs_as_nobody_in_particular() -> None:
    """By number, as the compose file gives volumes and secrets to it, and without a shell around the program."""
    assert instructions("USER") == [read_compose().services["tracker"].user]
    assert instructions("ENTRYPOINT") == ['["tracker"]']
    assert instructions("CMD") == ['["serve"]']


def test_the_health_check_asks_the_port_that_is_served() -> None:
    """With Python, which is there, rather than with curl, which is not; the compose file's check is the same."""
    (check,) = instructions("HEALTHCHECK")
    (port,) = instructions("EXPOSE")
    assert f"http://127.0.0.1:{port}/livez" in check
    assert f"TRACKER_PORT={port}" in DOCKERFILE
    assert re.findall(r"urlopen\(.*?\)", check) == re.findall(
        r"urlopen\(.*?\)", " ".join(read_compose().services["tracker"].healthcheck.test)
    )


def test_the_context_is_what_is_copied() -> None:
    """Everything is left out but what the Dockerfile copies, so no secret or database can get into a layer."""
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    assert sorted(line.removeprefix("!") for line in lines if line.startswith("!")) == sorted(copied())
    assert all((ROOT / source).exists() for source in copied())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel that is built from no more than what is copied."""
    context, out = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("wheel")
    for source in copied():
        (context / source).symlink_to(ROOT / source)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out]
    built = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_has_every_file_that_the_program_reads(wheel: list[str]) -> None:
    """Code, SQL, data files, templates: whatever git has in the packages."""
    listed = subprocess.run(
        ["git", "ls-files", "tracker", "projections", "sql"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    missing = set(listed.stdout.split()) - set(wheel)
    assert not {name for name in missing if (ROOT / name).exists()}
    assert any(fnmatch(name, "sql/migrations/*.sql") for name in wheel)
