"""The page of a message: what it shows, that it shows data as data, and that it needs nothing from elsewhere."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.support.application import answering
from tests.support.database import PostgresForTests
from tests.support.events import ACCOUNT, SID, append, event

HOSTILE = "MM" + "5" * 32
ATTACK = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"
HOSTILE_PARAMETERS = {
    "MessageSid": HOSTILE,
    "MessageStatus": ATTACK[:64],
    **dict.fromkeys(["To", "From", "ErrorCode", "RawDlrDoneDate", "AccountSid", "MessagingServiceSid", ATTACK], ATTACK),
}


@pytest.fixture(scope="module")
def client(postgres: PostgresForTests) -> Iterator[TestClient[Litestar]]:
    """A server with a failed message that was delivered after all, and one whose every value attacks the page."""
    with postgres.database() as url:
        append(
            url,
            [
                event("sent", 0),
                event("undelivered", 60, ErrorCode="30003", RawDlrDoneDate="2603011201"),
                event("delivered", 120, RawDlrDoneDate="2603011202"),
                event("sent", 180, token="8b1d"),  # an idempotency token
                event("", body=urlencode(HOSTILE_PARAMETERS).encode()),
            ],
        )
        with answering(url) as client:
            yield client


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "link", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} is closed out of order"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.words.append(data)


def show(client: TestClient[Litestar], path: str, status: int = 200) -> Page:
    """The page, which must be well formed."""
    response = client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert page.open == []
    return page


def test_it_says_what_the_state_is_and_why(client: TestClient[Litestar]) -> None:
    """State, deciding event, and a sentence for each effect that is not obvious."""
    text = show(client, f"/messages/{SID}").text
    assert f"{SID} delivered final" in text
    assert (
        "Position 3 (12:02:00) decides, with delivered: delivered outweighs undelivered unless the carrier dates it "
        "more than 26 hours earlier." in text
    )
    assert "Position 3 (12:02:00) said delivered after position 2 (12:01:00) had said undelivered: it corrects" in text
    assert "Position 4 (12:03:00) repeats what position 1 (12:00:00) had said: duplicate" in text
    assert "+15558675310" in text
    assert "3 2026-03-01 12:02:00 delivered – 2026-03-01 12:02 corrected ◀ decides now" in text


def test_it_shows_the_evidence(client: TestClient[Litestar]) -> None:
    """Every parameter, the signed URL, the signature and what proves it."""
    text = show(client, f"/messages/{SID}").text
    for expected in (
        "https://status.example.com/webhooks/twilio/status?tenant=7",
        hashlib.sha256(b"c2lnbmF0dXJl").hexdigest()[:16],
        f"{ACCOUNT}/0123abcd",
        "8b1d",
        "RawDlrDoneDate 2603011202",
        f"AccountSid={ACCOUNT}&MessageSid={SID}&MessageStatus=sent&From=%2B15557122661&To=%2B15558675310",
    ):
        assert expected in text


def test_an_error_comes_with_advice_and_a_link(client: TestClient[Litestar]) -> None:
    """As of the moment when it had failed."""
    page = show(client, f"/messages/{SID}?as_of=2026-03-01T12:01:30Z&clock=known")
    assert "The past: as known at 2026-03-01 12:01:30 UTC. Show now" in page.text
    assert "undelivered final" in page.text
    assert "Error 30003 phone off or out of reach Twilio’s page Retry in some hours" in page.text
    assert ("a", {"href": "../messages?had_error_code=30003"}) in page.elements
    twilio = {"class": "quiet-link", "href": "https://www.twilio.com/docs/api/errors/30003", "rel": "noreferrer"}
    assert ("a", twilio) in page.elements
    assert "2 events do not count at the moment that was asked about." in page.text


def test_the_form_asks_about_another_moment(client: TestClient[Litestar]) -> None:
    """It keeps what was asked, and an empty moment means now, as forms send it."""
    page = show(client, f"/messages/{SID}?as_of=2026-03-01T12:01:30.5Z&clock=happened")
    inputs = [(attributes.get("type"), attributes.get("value")) for tag, attributes in page.elements if tag == "input"]
    assert inputs == [("datetime-local", "2026-03-01T12:01:30.500")]
    assert ("option", {"value": "happened", "selected": None}) in page.elements
    assert "delivered final" in show(client, f"/messages/{SID}?as_of=&clock=happened").text


def test_each_event_links_to_what_was_known_then(client: TestClient[Litestar]) -> None:
    """And the link is one that the page understands."""
    links = [str(attributes["href"]) for tag, attributes in show(client, f"/messages/{SID}").elements if tag == "a"]
    moments = [link for link in links if link.startswith("?as_of=")]
    assert len(moments) == 4
    assert "undelivered final" in show(client, f"/messages/{SID}{moments[1]}").text


def test_what_came_from_outside_is_shown_and_not_obeyed(client: TestClient[Litestar]) -> None:
    """Markup in a status, an address, a parameter's name or value stays text."""
    page = show(client, f"/messages/{HOSTILE}")
    assert {tag for tag, _ in page.elements} & {"script", "img"} == set()
    assert ATTACK in page.text
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert all("twilio.com" not in str(attributes.get("href")) for _, attributes in page.elements)


