"""Secrets: files made by one script, mounted where they are needed, explained, never committed, read as settings."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from tests.deployment.compose import ROOT, example_environment, read_compose, resolved
from tests.support.waiting import wait_until
from tracker.server_settings import load_server_settings
from tracker.settings import load_settings

COMPOSE = read_compose()
TOKEN = "0123456789abcdef0123456789abcdef"


def make_secrets(directory: Path, token: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script in a copy of its directory."""
    script = directory / "deploy" / "make-secrets.sh"
    script.parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "make-secrets.sh", script)
    environment = {"PATH": os.environ["PATH"], "TWILIO_AUTH_TOKEN": token}
    return subprocess.run(["sh", script], input=stdin, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A directory with all secrets."""
    result = make_secrets(tmp_path, TOKEN)
    assert result.returncode == 0, result.stderr
    return tmp_path / "secrets"


def contents(directory: Path) -> dict[str, str]:
    """Every secret by name."""
    return {path.name: path.read_text(encoding="ascii") for path in directory.iterdir()}


def test_the_script_makes_what_is_mounted(made: Path) -> None:
    """No secret is missing and none is made in vain."""
    assert set(contents(made)) == set(COMPOSE.secrets)
    assert {name: secret.file for name, secret in COMPOSE.secrets.items()} == {
        name: f"./secrets/{name}" for name in COMPOSE.secrets
    }


def test_secrets_are_closed_to_other_users_and_open_to_containers(made: Path) -> None:
    """The directory keeps others out; in a container a file keeps its mode, and its reader is not its owner."""
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o444}


@pytest.mark.parametrize("end", [f"{TOKEN}\n", "\x03"], ids=["typed", "interrupted"])
def test_a_token_that_is_typed_is_not_shown(tmp_path: Path, end: str) -> None:
    """On a terminal, which shows again what is typed afterwards, also after Ctrl-C."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "make-secrets.sh", tmp_path / "deploy")
    # A session of its own on a terminal: Ctrl-C reaches the script as SIGINT.
    pid, terminal = pty.fork()
    if pid == 0:
        # A suite that was started in the background ignores SIGINT, and its children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve("/bin/sh", ["sh", str(tmp_path / "deploy" / "make-secrets.sh")], {"PATH": os.environ["PATH"]})  # noqa: S606  # the script, on a terminal
    shown = ""
    while "not shown while you type" not in shown:
        shown += os.read(terminal, 4096).decode()
    wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "the terminal to stop showing what is typed")
    os.write(terminal, end.encode())
    _, status = os.waitpid(pid, 0)
    assert termios.tcgetattr(terminal)[3] & termios.ECHO
    while (ready := select.select([terminal], [], [], 0)[0]) and (more := read_or_end(ready[0])):
        shown += more
    os.close(terminal)
    assert TOKEN not in shown
    assert (os.waitstatus_to_exitcode(status) == 0) == (end != "\x03")
    assert (tmp_path / "secrets" / "twilio_auth_token").exists() == (end != "\x03")


def read_or_end(terminal: int) -> str:
    """What the terminal shows; empty at its end, which Linux reports as EIO."""
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        return ""


def test_secrets_differ(made: Path) -> None:
    """Each is drawn for itself, long enough that nobody guesses it, and fit to stand in a URL."""
    drawn = [value for name, value in contents(made).items() if name.endswith(("_password", "api_token"))]
    assert len(set(drawn)) == len(drawn) == 7
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in drawn)


def test_a_second_run_changes_nothing(made: Path) -> None:
    """A database has its password for good, so the script must never draw another."""
    before = contents(made)
    assert make_secrets(made.parent, "another").returncode == 0
    assert contents(made) == before


def test_a_missing_secret_is_made_again(made: Path) -> None:
    """Only that one."""
    before = contents(made)
    (made / "tracker_api_token").unlink()
    assert make_secrets(made.parent).returncode == 0
    after = contents(made)
    assert after.pop("tracker_api_token") != before.pop("tracker_api_token")
    assert after == before


