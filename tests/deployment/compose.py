"""``docker-compose.yml`` read into types: only the parts that tests ask about."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

ROOT: Final = Path(__file__).parents[2]

VARIABLE: Final = re.compile(r"\$\{([A-Z0-9_]+)(?::(-|\?)([^}]*))?\}")
"""``${NAME}``, ``${NAME:-default}`` or ``${NAME:?message}``: name, mark, default or message."""


class Healthcheck(msgspec.Struct):
    """``test`` is empty where the check is switched off."""

    test: list[str] = []
    disable: bool = False


class Dependency(msgspec.Struct):
    """What another service must have reached."""

    condition: str


class Service(msgspec.Struct):
    """One service. What has no default here must be there."""

    image: str
    user: str
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    restart: str
    networks: list[str]
    healthcheck: Healthcheck
    tmpfs: list[str]
    build: str | None = None
    command: list[str] = []
    environment: dict[str, str] = {}
    secrets: list[str] = []
    volumes: list[str] = []
    ports: list[str] = []
    depends_on: dict[str, Dependency] = {}
    privileged: bool = False
    mem_limit: str = ""
    pids_limit: int = 0


class Secret(msgspec.Struct):
    """Where a secret's file is on the host."""

    file: str


class Compose(msgspec.Struct):
    """The file."""

    services: dict[str, Service]
    networks: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any]]
    secrets: dict[str, Secret]


def compose_text() -> str:
    """The file as it stands."""
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def read_compose() -> Compose:
    """The file with its anchors resolved, its variables as they stand."""
    return msgspec.convert(yaml.safe_load(compose_text()), Compose)


def example_environment() -> dict[str, str]:
    """The variables of ``.env.example`` and their values."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def resolved(text: str, environment: dict[str, str]) -> str:
    """The text as Compose would fill it in. KeyError: a variable that must be set is not."""
    return VARIABLE.sub(
        lambda found: environment.get(found[1]) or (found[3] if found[2] == "-" else environment[found[1]]), text
    )
