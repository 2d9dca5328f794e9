"""Log lines about many requests at once: a flood of requests must not become a flood of lines.

The first request after a quiet time is logged at once. Those of the next ten seconds are counted, and one line reports them at the end,
also when no further request comes.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Final, Protocol

import structlog

_log = structlog.get_logger()

SUMMARY_SECONDS: Final = 10.0
"""Time between two lines about one kind of event."""

MAX_EXAMPLES: Final = 4
"""Accounts, URLs, networks and identities per line."""

_MAX_URL: Final = 300
"""Characters of a URL in a line."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_UNPRINTABLE: Final = re.compile(r"[^!-~]")
_PREFIXES: Final = {4: 24, 6: 48}
"""Bits of a client's address that are logged, by IP version."""


class Timer(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Do not make it."""
        ...


class SummaryLog:
    """Lines about one kind of event, such as ``callback.refused``."""

    def __init__(self, event: str, call_later: Callable[[float, Callable[[], None]], Timer] | None = None) -> None:
        """call_later: calls a function after some seconds; None: the running event loop does."""
        self._event = event
        self._call_later = call_later
        self._timer: Timer | None = None
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, dict[str, None]] = {}

    def count(self, reason: str) -> None:
        """Count one event. Call ``finish`` after ``example``."""
        self._reasons[reason] += 1

    def example(self, kind: str, text: str | None) -> None:
        """Add what the line names, such as an account; None adds nothing. Only the first ``MAX_EXAMPLES`` of a kind are kept."""
        if text is not None:
            found = self._examples.setdefault(kind, {})
            if len(found) < MAX_EXAMPLES:
                found[text] = None

    def wants(self, kind: str) -> bool:
        """Whether an example of this kind would be kept, so that it need not be prepared in vain."""
        return len(self._examples.get(kind, ())) < MAX_EXAMPLES

    def finish(self) -> None:
        """Log now when the last line is old enough; else a timer does."""
        if self._timer is None:
            self._emit()

    def close(self) -> None:
        """Log what is counted and not logged yet, and stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reasons:
            self._write()

    def _emit(self) -> None:
        self._timer = None
        if self._reasons:
            self._write()
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(SUMMARY_SECONDS, self._emit)

    def _write(self) -> None:
        reasons, self._reasons = dict(self._reasons), Counter()
        examples, self._examples = self._examples, {}
        named = {kind: list(found) for kind, found in examples.items()}
        _log.warning(self._event, number=sum(reasons.values()), reasons=reasons, **named)


def describe_url(url: str) -> str:
    """A URL for a log line: names of query parameters without their values, nothing that is not printable ASCII."""
    place, mark, query = url[: _MAX_URL * 10].partition("?")
    names = [part.partition("=")[0] for part in query[:_MAX_URL].split("&")]
    shown = "&".join([(name if _NAME.fullmatch(name) else "…") + "=…" for name in names])
    return _UNPRINTABLE.sub("?", place[:_MAX_URL]) + mark + (shown if query else "")


def describe_network(client: str | None) -> str | None:
    """The network of a client: /24 of IPv4, /48 of IPv6. None: the client has no IP address."""
    try:
        address = ip_address(client or "")
    except ValueError:
        return None
    return str(ip_network((address, _PREFIXES[address.version]), strict=False))
