"""What a new user does first: serve, simulate, look at a history. With the embedded PostgreSQL and no settings at all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.serving import Tracker, bare_environment, running_tracker
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    """A server as `make run` starts it, but for its directory and port."""
    with running_tracker(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="") as tracker:
        yield tracker


def command(tracker: Tracker, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tracker` beside the server, which it finds by the same settings."""
    environment = bare_environment() | {"TRACKER_DATA_DIR": str(tracker.data_dir), "TRACKER_PORT": str(tracker.port)}
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        env=environment, cwd=tracker.data_dir, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run. In a container without an init, what has ended stays as a zombie."""
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_every_state_is_what_the_simulator_says_it_should_be(tracker: Tracker) -> None:
    """400 messages, a third out of order, a tenth of the callbacks twice, some late, some lost: every state as computed by the
    simulator's own rule, and the history of one with a late event explains itself."""
    run = command(
        tracker, "simulate", "--messages", "400", "--disorder", "0.3", "--duplicates", "0.1", "--late", "0.05", "--loss", "0.02",
        "--seed", "7", "--verify", "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    expected = {message["message_sid"]: message for message in report["messages"] if message["event_count"]}
    assert len(expected) > 380
    tracker.wait_projected()
    listed: dict[str, Any] = {}
    cursor = ""
    while True:
        page = tracker.client.get(
            "/api/messages", params={"limit": 100, **({"cursor": cursor} if cursor else {})}
        ).json()
        listed |= {message["message_sid"]: message for message in page["messages"]}
        cursor = page["next_cursor"]
        if not cursor:
            break
    names = ("status", "error_code", "is_final", "event_count")
    assert {sid: [message[name] for name in names] for sid, message in listed.items()} == {
        sid: [message[name] for name in names] for sid, message in expected.items()
    }


def test_history_explains_a_late_event(tracker: Tracker) -> None:
    """The table says what was said and what each event changed; --json says the same to a machine."""
    command(tracker, "simulate", "--messages", "40", "--disorder", "1", "--seed", "8")
    sids = [message["message_sid"] for message in tracker.client.get("/api/messages?limit=40").json()["messages"]]
    late = next(
        sid
        for sid in sids
        if any(
            event["effect"] == "late" for event in tracker.client.get(f"/api/messages/{sid}/events").json()["events"]
        )
    )
    table = command(tracker, "history", late)
    assert table.returncode == 0, table.stderr
    assert "late" in table.stdout
    assert late in table.stdout
    document = json.loads(command(tracker, "history", late, "--json").stdout)
    assert document["message_sid"] == late
    assert any(event["effect"] == "late" for event in document["events"])


@pytest.mark.parametrize("victim", ["supervisor", "web", "projector", "postgres"])
def test_a_killed_server_starts_again_without_help(tmp_path: Path, victim: str) -> None:
    """SIGKILL of any of its processes, then a start on the same directory: what was acknowledged is there, and nothing is left
    running of the first."""
    with running_tracker(data_dir=tmp_path) as first:
        first.post_ok("sent", 1)
        processes = psutil.Process(first.process.pid).children(recursive=True)
        postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        pid = {
            "supervisor": first.process.pid,
            "web": first.children("tracker.web.worker")[0].pid,
            "projector": first.children("project")[0].pid,
            "postgres": postmaster,
        }[victim]
        os.kill(pid, signal.SIGKILL)
        if victim == "supervisor":
            first.process.wait()
            wait_until(lambda: not alive(processes), "the children to end with it")
        else:
            wait_until(lambda: first.accepts("sent", 2), "the supervisor to mend it")
            first.stop()
    with running_tracker(data_dir=tmp_path, port=first.port) as second:
        second.wait_projected()
        assert second.client.get("/api/messages").json()["messages"][-1]["status"] == "sent"


def test_sigterm_and_ctrl_c_stop_everything(tmp_path: Path) -> None:
    """Exit code 0, and no process is left: no worker, no projector, no PostgreSQL."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with running_tracker(data_dir=tmp_path) as tracker:
            processes = psutil.Process(tracker.process.pid).children(recursive=True)
            processes.append(
                psutil.Process(int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
            )
            assert tracker.stop(number) == 0
            assert not alive(processes)


def test_a_second_server_on_the_same_directory_is_refused(tracker: Tracker) -> None:
    """One message that says what to do, no traceback, exit code 1."""
    second = command(tracker, "serve")
    assert second.returncode == 1
    assert "Another server runs on" in second.stderr
    assert "Traceback" not in second.stderr
