"""Rules for the head of an HTTP/1.1 request: sizes, version, Host, target and framing (RFC 9112).

llhttp, the parser under httptools, already rejects bare CR and LF, folded lines, a repeated or signed Content-Length,
Content-Length beside Transfer-Encoding, and a Transfer-Encoding that does not end in ``chunked``. Here are the rules
that it leaves to the server. A request that breaks one of them ends its connection, because the next request on it
might not begin where it seems to.
"""

from collections.abc import Sequence
from typing import Final

from tracker.http.responses import (
    BAD_REQUEST,
    HEAD_TOO_LARGE,
    TARGET_TOO_LONG,
    UNKNOWN_TRANSFER_CODING,
    UNSUPPORTED_VERSION,
    Response,
)

MAX_HEAD_BYTES: Final = 16 * 1024
"""Bytes of a request line and its header lines. The callbacks that Twilio sends have about one kilobyte."""

MAX_HEADER_LINES: Final = 100
"""Header lines of a head, and trailer lines of a chunked body. Each takes up to 31 times its own size in memory."""

MAX_TARGET_BYTES: Final = 8 * 1024
"""Bytes of a request target. Twilio allows 4,000 characters for a callback URL."""

MAX_HOST_BYTES: Final = 255
"""Bytes of a Host field: the longest DNS name (RFC 1035, section 2.3.4)."""

_LINE_OVERHEAD: Final = 4
"""Bytes of a header line besides its name and value: colon, space, CR and LF."""

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}

Headers = dict[bytes, bytes]
"""Value of each header by its name in lower case; the last value of a repeated one."""

HeaderLines = Sequence[tuple[bytes, bytes]]
"""Name in lower case and value of each header line, in the order of the request."""


class RefusedRequestError(Exception):
    """A request that is answered with an error, after which the connection ends."""

    def __init__(self, reason: str, response: Response) -> None:
        """reason: a short name, counted and logged. response: the answer."""
        super().__init__(reason)
        self.reason = reason
        self.response = response


def head_too_large() -> RefusedRequestError:
    """A head with too many lines or bytes: 431."""
    return RefusedRequestError("head_too_large", HEAD_TOO_LARGE)


def target_too_long() -> RefusedRequestError:
    """A request target over MAX_TARGET_BYTES: 414."""
    return RefusedRequestError("target_too_long", TARGET_TOO_LONG)


def malformed() -> RefusedRequestError:
    """A request that is not HTTP/1.1, or whose meaning is ambiguous: 400."""
    return RefusedRequestError("malformed", BAD_REQUEST)


def head_bytes(target: bytes, lines: HeaderLines) -> int:
    """Size of a complete head, without the white space around values."""
    return len(target) + sum(len(name) + len(value) + _LINE_OVERHEAD for name, value in lines)


def check_head(version: str, target: bytes, lines: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> bytes:
    """The request target in origin form, such as ``/path?query``, or ``*``.

    version: such as ``1.1``. lines: all header lines. fields: the same as a dictionary. A request in HTTP/1.0 with an
    absolute target and no Host gets the target's authority as its Host, in both of them.

    Raises RefusedRequestError.
    """
    host = fields.get(b"host")
    coding = fields.get(b"transfer-encoding")
    if version != "1.1" or coding is not None:
        _check_framing(version, coding)
    if len(target) > MAX_TARGET_BYTES:
        raise target_too_long()
    if host is None:
        if version == "1.1":
            raise malformed()
    elif len(host) > MAX_HOST_BYTES:
        raise malformed()
    if len(fields) != len(lines) and sum(name == b"host" for name, _ in lines) > 1:
        raise malformed()
    if target.startswith(b"/") or target == b"*":
        return target
    return _check_absolute_form(target, lines, fields)


def _check_framing(version: str, coding: bytes | None) -> None:
    """Accept HTTP/1.1 and HTTP/1.0, and ``chunked`` alone: a body in another coding would be read as if it had none."""
    if version not in {"1.1", "1.0"}:
        raise RefusedRequestError("unsupported_version", UNSUPPORTED_VERSION)
    if coding is None:
        return
    if version == "1.0":
        # RFC 9112, section 6.1: such a message has faulty framing.
        raise malformed()
    if coding.strip().lower() != b"chunked":
        raise RefusedRequestError("unknown_transfer_coding", UNKNOWN_TRANSFER_CODING)


def _check_absolute_form(target: bytes, lines: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> bytes:
    """Origin form of an absolute target, whose authority is that of Host."""
    host = fields.get(b"host")
    scheme, authority, target = _split_absolute_form(target)
    if host is None:
        fields[b"host"] = authority
        lines.append((b"host", authority))
    elif _canonical(authority, scheme) != _canonical(host, scheme):
        # RFC 9112, section 3.2: a client sends the same authority in both places.
        raise malformed()
    return target


def _split_absolute_form(target: bytes) -> tuple[bytes, bytes, bytes]:
    """Scheme in lower case, authority, and origin form of a target such as ``http://host/path?query``."""
    scheme, separator, rest = target.partition(b"://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise malformed()
    end = min((at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority or len(authority) > MAX_HOST_BYTES or b"@" in authority:
        raise malformed()
    return scheme, authority, path if path[:1] == b"/" else b"/" + path


def _canonical(authority: bytes, scheme: bytes) -> bytes:
    """An authority in lower case, without the scheme's default port."""
    return authority.lower().removesuffix(_DEFAULT_PORTS[scheme])
