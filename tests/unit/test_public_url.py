"""The URLs that a callback may have been signed with: configured ones, or this machine's own."""

import pytest

from tests.unit.test_loopback import LOCAL, NOT_LOCAL
from tracker.twilio import signature
from tracker.web.public_url import PublicUrl

PATH = b"/webhooks/twilio/status"
STATUS = PATH.decode()


@pytest.mark.parametrize("host", [*LOCAL, *NOT_LOCAL], ids=lambda host: repr(host)[:40])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_configured_url_is_used_whatever_the_host(host: str, scheme: str) -> None:
    """Nothing of the request but path and query gets into it."""
    found = PublicUrl(["https://status.example.com"]).forms(scheme, host.encode(), PATH, b"a=1&b=%20")
    assert found == (
        f"https://status.example.com{STATUS}?a=1&b=%20",
        f"https://status.example.com:443{STATUS}?a=1&b=%20",
    )


@pytest.mark.parametrize(
    ("base_url", "beginnings"),
    [
        ("http://a.example", ["http://a.example", "http://a.example:80"]),
        ("https://a.example:443", ["https://a.example:443", "https://a.example"]),
        ("https://a.example:8443", ["https://a.example:8443", "https://a.example"]),
        ("https://a.example/one/two", ["https://a.example/one/two", "https://a.example:443/one/two"]),
        ("https://a.example:8443/one", ["https://a.example:8443/one", "https://a.example/one"]),
        ("https://[2001:db8::1]", ["https://[2001:db8::1]", "https://[2001:db8::1]:443"]),
        ("https://[2001:db8::1]:8443/x", ["https://[2001:db8::1]:8443/x", "https://[2001:db8::1]/x"]),
        (
            "https://user:pw@a.example",
            [
                *("https://a.example", "https://a.example:443"),
                *("https://user:pw@a.example", "https://user:pw@a.example:443"),
            ],
        ),
    ],
)
def test_port_prefix_and_user_of_a_configured_url(base_url: str, beginnings: list[str]) -> None:
    """With and without its port, as Twilio signs either, and the prefix before the path."""
    found = PublicUrl([base_url]).forms("http", b"127.0.0.1", PATH, b"")
    assert found == tuple(beginning + STATUS for beginning in beginnings)


def test_several_configured_urls_are_all_candidates() -> None:
    """In their order, each form once: during a change of domain both are signed."""
    found = PublicUrl(["https://new.example", "https://old.example/x", "https://new.example:443"]).forms(
        "http", b"old.example", PATH, b""
    )
    assert found == (
        f"https://new.example{STATUS}",
        f"https://new.example:443{STATUS}",
        f"https://old.example/x{STATUS}",
        f"https://old.example:443/x{STATUS}",
    )


@pytest.mark.parametrize("host", LOCAL)
def test_without_a_configured_url_this_machine_itself_is_believed(host: str) -> None:
    """For `tracker simulate`, which is not Twilio: Twilio cannot call a loopback address."""
    found = PublicUrl([]).forms("http", host.encode(), PATH, b"x=1")
    assert found is not None
    assert found[0] == f"http://{host}{STATUS}?x=1"
    assert all(url.startswith("http://") and url.endswith(f"{STATUS}?x=1") for url in found)


@pytest.mark.parametrize("host", NOT_LOCAL, ids=lambda host: repr(host)[:40])
def test_without_a_configured_url_no_other_host_is_believed(host: str) -> None:
    """A host could carry parameters that Twilio signed for another webhook."""
    assert PublicUrl([]).forms("http", host.encode(), PATH, b"") is None


def test_nothing_is_cached_by_what_is_not_verified() -> None:
    """Hosts, paths and queries of strangers leave nothing behind; the only cache has bounded short keys."""
    signature.origin_forms.cache_clear()
    for public_url in (PublicUrl([]), PublicUrl(["https://status.example.com"])):
        for number in range(1000):
            public_url.forms("http", b"h%d.example" % number * 100, PATH + b"/%d" % number, b"q=%d" % number * 100)
    assert signature.origin_forms.cache_info().currsize == 1
    for number in range(1000):
        PublicUrl([]).forms("http", b"127.0.0.1:%d" % (number + 1), PATH, b"q=%d" % number)
    assert signature.origin_forms.cache_info().currsize <= 256
