"""Tracker and projector as the compose file runs them, without Docker: its commands, environments and logins."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.deployment.compose import compose_text, example_environment, read_compose, resolved
from tracker.simulate.traffic.callbacks import Form, make_callback, make_signer
from tracker.web.webhook import PATH

COMPOSE = read_compose()
TOKEN = "0123456789abcdef0123456789abcdef"
MESSAGE_SID = "SM" + "7" * 32
BIN = Path(sys.executable).parent


def eventually(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Ask again and again until it holds. Fails when the process ends first, or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


class Deployment:
    """What the two services share: where their secrets and the port are."""

    def __init__(self, directory: Path, urls: dict[str, str]) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        secrets = {
            "tracker_database_url": urls["tracker_web"],
            "projector_database_url": urls["tracker_projections"],
            "migrate_database_url": urls["tracker_owner"],
            "twilio_auth_token": TOKEN,
            "tracker_api_token": "for-the-api",
        }
        for name, value in secrets.items():
            (directory / name).write_text(value, encoding="ascii")

    def environment(self, name: str) -> dict[str, str]:
        """A service's, with the image's, but on this machine's loopback and paths."""
        service = {
            variable: resolved(value, example_environment()).replace("/run/secrets", str(self.directory))
            for variable, value in COMPOSE.services[name].environment.items()
        }
        data_dir = self.directory / name
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TRACKER_PORT": self.port,
            "TRACKER_DATA_DIR": str(data_dir),
        } | service

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """A service, until the block ends; it must then stop by itself, and say that all was well."""
        command = ["tracker", *COMPOSE.services[name].command]
        process = subprocess.Popen(command, env=self.environment(name), cwd=self.directory, executable=BIN / "tracker")
        try:
            yield process
        finally:
            process.terminate()
            try:
                assert process.wait(30) == 0
            finally:
                process.kill()

    def is_well(self, name: str) -> bool:
        """Whether the service's health check passes."""
        command = [part.replace(":8000", f":{self.port}") for part in COMPOSE.services[name].healthcheck.test[1:]]
        environment = self.environment(name)
        checked = subprocess.run(
            command, env=environment, cwd=self.directory, executable=BIN / command[0], capture_output=True, check=False
        )
        return checked.returncode == 0

    def post_callback(self) -> int:
        """Say that the message was delivered; the HTTP status of the answer."""
        example = example_environment()
        url = example["PUBLIC_BASE_URL"] + PATH
        form = Form(
            AccountSid=example["TWILIO_ACCOUNT_SID"],
            MessageSid=MESSAGE_SID,
            MessageStatus="delivered",
            To="+12015550142",
        )
        callback = make_callback(form, make_signer(TOKEN).compute_signature(url, form), "token")
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{PATH}", callback.body, callback.headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status

    def metrics(self) -> bytes:
        """What Prometheus gets from the tracker, with the secret that it mounts."""
        token = (self.directory / "tracker_api_token").read_text(encoding="ascii")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


@pytest.fixture
def deployment(tmp_path: Path, urls: dict[str, str]) -> Deployment:
    """Both services' secrets, on a migrated database."""
    return Deployment(tmp_path, urls)


def test_a_callback_goes_the_whole_way(deployment: Deployment, superuser_url: str) -> None:
    """Each service as its own login: both are well, and a callback is taken, projected and counted as by one server."""
    with deployment.running("tracker") as tracker, deployment.running("projector") as projector:
        eventually(lambda: deployment.is_well("tracker"), tracker)
        eventually(lambda: deployment.is_well("projector"), projector)
        assert deployment.post_callback() == 200
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            state = "SELECT status FROM message_state WHERE message_sid = %s"
            eventually(lambda: connection.execute(state, [MESSAGE_SID]).fetchone() == ("delivered",), projector)
            eventually(lambda: b"\ntwilio_messages_delivered_total{" in deployment.metrics(), tracker)
            runner = connection.execute("SELECT instance_id::text FROM projection_runner").fetchone()
    assert runner == (example_environment()["TRACKER_INSTANCE_ID"],)


def test_projections_are_rebuilt_by_the_service_that_migrates(deployment: Deployment) -> None:
    """`docker compose run --rm migrate rebuild`, as the compose file says: as the owner, whom no other service is."""
    assert "docker compose run --rm migrate rebuild" in compose_text()
    command = ["tracker", "rebuild", "--json"]
    rebuilt = subprocess.run(
        command, env=deployment.environment("migrate"), cwd=deployment.directory, executable=BIN / "tracker",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rebuilt.returncode == 0, rebuilt.stderr


def test_a_health_check_fails_where_nothing_serves(deployment: Deployment) -> None:
    """Otherwise it would say nothing."""
    assert not deployment.is_well("tracker")