def test_the_auth_token_may_come_from_standard_input(tmp_path: Path) -> None:
    """So that it stands in no shell's history."""
    assert make_secrets(tmp_path, stdin=f"{TOKEN}\n").returncode == 0
    assert contents(tmp_path / "secrets")["twilio_auth_token"] == TOKEN


def test_without_an_auth_token_the_script_says_so(tmp_path: Path) -> None:
    """And makes the others, so that a second run has only that to do."""
    result = make_secrets(tmp_path)
    assert result.returncode == 1
    assert "secrets/twilio_auth_token" in result.stderr
    assert set(contents(tmp_path / "secrets")) == set(COMPOSE.secrets) - {"twilio_auth_token"}


def test_no_secret_is_printed(tmp_path: Path) -> None:
    """What the script says goes to terminals and logs."""
    result = make_secrets(tmp_path, TOKEN)
    assert not any(value in result.stdout + result.stderr for value in contents(tmp_path / "secrets").values())


def test_every_secret_is_explained_and_used() -> None:
    """In secrets/README.md; and a secret that no service mounts is one too many."""
    explained = re.findall(r"^\| `(\w+)` \|", (ROOT / "secrets/README.md").read_text(encoding="utf-8"), re.MULTILINE)
    mounted = {secret for service in COMPOSE.services.values() for secret in service.secrets}
    assert sorted(explained) == sorted(COMPOSE.secrets)
    assert mounted == set(COMPOSE.secrets)


def test_a_service_mounts_the_secrets_that_it_reads() -> None:
    """What an environment names under /run/secrets is mounted, and no secret stands in an environment itself."""
    for name, service in COMPOSE.services.items():
        paths = {value for value in service.environment.values() if value.startswith("/run/secrets/")}
        assert paths <= {f"/run/secrets/{secret}" for secret in service.secrets}, name
        for variable, value in service.environment.items():
            assert not re.search(r"PASSWORD|TOKEN|DATABASE_URL|SECRET", variable) or value.startswith(
                "/run/secrets/"
            ), variable


def test_the_init_script_reads_the_secrets_of_its_service() -> None:
    """And no other: PostgreSQL's container gets them."""
    script = (ROOT / "deploy/postgres/10-roles.sql").read_text(encoding="utf-8")
    read = set(re.findall(r"/run/secrets/(\w+)", script))
    assert read | {"postgres_password"} == set(COMPOSE.services["postgres"].secrets)


@pytest.mark.parametrize("name", [*("secrets/anything", "secrets/twilio_auth_token", ".env")])
def test_secrets_are_not_committed(name: str) -> None:
    """git leaves them alone."""
    assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("service", "user"),
    [("migrate", "tracker_owner"), ("tracker", "tracker_web"), ("projector", "tracker_projections")],
)
def test_our_services_take_their_settings(
    service: str, user: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service's environment, with the image's own, is complete and logs in as the user made for it."""
    for name in [name for name in os.environ if name.startswith(("TRACKER_", "TWILIO_", "DATABASE_URL", "PUBLIC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, value in COMPOSE.services[service].environment.items():
        monkeypatch.setenv(name, resolved(value, example_environment()).replace("/run/secrets", str(made)))
    # The Dockerfile's, for all its commands; a server beyond loopback needs an API token and a public URL.
    monkeypatch.setenv("TRACKER_HOST", "0.0.0.0")
    settings = load_server_settings() if service == "tracker" else load_settings()
    assert settings.database_url
    password = contents(made)[
        {"migrate": "tracker_owner", "tracker": "tracker_web"}.get(service, "tracker_projector") + "_password"
    ]
    assert settings.database_url.get_secret_value() == f"postgresql://{user}:{password}@postgres:5432/tracker"
    if service == "tracker":
        assert [token.get_secret_value() for token in settings.twilio_auth_token] == [TOKEN]
        assert settings.api_token and settings.api_token.get_secret_value() == contents(made)["tracker_api_token"]
