"""The URL that Twilio called, which is part of what it signed.

Twilio signs the URL and the parameters without a delimiter between them. A client that chose the beginning of the URL could therefore
move text from the parameters into it, and a signature that Twilio made for another webhook of the same account would verify. So the
beginning (scheme, host, port, prefix) does not come from the request: it is one of ``PUBLIC_BASE_URL``. Without that setting only a Host
that names this machine itself is accepted, strictly parsed: Twilio signs no such URL. Forwarded headers are ignored.
"""

from collections.abc import Sequence

from tracker.twilio.signature import origin_forms
from tracker.web.access.loopback import loopback_host


class PublicUrl:
    """Finds the URLs that a request may have been signed with."""

    def __init__(self, base_urls: Sequence[str]) -> None:
        """base_urls: scheme, host, port and prefix, without a slash at the end; the one in use first."""
        self._beginnings = tuple(dict.fromkeys(form for base_url in base_urls for form in _beginnings(base_url)))

    def forms(self, scheme: str, host: bytes, path: bytes, query: bytes) -> tuple[str, ...] | None:
        """URLs, likeliest first; at most six per base URL. None: no base URL is configured, and the host is no loopback one.

        scheme: of the connection. host: the Host header, empty when there is none. path, query: as received, still escaped; query
        without its question mark.
        """
        beginnings = self._beginnings
        if not beginnings:
            local = loopback_host(host)
            if local is None:
                return None
            # Its cache is bounded, and so is the length of its keys.
            beginnings = origin_forms(f"{scheme}://{local}")
        target = path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        return tuple([beginning + target for beginning in beginnings])


def _beginnings(base_url: str) -> list[str]:
    """``origin_forms`` of a base URL, with its prefix behind each."""
    cut = base_url.find("/", base_url.find("://") + 3)
    origin, prefix = (base_url, "") if cut < 0 else (base_url[:cut], base_url[cut:])
    return [form + prefix for form in origin_forms(origin)]
