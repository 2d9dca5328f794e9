"""A real ``tracker serve`` for tests: its own processes, on a free port and a database of the test's."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

import httpx
import psutil
from twilio.request_validator import RequestValidator

from tests.support.events import message_sid
from tests.support.waiting import PATIENCE, wait_until

ACCOUNT_SID = "AC0123456789abcdef0123456789abcdef"
TOKEN = "5d41402abc4b2a76b9719d911017c592"  # of nobody's account
PATH = "/webhooks/twilio/status"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


class Tracker:
    """A server that runs, and listens."""

    def __init__(self, process: subprocess.Popen[bytes], data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        wait_until(lambda: _ports_of(process), "the server to listen")
        (self.port,) = _ports_of(process)
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.base_url, timeout=PATIENCE)

    @property
    def webhook_url(self) -> str:
        """What is signed."""
        return self.base_url + PATH

    def post(
        self, params: Mapping[str, str] | list[tuple[str, str]], *, query: str = "", **headers: str
    ) -> httpx.Response:
        """Post a callback, signed by twilio's own library. headers replace or add to the usual ones."""
        pairs = list(params.items()) if isinstance(params, Mapping) else params
        url = self.webhook_url + (f"?{query}" if query else "")
        return self.client.post(
            url.removeprefix(self.base_url),
            content=urlencode(pairs),
            headers={"content-type": FORM, "x-twilio-signature": sign(url, pairs)}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )

    def post_ok(self, status: str, number: int) -> None:
        """Post a callback of message ``number``, which must be taken."""
        answer = self.post(callback(status, message_sid(number)))
        assert answer.status_code == HTTPStatus.OK, answer.text

    def accepts(self, status: str, number: int) -> bool:
        """Whether such a callback is taken just now."""
        try:
            return self.post(callback(status, message_sid(number))).status_code == HTTPStatus.OK
        except httpx.TransportError:
            return False

    def metric(self, sample: str) -> float:
        """The value of one sample now, as ``name{label="value"}``; 0 when it is not there."""
        return self.metrics().get(sample, 0.0)

    def metrics(self) -> dict[str, float]:
        """All samples by name and labels, read after this call began. Scrapes within a second share one reading."""
        began = time.time()
        found: dict[str, float] = {}

        def is_fresh() -> bool:
            found.clear()
            lines = self.client.get("/metrics").text.splitlines()
            found.update(
                (name, float(value)) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
            )
            return found["tracker_metrics_timestamp_seconds"] >= began

        wait_until(is_fresh, "a new reading of the metrics")
        return found

    def children(self, part: str) -> list[psutil.Process]:
        """The server's child processes whose command line has ``part`` in it, such as tracker.web.worker."""
        found: list[psutil.Process] = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has just ended, or nobody has waited for it yet
                if part in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def reasons(self) -> list[str]:
        """What ``/readyz`` gives as reasons, but for the test server's own settings."""
        return [each for each in self.client.get("/readyz").json().get("reasons", []) if "fsync" not in each]

    def wait_projected(self) -> None:
        """Until the projections have taken in what is in the log."""
        wait_until(lambda: self._lag() == 0, "the projections to catch up")

    def wait_healthy(self) -> None:
        """Until the server's database answers."""
        wait_until(lambda: self.answers("/healthz"), "the database to answer", seconds=60)

    def wait_drained(self) -> None:
        """Until nothing is in the spool any more."""
        wait_until(
            lambda: self.answers("/healthz") and self.metric("tracker_spool_events") == 0,
            "the spool to empty",
            seconds=60,
        )

    def answers(self, path: str) -> bool:
        """Whether the path is answered with 200 just now."""
        try:
            return self.client.get(path).status_code == HTTPStatus.OK
        except httpx.TransportError:
            return False

    def _lag(self) -> int:
        """Events that the projections have not taken in; -1 when the database does not say."""
        health: dict[str, Any] = self.client.get("/healthz").json()
        if "projections" not in health:
            return -1
        return sum(projection["lag_events"] for projection in health["projections"])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell the server to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def sign(url: str, pairs: list[tuple[str, str]], token: str = TOKEN) -> str:
    """The signature that Twilio would send, by twilio's own library."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return RequestValidator(token).compute_signature(url, _Multi(values))


class _Multi(dict[str, list[str]]):
    """A form with repeated names, as twilio's library knows it from web frameworks."""

    def getall(self, name: str) -> list[str]:
        """All values of a name."""
        return self[name]


def callback(status: str, sid: str = message_sid(1), **more: str) -> dict[str, str]:
    """The parameters of an SMS callback."""
    return {
        "SmsSid": sid,
        "SmsStatus": status,
        "MessageStatus": status,
        "To": "+14155550100",
        "MessageSid": sid,
        "AccountSid": ACCOUNT_SID,
        "From": "+14155550199",
        "ApiVersion": "2010-04-01",
    } | more


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_tracker(
    database_url: str | None = None,
    *arguments: str,
    data_dir: Path | None = None,
    port: int = 0,
    stderr: IO[bytes] | None = None,
    **environment: str,
) -> Iterator[Tracker]:
    """A server until the block ends. database_url: None for an embedded one. port: 0 for any that is free. stderr: a file for the
    server's standard error. environment: further settings; an empty value unsets one."""
    with starting_tracker(database_url, *arguments, data_dir=data_dir, port=port, stderr=stderr, **environment) as (
        process,
        directory,
    ):
        tracker = Tracker(process, directory)
        try:
            wait_until(lambda: _is_live(tracker), "the server to answer")
            yield tracker
        finally:
            tracker.client.close()


@contextmanager
def starting_tracker(
    database_url: str | None = None,
    *arguments: str,
    data_dir: Path | None = None,
    port: int = 0,
    program: Sequence[str] = ("-m", "tracker"),
    stderr: IO[bytes] | None = None,
    **environment: str,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The same, which need not get so far that it listens: its process and data directory. program: Python's arguments."""
    with tempfile.TemporaryDirectory(prefix="tracker-serve-") as temporary:
        directory = data_dir or Path(temporary)
        settings = {
            "TRACKER_DATA_DIR": str(directory),
            "TRACKER_PORT": str(port),
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": TOKEN,
            **({"DATABASE_URL": database_url} if database_url else {}),
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, *program, "serve", *arguments],
            env=bare_environment() | settings,
            cwd=temporary,
            stderr=stderr,
        )
        try:
            yield process, directory
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def bare_environment() -> dict[str, str]:
    """Of this process, without settings. Where it is used, a directory without the developer's ``.env`` must be, too."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRACKER_", "TWILIO_", "DATABASE_", "PUBLIC_"))
    }


def _ports_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Where the process listens; none before it does."""
    assert process.poll() is None, f"the server ended with {process.returncode}"
    try:
        found = psutil.Process(process.pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return []
    return [each.laddr.port for each in found if each.status == psutil.CONN_LISTEN]


def _is_live(tracker: Tracker) -> bool:
    assert tracker.process.poll() is None, f"the server ended with {tracker.process.returncode}"
    try:
        return tracker.client.get("/livez").status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False
