"""The pages in a real browser: nothing scrolls sideways on a telephone, and a link to an event opens its evidence.

Needs Chromium, which ``.ci/run`` installs. The pages allow no script, so each is saved, and measured by a script that is added to the
saved copy.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import SID, append, event, quarantined
from tests.support.programs import find_program
from tests.support.projector import project

TELEPHONE = 390
"""Pixels of a usual telephone's width."""

LONG = "MM" + "7" * 32
"""A message whose every value is long and has no place to break."""

MEASURE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const wide = [...document.querySelectorAll("main *")].filter(
    each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
      && getComputedStyle(each).display != "none").map(each => each.outerHTML.slice(0, 80));
  document.documentElement.setAttribute("data-measured", JSON.stringify({
    inner: innerWidth, scroll: document.documentElement.scrollWidth, wide: wide.slice(0, 5),
    statuses: Object.fromEntries([...document.querySelectorAll("td .status")].map(
      each => [each.textContent, each.getClientRects().length])),
    open: [...document.querySelectorAll("details[open] .evidence")].map(each => each.id),
    font: [...document.querySelectorAll("svg.chart text")].map(each => each.getBoundingClientRect().height).filter(h => h > 0),
  }));
}, 50));
</script>
"""


@pytest.fixture(scope="module")
def client(postgres: PostgresForTests) -> Iterator[TestClient[Litestar]]:
    """A server with usual messages, one of long values, and a quarantine."""
    parameters = {
        "MessageSid": LONG,
        "MessageStatus": "S" * 64,
        **dict.fromkeys(["To", "From", "ErrorCode", "MessagingServiceSid", "Q" * 300], "w" * 256),
    }
    with postgres.database() as url:
        append(
            url,
            [
                *(event("sent", number) for number in range(3)),
                event(
                    "undelivered", 60, ErrorCode="30003", RawDlrDoneDate="2603011201", ChannelStatusMessage="m" * 200
                ),
                event("delivered", 120, To="whatsapp:+447400123456", MessagingServiceSid="MG" + "a" * 32),
                event("", 200, body=urlencode(parameters).encode()),
                quarantined("no_status", urlencode(parameters | {"MessageStatus": ""}), 10),
            ],
        )
        project(url)
        with answering(url) as client:
            yield client


def measure(page: httpx.Response, directory: Path, width: int, fragment: str = "") -> Any:
    """What a browser makes of a page on a screen of that width, in pixels."""
    chromium = find_program("chromium")
    saved = directory / "page.html"
    saved.write_text(page.text.replace("</head>", f"{MEASURE}</head>").replace('http-equiv="refresh"', ""), "utf-8")
    # The window of a browser is never as narrow as a telephone's, a frame in it is.
    frame = directory / "frame.html"
    frame.write_text(
        f'<iframe src="page.html{fragment}" width="{width}" height="800" style="border:0"></iframe>'
        "<script>setInterval(() => { const measured = frames[0].document.documentElement.dataset.measured;"
        "if (measured) document.documentElement.dataset.measured = measured; }, 20)</script>",
        "utf-8",
    )
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
        *("--allow-file-access-from-files", "--virtual-time-budget=3000", f"--user-data-dir={directory / 'profile'}"),
    )
    result = subprocess.run(
        [chromium, *options, "--window-size=1400,900", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'data-measured="([^"]*)"', result.stdout)
    assert found is not None, result.stdout[:2000] + result.stderr[-2000:]
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("width", [TELEPHONE, 1280])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/messages/{SID}",
        f"/messages/{LONG}",
        "/messages",
        "/quarantine",
        "the callback",
        "/schema",
        "/nowhere/at/all",
    ],
)
def test_nothing_scrolls_sideways(client: TestClient[Litestar], tmp_path: Path, path: str, width: int) -> None:
    """On a telephone and on a desk, whatever the values are; the text in charts can be read."""
    if path == "the callback":
        path = "/quarantine/" + client.get("/api/quarantine").json()["callbacks"][0]["quarantine_id"]
    page = client.get(path, headers={"Accept": "text/html"})
    measured = measure(page, tmp_path, width)
    assert measured["inner"] == width
    assert measured["scroll"] <= width, measured["wide"]
    assert all(height >= 10 for height in measured["font"])


def test_a_link_to_an_event_opens_its_evidence(client: TestClient[Litestar], tmp_path: Path) -> None:
    """And that of no other event."""
    page = client.get(f"/messages/{SID}")
    assert measure(page, tmp_path, 1280)["open"] == []
    assert measure(page, tmp_path, 1280, "#event-4")["open"] == ["event-4"]


@pytest.mark.parametrize("path", ["/", f"/messages/{SID}", "/messages"])
def test_statuses_stay_on_one_line(client: TestClient[Litestar], tmp_path: Path, path: str) -> None:
    """On a desk, a table breaks no word of Twilio's statuses; longer ones break."""
    measured = measure(client.get(path, headers={"Accept": "text/html"}), tmp_path, 1280)
    assert "undelivered" in measured["statuses"] or path != f"/messages/{SID}"
    assert all(lines == 1 for status, lines in measured["statuses"].items() if len(status) < 12), measured["statuses"]


def test_an_address_breaks_after_its_channel(client: TestClient[Litestar]) -> None:
    """A narrow column shows the number of a WhatsApp address whole."""
    assert "whatsapp:<wbr>+447400123456</td>" in client.get("/messages").text
    assert "whatsapp:<wbr>+447400123456 (GB)</td>" in client.get("/").text
