"""Where to post: what was given, and for the rest the settings of the tracker here."""

from pathlib import Path

import pytest

from tracker.errors import NoDatabaseError
from tracker.server_settings import local_base_url
from tracker.settings import DEVELOPMENT_ACCOUNT_SID, SECRETS, Settings, effective_account, load_settings
from tracker.simulate.target import check_url, find_target

ACCOUNT_SID = "AC" + "a" * 32


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings but those of the test: another folder, without an ``.env``."""
    monkeypatch.chdir(tmp_path)
    for field, model in Settings.model_fields.items():
        monkeypatch.delenv(model.alias or field.upper(), raising=False)
    for name in SECRETS:
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    return tmp_path


@pytest.fixture
def started_here(empty_folder: Path) -> Path:
    """A tracker was started here without a token of Twilio's, so it has made one."""
    effective_account(load_settings())
    return empty_folder


def test_without_anything_it_is_the_tracker_of_this_folder(started_here: Path) -> None:
    """The default address, the development account, and the token that the tracker keeps in its data folder."""
    target = find_target()
    assert target.url == target.signed_url == "http://127.0.0.1:8000/webhooks/twilio/status"
    assert target.api_base_url == "http://127.0.0.1:8000"
    assert target.account_sid == DEVELOPMENT_ACCOUNT_SID
    assert target.auth_token == (started_here / ".tracker" / "development-auth-token").read_text(encoding="ascii")
    assert target.api_token is None


def test_where_no_tracker_was_started_it_says_where_it_looked(empty_folder: Path) -> None:
    """And makes no token, which no tracker would know."""
    with pytest.raises(NoDatabaseError, match=f"development token in {empty_folder}/.tracker"):
        find_target()
    assert list(empty_folder.iterdir()) == []


def test_it_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Address, account, first of the tokens, API token; signed for the public URL, posted to the local one."""
    monkeypatch.setenv("TRACKER_PORT", "8123")
    monkeypatch.setenv("TRACKER_HOST", "0.0.0.0")
    monkeypatch.setenv("TRACKER_API_TOKEN", "open sesame")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "new,old")
    monkeypatch.setenv("PUBLIC_BASE_URL", "https://status.example.com/prefix/")
    target = find_target()
    assert target.url == "http://127.0.0.1:8123/webhooks/twilio/status"
    assert target.signed_url == "https://status.example.com/prefix/webhooks/twilio/status"
    assert (target.account_sid, target.auth_token, target.api_token) == (ACCOUNT_SID, "new", "open sesame")


@pytest.mark.usefixtures("started_here")
def test_a_query_string_on_the_local_url_is_signed_on_the_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is how the tracker sees it."""
    monkeypatch.setenv("PUBLIC_BASE_URL", "https://status.example.com")
    target = find_target("http://127.0.0.1:8000/webhooks/twilio/status?tenant=1")
    assert target.signed_url == "https://status.example.com/webhooks/twilio/status?tenant=1"


@pytest.mark.usefixtures("started_here")
def test_another_url_is_signed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what Twilio would be given."""
    monkeypatch.setenv("PUBLIC_BASE_URL", "https://status.example.com")
    target = find_target("https://tunnel.example.net/x/webhooks/twilio/status")
    assert target.url == target.signed_url
    assert target.api_base_url == "https://tunnel.example.net/x"


def test_what_is_given_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With URL and token, unusable settings do not matter, as they are not read."""
    monkeypatch.setenv("TRACKER_PORT", "none")
    target = find_target("http://127.0.0.1:9/cb?x=1", "12345", ACCOUNT_SID, "open sesame")
    assert (target.url, target.auth_token, target.account_sid) == ("http://127.0.0.1:9/cb?x=1", "12345", ACCOUNT_SID)
    assert (target.api_base_url, target.api_token) == ("http://127.0.0.1:9", "open sesame")


@pytest.mark.usefixtures("started_here")
def test_an_ipv6_address_is_written_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any address to listen on is the loopback one to call."""
    monkeypatch.setenv("TRACKER_HOST", "::")
    monkeypatch.setenv("TRACKER_API_TOKEN", "open sesame")
    assert find_target().url == "http://[::1]:8000/webhooks/twilio/status"
    for host in ("::1", "[::1]"):
        assert local_base_url(load_settings({"TRACKER_HOST": host}), 8000) == "http://[::1]:8000"


@pytest.mark.usefixtures("started_here")
def test_port_zero_is_never_posted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands for any port that is free, and the server alone knows which."""
    monkeypatch.setenv("TRACKER_PORT", "0")
    with pytest.raises(ValueError, match="give --url with the address"):
        find_target()
    assert find_target("http://127.0.0.1:8123/webhooks/twilio/status").url.startswith("http://127.0.0.1:8123/")


def test_connection_overrides_are_neither_sent_nor_signed() -> None:
    """The fragment is for Twilio's own client."""
    assert check_url("https://status.example.com/s?x=1#rc=5&rp=all") == "https://status.example.com/s?x=1"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "absolute"),
        ("status", "absolute"),
        ("/webhooks", "absolute"),
        ("ftp://example.com/", "absolute"),
        ("http://", "absolute"),
        ("http://user:pass@example.com/", "credentials"),
        ("http://example.com/ä", "percent-encoded"),
        ("http://example.com/a b", "percent-encoded"),
        ("http://example.com:0/", "[Pp]ort"),
        ("http://example.com:99999/", "[Pp]ort"),
        ("http://example.com:http/", "[Pp]ort"),
    ],
)
def test_a_url_that_cannot_be_posted_to_is_refused(url: str, complaint: str) -> None:
    """With a sentence that says what is wrong."""
    with pytest.raises(ValueError, match=complaint):
        check_url(url)
