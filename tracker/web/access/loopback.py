"""Requests from this machine itself, told by their headers.

A server that listens on a loopback address is still reached from elsewhere: through a tunnel or a proxy on this machine, and from any
web page in a browser on this machine (DNS rebinding: a name of the attacker's that resolves to 127.0.0.1). Both show in the headers:
the Host is the public name, or the proxy adds headers of its own.
"""

import re
from collections.abc import Iterable
from typing import Final

_HOST: Final = re.compile(
    rb"(?:localhost|127(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}|\[::1\])(?::([0-9]{1,5}))?",
    re.IGNORECASE,
)
_MAX_PORT: Final = 65_535

_FORWARDING: Final = frozenset({
    b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-host", b"x-original-url",
    b"x-original-forwarded-for", b"x-rewrite-url", b"x-envoy-external-address", b"true-client-ip", b"fastly-client-ip",
    b"cf-connecting-ip", b"cf-ray", b"cdn-loop",
})  # fmt: skip
"""Headers that proxies, tunnels and content delivery networks add, beside all that begin with ``x-forwarded``."""


def loopback_host(host: bytes) -> str | None:
    """The value of a Host header as text if it is localhost, an address of 127.0.0.0/8 or ``[::1]``, with or without a port; else None.

    At most 21 characters, none of them ``/ ? # @`` or a space: what follows is put behind it in a URL.
    """
    match = _HOST.fullmatch(host)
    if match is None or (match[1] is not None and not 0 < int(match[1]) <= _MAX_PORT):
        return None
    return host.decode("ascii")


def is_local_request(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the request names exactly one Host, a loopback one, and no proxy on its way.

    headers: names in small letters, as in an ASGI scope.
    """
    hosts: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name in _FORWARDING or name.startswith(b"x-forwarded"):
            return False
    return len(hosts) == 1 and loopback_host(hosts[0]) is not None
