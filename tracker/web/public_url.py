"""The URL that Twilio called, which is part of what it signed.

Behind a proxy a request does not know it: the scheme and host it sees are the proxy's. So either ``PUBLIC_BASE_URL`` says it, or
the request's own headers do, and forwarded ones are believed only from proxies that are trusted. The signature is verified over
whatever comes out, so a wrong belief refuses callbacks; it cannot let a forged one in.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from tracker.settings import IpNetwork
from tracker.twilio.signature import origin_forms

Headers = dict[bytes, bytes]


class PublicUrl:
    """Knows the forms of the URL that a request may have been signed with."""

    def __init__(self, base_url: str | None, trusted_proxies: Sequence[IpNetwork]) -> None:
        self._given = base_url
        self._trusted = tuple(trusted_proxies)

    def forms(self, scheme: str, client: str | None, headers: Headers, path: bytes, query: bytes) -> tuple[str, ...]:
        """URLs, likeliest first.

        scheme, client: of the connection as we see it; client is None on a Unix socket. headers: names in small letters.
        path, query: as received, still escaped; query without its question mark.
        """
        return _full_forms(self._given or self._base_url(scheme, client, headers), path, query)

    def _base_url(self, scheme: str, client: str | None, headers: Headers) -> str:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._trusted or not _is_trusted(client, self._trusted):
            return f"{scheme}://{host}"
        scheme = _first(headers, b"x-forwarded-proto") or scheme
        host = _first(headers, b"x-forwarded-host") or host
        port = _first(headers, b"x-forwarded-port")
        if port and ":" not in host.rpartition("]")[2] and port not in {"80", "443"}:
            host = f"{host}:{port}"
        return f"{scheme.lower()}://{host}{_first(headers, b'x-forwarded-prefix').rstrip('/')}"


@lru_cache(maxsize=1024)
def _full_forms(base_url: str, path: bytes, query: bytes) -> tuple[str, ...]:
    """``origin_forms`` with the base URL's prefix, the path and the query behind each. Most callbacks have one URL."""
    start = base_url.find("://") + 3
    cut = base_url.find("/", start)
    origin, prefix = (base_url, "") if cut < 0 else (base_url[:cut], base_url[cut:])
    target = prefix + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
    return tuple(form + target for form in origin_forms(origin))


def _first(headers: Headers, name: bytes) -> str:
    """The first item of a header that each proxy on the way may have added to, as in ``https, http``; it is the outermost's."""
    return headers.get(name, b"").decode("latin-1").partition(",")[0].strip()


@lru_cache(maxsize=1024)
def _is_trusted(client: str | None, networks: tuple[IpNetwork, ...]) -> bool:
    if client is None:
        return False
    try:
        address = ip_address(client)
    except ValueError:
        return False
    return any(address in network for network in networks)
