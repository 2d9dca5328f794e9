"""The runbook: its commands run, its figures hold, and its page is what the Markdown says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from grafana.builder.__main__ import rendered_runbook
from grafana.builder.runbook import PAGE
from tests.grafana.shipped import RUNBOOK, alerts
from tests.support.events import EVIDENCE, message_sid, new_events
from tests.support.serving import Tracker, bare_environment, running_tracker
from tracker.log.spool.spool_file import Spool

SECONDS: Final = 30
"""How long a command may take."""

EXPECTED: Final = {
    'curl -sH "Authorization: Bearer $TOKEN" $TRACKER/readyz': r'"status": ?"(ok|ready)"|^\{',
    "tracker project --status": r"message_state",
    "tracker errors 30007": r"30007 .*[Ff]ilter",
    "tracker history $SID": r"delivered",
    "curl -si -d '' $PUBLIC_BASE_URL/webhooks/twilio/status": r"\AHTTP/1\.1 403 ",
    'curl -sH "Authorization: Bearer $TOKEN" $TRACKER/healthz': r"position",
    'df -h "$TRACKER_DATA_DIR"': r"\d+%",
    'ls -l "$TRACKER_DATA_DIR"': r"\bspool\b",
    "curl -si $TRACKER/livez": r"\AHTTP/1\.1 200 ",
    'curl -siH "Authorization: Bearer $TOKEN" $TRACKER/metrics': r"\AHTTP/1\.1 200 (?s:.*)^tracker_callbacks_total\{",
    "curl -sH \"Authorization: Bearer $TOKEN\" -o /dev/null -w '%{http_code} %{time_total}\\n' $TRACKER/metrics": r"\A200 \d+\.\d+",
}
"""Every command of the runbook, and what a healthy tracker lets it print."""

RECORDS: Final = 5_000
BODY: Final = "&".join(
    [
        "ApiVersion=2010-04-01",
        f"SmsSid={message_sid(1)}",
        "SmsStatus=delivered",
        "MessageStatus=delivered",
        f"MessageSid={message_sid(1)}",
        "To=%2B14155550100",
        "From=%2B14155550199",
        "AccountSid=AC" + "1" * 32,
        "MessagingServiceSid=MG" + "2" * 32,
        "RawDlrDoneDate=2611242058",
    ]
).encode()
"""A usual callback: Twilio's are 300 to 500 bytes long."""


def commands() -> Iterator[str]:
    """Every command of the runbook's ``bash`` blocks, one a line, without the comment behind it."""
    for block in re.findall(r"```bash\n(.*?)```", RUNBOOK.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            yield re.sub(r"\s+# .*", "", line)


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    """A healthy tracker that knows one delivered message."""
    with running_tracker() as tracker:
        for status in ("sent", "delivered"):
            tracker.post_ok(status, 1)
        tracker.wait_projected()
        yield tracker


def run(command: str, tracker: Tracker) -> subprocess.CompletedProcess[str]:
    """Run a command as a person does, with the variables that the runbook names."""
    environment = bare_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TRACKER": tracker.base_url,
        "TOKEN": "none-needed",
        "PUBLIC_BASE_URL": tracker.base_url,
        "TRACKER_DATA_DIR": str(tracker.data_dir),
        "SID": message_sid(1),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=environment, cwd=tracker.data_dir, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip


def test_every_command_is_expected_to_print_something() -> None:
    """No command of the runbook is left untested, and none is tested that the runbook no longer has."""
    assert set(commands()) == EXPECTED.keys()


@pytest.mark.parametrize("command", EXPECTED)
def test_a_command_runs(tracker: Tracker, command: str) -> None:
    """It ends with exit code 0 and prints what the runbook's reader looks for."""
    done = run(command, tracker)
    assert done.returncode == 0, done.stderr
    assert re.search(EXPECTED[command], done.stdout, flags=re.MULTILINE), done.stdout


def test_a_request_without_a_form_proves_nothing(tracker: Tracker) -> None:
    """Without ``-d ''`` a healthy tracker answers 415, as the runbook says, so the check must have it."""
    done = run("curl -si -X POST $PUBLIC_BASE_URL/webhooks/twilio/status", tracker)
    assert done.stdout.startswith("HTTP/1.1 415 ")


def test_a_gigabyte_of_spool_is_about_a_million_callbacks(tmp_path: Path) -> None:
    """1 GiB of usual callbacks lasts about 29 hours at 10 a second and 17 minutes at 1,000 a second."""
    spool = Spool(tmp_path / "spool.sqlite", 2**30)
    evidence = msgspec.structs.replace(EVIDENCE, body=BODY, url="https://status.example.com/webhooks/twilio/status")
    events = [msgspec.structs.replace(event, evidence=evidence) for event in new_events(RECORDS)]
    for start in range(0, RECORDS, 100):
        spool.write(events[start : start + 100])
    callbacks = 2**30 / (spool.size.bytes / RECORDS)
    assert callbacks == pytest.approx(1_000_000, rel=0.25)
    assert callbacks / 10 / 3600 == pytest.approx(29, rel=0.25)
    assert callbacks / 1000 / 60 == pytest.approx(17, rel=0.25)


def test_the_page_is_as_the_builder_writes_it() -> None:
    """The committed page is the generated one."""
    assert PAGE.read_text(encoding="utf-8") == rendered_runbook()


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_the_page_has_an_anchor_for_each_alert(name: str) -> None:
    """By the alert's name as it is, for tables of alerts, and in lower case, for links in alerts."""
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(f'id="{name}"') == page.count(f'id="{name.lower()}"') == 1


def test_the_page_needs_nothing_else() -> None:
    """No script, image or style sheet of another place: it opens when everything else is down."""
    assert not re.search(r"<(script|img|link|iframe)\b|url\(|\{html", PAGE.read_text(encoding="utf-8"))


def test_the_runbook_promises_nothing_that_is_not_there() -> None:
    """Nothing fetches at Twilio what did not arrive."""
    assert "reconcil" not in RUNBOOK.read_text(encoding="utf-8").lower()
