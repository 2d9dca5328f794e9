"""Settings as documented: README's table, ``.env.example``, ``docker-compose.yml`` and the image agree with the program."""

import re
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from pydantic_core import PydanticUndefined

from tests.deployment.compose import ROOT, VARIABLE, example_environment, read_compose
from tracker.environment import SECRETS
from tracker.setting_messages import setting_name
from tracker.settings import Settings, load_settings, setting_names

OURS: Final = ("migrate", "projector", "tracker")
BY_NAME: Final = {setting_name(field, Settings.model_fields): field for field in Settings.model_fields}


def readme_table() -> dict[str, str]:
    """Default by setting, as the table of the README has it; a row may have several settings and their defaults."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    found: dict[str, str] = {}
    for cells in rows:
        names = re.findall(r"`([A-Z_]+)`", cells[0])
        defaults = cells[-1].split(", ") if len(names) > 1 else [cells[-1]]
        found |= dict(zip(names, (each.strip() for each in defaults), strict=True))
    return found


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's, and a directory without ``.env``."""
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_readme_has_every_setting_and_no_other() -> None:
    """In its table, each once."""
    assert set(readme_table()) == set(BY_NAME)


@pytest.mark.parametrize(("name", "default"), readme_table().items())
def test_a_default_of_the_readme_is_the_programs(monkeypatch: pytest.MonkeyPatch, name: str, default: str) -> None:
    """A value in backticks means the same as the setting unset, in the syntax that the setting reads; words mean that there is none."""
    field = Settings.model_fields[BY_NAME[name]]
    if re.fullmatch(r"`[^`]+`", default):
        monkeypatch.setenv(name, default.strip("`"))
        expected = field.get_default(call_default_factory=True)
        assert getattr(load_settings(), BY_NAME[name]) == expected
    else:
        assert field.default in {None, (), PydanticUndefined}


def test_the_readme_says_what_units_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each duration and size that the settings' section gives as an example is read; limits in the table are the program's."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Settings\n")[2].partition("\n## ")[0]
    for text in re.findall(r"`([0-9]+(?:MiB|GiB))`", section):
        monkeypatch.setenv("TRACKER_SPOOL_MAX_BYTES", text)
        assert load_settings().spool_max_bytes >= 1024**2
    limits = set(re.findall(r"at (?:least|most) `([0-9]+\w+)`", section))
    assert limits == {"1MiB", "10s"}
    monkeypatch.setenv("TRACKER_APPEND_TIMEOUT", "10s")
    assert load_settings().append_timeout == 10


def test_the_example_of_dotenv_is_read_without_a_complaint(tmp_path: Path) -> None:
    """As it stands, also by the program itself: names without PUBLISHED_ or GRAFANA_ are settings."""
    example = example_environment()
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text(encoding="utf-8"), encoding="utf-8")
    settings = load_settings()
    assert {name for name in example if not name.startswith(("PUBLISHED_", "GRAFANA_"))} <= set(BY_NAME)
    assert settings.instance_id == UUID(example["TRACKER_INSTANCE_ID"])
    assert settings.workers == Settings.model_fields["workers"].default


@pytest.mark.parametrize("service", OURS)
def test_what_compose_sets_are_settings(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """By their names, secrets by files; values and the defaults of variables are such that the program starts with them."""
    environment = read_compose().services[service].environment
    assert set(environment) <= setting_names()
    files = {name for name in environment if name.endswith("_FILE")}
    assert {name.removesuffix("_FILE") for name in files} <= set(SECRETS)
    for name, value in environment.items():
        if name not in files:
            monkeypatch.setenv(name, VARIABLE.sub(lambda found: example_environment()[found[1]], value))
    load_settings()


def test_defaults_of_compose_are_the_programs() -> None:
    """A variable that Compose fills in when ``.env`` lacks it changes nothing, except the UUID that two services share."""
    environment = read_compose().services["tracker"].environment
    defaults = {
        name: found[3]
        for name, value in environment.items()
        if (found := VARIABLE.fullmatch(value)) and found[2] == "-"
    }
    assert set(defaults) == {"TRACKER_WORKERS", "TRACKER_INSTANCE_ID"}
    assert int(defaults["TRACKER_WORKERS"]) == Settings.model_fields["workers"].default


def test_the_image_sets_settings_alone() -> None:
    """ENV lines of the Dockerfile with our prefixes are names of settings."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    names = set(re.findall(r"\b((?:TRACKER|TWILIO|PUBLIC|DATABASE)_[A-Z_]+)=", dockerfile))
    assert names and names <= setting_names()


@pytest.mark.parametrize(
    "document", ["README.md", "docs/OPERATIONS.md", "grafana/RUNBOOK.md", "SECURITY.md", "secrets/README.md"]
)
def test_documents_name_no_setting_that_does_not_exist(document: str) -> None:
    """A reader who copies a name from any document sets something."""
    text = (ROOT / document).read_text(encoding="utf-8")
    names = set(re.findall(r"\b(?<!_)(?:TRACKER|PUBLIC|DATABASE)_[A-Z_]*[A-Z]\b", text)) | set(
        re.findall(r"\bTWILIO_A[A-Z_]*[A-Z]\b|\bTWILIO_SHARED_KEYS\b", text)
    )
    assert names <= setting_names() | {"TRACKER_TEST_DATABASE_URL"}
