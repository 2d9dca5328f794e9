"""Every command of the README, as it is written, in a fresh directory with real servers. Ports and SIDs alone are put in."""

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from twilio.rest.api.v2010.account.message import MessageList

from tests.support.events import message_sid
from tests.support.serving import FORM, PATH, bare_environment, callback, free_port, sign
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
ACCOUNT: Final = "AC0123456789abcdef0123456789abcdef"
TOKEN: Final = "5d41402abc4b2a76b9719d911017c592"  # of nobody's account
PORT: Final = "8000"
"""The port of the README, in whose place a free one is used."""

RUN_ELSEWHERE: Final = {"make test": "``.ci/run`` runs it"}
ENVIRONMENT: Final = {
    "export TWILIO_ACCOUNT_SID=AC…": ("TWILIO_ACCOUNT_SID", ACCOUNT),
    "export TWILIO_AUTH_TOKEN_FILE=~/.twilio": ("TWILIO_AUTH_TOKEN_FILE", "~/.twilio"),
    "export PUBLIC_BASE_URL=https://tracker.example.com": ("PUBLIC_BASE_URL", "https://tracker.example.com"),
}
RUN_HERE: Final = {
    "make run",
    ".venv/bin/tracker simulate --messages 300 --rate 100 --concurrency 100 --disorder 0.3 --duplicates 0.1 --verify",
    ".venv/bin/tracker history SM…",
    f"curl -s 'http://127.0.0.1:{PORT}/api/messages?effect=late&limit=5'",
    f'curl -s -H "Authorization: Bearer $(cat .tracker/api-token)" http://127.0.0.1:{PORT}/api/messages/SM…',
}


def commands() -> list[str]:
    """The commands of the README's console blocks, without the comments behind them."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", README, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s{2,}# .*", "", line[2:]) for line in lines if line.startswith("$ ")]


@dataclass
class Clone:
    """A directory in which the README's reader works, and the server that runs there."""

    directory: Path
    port: int
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def banner(self) -> list[str]:
        """What the server printed from ``Ready`` to the next empty line, with the README's port."""
        text = self.log.read_text(encoding="utf-8").replace(f":{self.port}", f":{PORT}")
        return text[text.index("Ready  ") :].split("\n\n")[0].splitlines()

    def run(self, command: str, sid: str = "SM…") -> subprocess.CompletedProcess[str]:
        """Run a command of the README in a second shell."""
        assert command in RUN_HERE
        script = command.replace(f":{PORT}", f":{self.port}").replace("SM…", sid)
        return subprocess.run(
            ["bash", "-c", script], cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip


def make_run(directory: Path, **exported: str) -> Clone:
    """``make run`` in a directory whose environment is installed already, until it says that it is ready."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "tracker").symlink_to(Path(sys.executable).parent / "tracker")
    (directory / ".venv" / "installed").touch()
    # The second shell knows no more than the first: both read this file.
    port = free_port()
    (directory / ".env").write_text(f"TRACKER_PORT={port}\n", encoding="utf-8")
    environment = bare_environment() | {"HOME": str(directory), "COLUMNS": "100"} | exported
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run", f"PYTHON={sys.executable}"],
            cwd=directory, env=environment, stderr=output, stdout=output, start_new_session=True,
        )  # fmt: skip
    clone = Clone(directory, port, log, environment, process)
    try:
        wait_until(lambda: process.poll() is not None or "\nReady  " in log.read_text(encoding="utf-8"), "the banner")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        wait_until(lambda: clone.banner()[-1:] != [] and "\n\n" in log.read_text().partition("\nReady  ")[2], "its end")
    except BaseException:
        stop(clone)
        raise
    return clone


def stop(clone: Clone) -> int:
    """Ctrl-C: SIGINT to everything in the foreground. Returns the exit code of ``make``, which waits for the server."""
    if clone.process.poll() is None:
        os.killpg(clone.process.pid, signal.SIGINT)
    return clone.process.wait(60)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The first two commands' directory: no settings."""
    found = make_run(tmp_path_factory.mktemp("clone"))
    yield found
    stop(found)


def test_every_command_is_known_here() -> None:
    """One that is added to the README has to be run by a test too."""
    assert set(commands()) == {*RUN_ELSEWHERE, *ENVIRONMENT, *RUN_HERE}
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert any(line.endswith(" make test") for line in lines)


def test_what_make_run_prints_is_what_the_readme_shows(clone: Clone) -> None:
    """The banner, line by line; its addresses answer as soon as it says ready."""
    block = README.partition("$ make run\n")[2].partition("```")[0]
    assert clone.banner() == block.splitlines()
    for path in re.findall(rf"(?<!POST )http://127\.0\.0\.1:{PORT}(\S*)", block):
        assert httpx.get(f"http://127.0.0.1:{clone.port}{path}").status_code == 200, path


def test_simulate_then_history_then_curl(clone: Clone) -> None:
    """All messages are as they should be, the proposed history explains itself, times to deliver are no zeros, the API answers."""
    (simulate,) = (command for command in commands() if " simulate " in command)
    run = clone.run(simulate)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Verified 300 messages: 300 as they should be" in run.stdout
    next_step = re.search(r"^Next: (\.venv/bin/tracker history) (\w{34})$", run.stderr, re.MULTILINE)
    assert next_step is not None, run.stderr
    history = clone.run(".venv/bin/tracker history SM…", next_step[2])
    assert history.returncode == 0, history.stderr
    assert next_step[2] in history.stdout
    assert "decided ◀" in history.stdout
    overview = httpx.get(f"http://127.0.0.1:{clone.port}/").text
    assert "Median to deliver</dt><dd>< 0.1 s" not in overview
    assert "Median to deliver</dt><dd>0." in overview or "Median to deliver</dt><dd>1." in overview
    assert 'class="status good"' in overview
    listed = clone.run(f"curl -s 'http://127.0.0.1:{PORT}/api/messages?effect=late&limit=5'")
    assert listed.stdout.count('"message_sid"') == 5


@pytest.mark.parametrize(
    "arguments", ["history {sid}", "errors 30003", "errors", "quarantine list", "project --status"]
)
def test_nothing_is_cut_on_a_terminal_of_40_columns(clone: Clone, arguments: str) -> None:
    """No traceback, no line that is longer, no ellipsis in the place of a value."""
    sid = message_sid(7)
    base = f"http://127.0.0.1:{clone.port}"
    token = (clone.directory / ".tracker" / "development-auth-token").read_text(encoding="ascii")
    account = "AC" + "0" * 31 + "1"
    pairs = list(callback("undelivered", sid, AccountSid=account, ErrorCode="30003").items())
    answer = httpx.post(
        base + PATH,
        data=dict(pairs),
        headers={"content-type": FORM, "x-twilio-signature": sign(base + PATH, pairs, token)},
    )
    assert answer.status_code == 200
    # A terminal, because pipes get a line per event.
    command = f"stty cols 40; .venv/bin/tracker {arguments.format(sid=sid)}"
    environment = {name: value for name, value in clone.environment.items() if name != "COLUMNS"} | {
        "TERM": "xterm",
        "NO_COLOR": "1",
    }
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"], cwd=clone.directory, env=environment, capture_output=True, text=True,
        timeout=60, check=True,
    ).stdout  # fmt: skip
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\\]*\\|\x1b\\\\", "", shown)
    assert "Traceback" not in shown
    assert "…" not in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 40