@pytest.mark.parametrize("path", [f"/messages/{SID}", f"/messages/{HOSTILE}", "/messages/SM" + "0" * 32])
def test_it_needs_nothing_from_elsewhere(client: TestClient[Litestar], path: str) -> None:
    """The policy allows one style, ours, and nothing else; and the page asks for nothing else."""
    response = client.get(path)
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert "url(" not in style
    for tag, attributes in Page(response.text).elements:
        assert not {"src", "style", "srcset"} & attributes.keys(), (tag, attributes)
        assert attributes.get("action", "../messages") == "../messages"
        if tag in {"a", "link"}:
            assert re.match(r"\.\./|\?|#|https://www\.twilio\.com/docs/", str(attributes["href"])), attributes


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        pytest.param("/messages/SM" + "0" * 32, 404, "Not Found Nothing is known of SM" + "0" * 32 + ".", id="unknown"),
        pytest.param(
            f"/messages/{SID}?as_of=2020-01-01T00:00:00Z", 404, f"Not Found Nothing was known of {SID}", id="too early"
        ),
        pytest.param("/messages/hello", 400, "Bad Request This is no message SID", id="no SID"),
        pytest.param(f"/messages/{SID}?as_of=noon", 400, "Bad Request as_of: expected an RFC 3339 time", id="no time"),
        pytest.param(
            f"/messages/{SID}?x=<b>", 400, "Bad Request There is no query parameter 'x' here", id="no parameter"
        ),
    ],
)
def test_problems_are_pages_too(client: TestClient[Litestar], path: str, status: int, words: str) -> None:
    """For a person, with the status and what is wrong."""
    page = show(client, path, status)
    assert words in page.text
    assert {"../", "../messages"} <= {str(attributes.get("href")) for tag, attributes in page.elements if tag == "a"}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("2026-03-01T12:01", id="datetime-local without seconds"),
        pytest.param("2026-03-01T12:01:30", id="datetime-local"),
        pytest.param("2026-03-01T12:01:30.250", id="datetime-local with milliseconds"),
        pytest.param("2026-03-01 12:01:30", id="as the page shows it"),
        pytest.param("2026-03-01 12:01:30.250 UTC", id="as the page shows it, with its zone"),
        pytest.param("2026-03-01T12:01:30Z", id="RFC 3339"),
        pytest.param("2026-03-01T13:01:30+01:00", id="RFC 3339 with an offset"),
    ],
)
def test_a_moment_is_understood_as_people_have_it(client: TestClient[Litestar], moment: str) -> None:
    """From the browser's own field, or copied from the page: UTC, when no offset is given."""
    text = show(client, f"/messages/{SID}?{urlencode({'as_of': moment})}").text
    assert "undelivered final" in text
    assert "The past: as known at 2026-03-01 12:01" in text


@pytest.mark.parametrize(("path", "root"), [("/nowhere", "./"), ("/a/b/c", "../../"), ("/messages/x/y", "../../")])
def test_an_unknown_path_is_a_page_for_a_browser(client: TestClient[Litestar], path: str, root: str) -> None:
    """With ways on; a program gets JSON, and under /api everyone does."""
    answer = client.get(path, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this path." in answer.text
    assert f'href="{root}messages"' in answer.text
    assert "content-security-policy" in answer.headers
    assert client.get(path).headers["content-type"] == "application/problem+json"
    api = client.get(f"/api{path}", headers={"Accept": "text/html"})
    assert api.headers["content-type"] == "application/problem+json"


def test_the_icon_is_ours(client: TestClient[Litestar]) -> None:
    """No request of a browser for it is an error."""
    for path in ("/favicon.svg", "/favicon.ico"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")


def test_the_api_document_is_a_page(client: TestClient[Litestar]) -> None:
    """Every endpoint with its parameters, and nothing from elsewhere."""
    answer = client.get("/schema")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    text = Page(answer.text).text
    for words in ("GET /api/messages/{message_sid}/events", "GET /api/quarantine", "GET /api/stats", "had_error_code"):
        assert words in text
    assert "http" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', answer.text))
