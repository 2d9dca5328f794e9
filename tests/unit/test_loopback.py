"""Hosts and headers of requests from this machine."""

import pytest

from tracker.web.access.loopback import is_local_request, loopback_host

LOCAL = (
    "localhost", "LocalHost", "localhost:8000", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:65535", "127.1.2.3:80", "127.255.255.255",
    "[::1]", "[::1]:8000",
)  # fmt: skip

NOT_LOCAL = (
    "", "evil.example", "localhost.evil.example", "localhost.", "xlocalhost", "127.0.0.1.evil.example", "127.0.0.1.", "127.1",
    "127.0.0.256", "127.0.0.01", "127.0.0.1.1", "128.0.0.1", "0.0.0.0", "10.127.0.0.1", "2130706433", "0x7f.0.0.1", "::1", "::1:8000",
    "[::1", "[::2]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "localhost:", "localhost:0", "localhost:65536", "localhost:100000",
    "localhost:80:80", "localhost:+80", "localhost: 80", "localhost:8٠", " localhost", "localhost ", "localhost\n", "localhost\t",
    "localhost/sms", "localhost/smsAccountSidAC1", "localhost?a=b", "localhost#a", "user@localhost", "localhost@evil.example",
    "localhost,evil.example", "localhost, localhost", "localhost\\evil.example", "localhost;", "loc\0alhost", "localhost%00",
    "http://localhost", "localhost:80/sms", "localhost:80@evil.example", "x" * 100_000,
)  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_names_and_addresses_of_this_machine(host: str) -> None:
    """With and without a port; returned as they are, because they are part of what is signed."""
    assert loopback_host(host.encode()) == host


@pytest.mark.parametrize("host", NOT_LOCAL, ids=lambda host: repr(host)[:40])
def test_everything_else_is_elsewhere(host: str) -> None:
    """Other hosts, other spellings of loopback addresses, and anything that could be more than a host."""
    assert loopback_host(host.encode()) is None


FORWARDING = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-server", "x-forwarded-anything", "x-forwarded", "x-real-ip", "x-client-ip", "x-original-host", "x-original-url",
    "x-rewrite-url", "true-client-ip", "cf-connecting-ip", "cf-ray", "cdn-loop",
)  # fmt: skip


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("value", ["", "127.0.0.1", "localhost"])
def test_a_header_of_a_proxy_makes_a_request_foreign(name: str, value: str) -> None:
    """Whatever it says: a tunnel may rewrite the Host to localhost, but it is proxied nevertheless."""
    assert is_local_request([(b"host", b"localhost:8000"), (b"accept", b"*/*")])
    assert not is_local_request([(b"host", b"localhost:8000"), (name.encode(), value.encode())])


def test_there_is_exactly_one_host() -> None:
    """A request with none, or with two, is read differently by different programs."""
    assert not is_local_request([])
    assert not is_local_request([(b"host", b"evil.example")])
    assert not is_local_request([(b"host", b"evil.example"), (b"host", b"localhost")])
    assert not is_local_request([(b"host", b"localhost"), (b"host", b"localhost")])