def test_a_first_real_callback(tmp_path: Path) -> None:
    """With the exports of the README, a callback that is signed for the public address is stored, and curl with the token finds it."""
    (tmp_path / ".twilio").write_text(f"{TOKEN}\n", encoding="ascii")
    clone = make_run(tmp_path, **dict(ENVIRONMENT[line] for line in commands() if line in ENVIRONMENT))
    try:
        banner = "\n".join(clone.banner())
        assert f"POST https://tracker.example.com{PATH}" in banner
        assert f"Overview           http://127.0.0.1:{PORT}/" in banner
        sid = message_sid(1)
        pairs = list(callback("delivered", sid).items())
        answer = httpx.post(
            f"http://127.0.0.1:{clone.port}{PATH}",
            data=dict(pairs),
            headers={
                "host": "tracker.example.com",
                "content-type": FORM,
                "x-twilio-signature": sign(f"https://tracker.example.com{PATH}", pairs, TOKEN),
            },
        )
        assert answer.status_code == 200
        (ask,) = (command for command in commands() if "api-token" in command)
        wait_until(lambda: '"status":"delivered"' in clone.run(ask, sid).stdout.replace(" ", ""), "the state")
    finally:
        # Ctrl-C ends make by the signal, after the server has stopped in order.
        assert stop(clone) in {0, -signal.SIGINT}
    assert "server.stopped" in clone.log.read_text(encoding="utf-8")


def test_the_python_example_is_callable() -> None:
    """Twilio's library has the parameters of the example."""
    (example,) = re.findall(r"client\.messages\.create\((.*?)\n   \)", README, flags=re.DOTALL)
    given: Any = set(re.findall(r"^ +(\w+)=", example, re.MULTILINE))
    assert given == {"to", "from_", "body", "status_callback"}
    assert given <= set(inspect.signature(MessageList.create).parameters)
