"""``X-Twilio-Signature``: our own verifier, made for many requests with the same few keys.

The algorithm (https://www.twilio.com/docs/usage/security): the full URL, then every POST parameter as name and value sorted by name,
signed with HMAC-SHA1 under the auth token, base64. It agrees with ``twilio.request_validator.RequestValidator``, which is the
oracle in the tests.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from hmac import compare_digest
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

Algorithm = Literal["sha1", "sha256"]
"""HMAC_SHA1 is the auth token's; a shared key may use HMAC_SHA256."""

_SHAPE: Final = re.compile(rb"[A-Za-z0-9+/]{27}=|[A-Za-z0-9+/]{43}=")
"""Base64 of 20 bytes (SHA-1) or 32 bytes (SHA-256)."""

_LENGTHS: Final[dict[Algorithm, int]] = {"sha1": 28, "sha256": 44}

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Key:
    """A secret that signs. The HMAC is prepared once and copied per signature."""

    __slots__ = ("_mac", "account_sid", "key_id", "length")

    def __init__(self, key_id: str, secret: str, algorithm: Algorithm = "sha1", account_sid: str | None = None) -> None:
        self.key_id = key_id
        """Names the key in the evidence without revealing the secret."""
        self.account_sid = account_sid
        """Account of a callback that names none, in canonical case; None: unknown."""
        self.length = _LENGTHS[algorithm]
        """Characters of a signature."""
        self._mac = hmac.new(secret.encode(), digestmod=algorithm)

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data`` as it stands in the header: base64, no newline."""
        mac = self._mac.copy()
        mac.update(data)
        return b2a_base64(mac.digest(), newline=False)


def token_key(account_sid: str, token: str) -> Key:
    """The key of an account's auth token. Its id ends in a fingerprint, so that two tokens of an account can be told apart."""
    return Key(f"{account_sid}/{fingerprint(token)}", token, account_sid=account_sid)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal characters that tell two secrets apart and give neither away."""
    return hashlib.sha256(b"twilio-status-tracker key id:" + secret.encode()).hexdigest()[:8]


def is_signature(value: bytes) -> bool:
    """Whether a header value has the shape of a signature. No other value verifies."""
    return _SHAPE.fullmatch(value) is not None


def verify(keys: Iterable[Key], urls: Iterable[str], text: str, signature: bytes) -> tuple[Key, str] | None:
    """The key and the URL that ``signature`` was made with; None when no combination was.

    urls: forms of the same URL that Twilio may have signed (``url_forms``). text: the signed parameters (``signed_text``).
    """
    signed = text.encode("utf-8", "surrogatepass")
    candidates = tuple(urls)
    for key in keys:
        if key.length == len(signature):
            for url in candidates:
                if compare_digest(key.sign(url.encode("utf-8", "surrogatepass") + signed), signature):
                    return key, url
    return None


def body_hash_agrees(url: str, body: bytes) -> bool:
    """Whether the query's ``bodySHA256`` is the hash of a JSON body, whose parameters are then not signed but the URL is.

    Without this a forged JSON body would pass with any valid signature of the URL.
    """
    claimed = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
    return compare_digest(claimed.encode("utf-8", "surrogatepass"), hashlib.sha256(body).hexdigest().encode())


def url_forms(url: str) -> tuple[str, ...]:
    """The forms in which Twilio may have signed ``url``, likeliest first.

    Twilio drops the fragment and user:password; whether it keeps the port has varied, so its helper libraries try both, and so
    does this. User and password are also tried as given, as other helper libraries sign them.
    """
    origin, target = _split_target(url.partition("#")[0])
    return tuple(form + target for form in origin_forms(origin))


def _split_target(url: str) -> tuple[str, str]:
    """Origin, then path and query as they stand."""
    start = url.find("://") + 3
    ends = [end for end in (url.find(mark, start) for mark in "/?") if end >= 0]
    cut = min(ends, default=len(url))
    return url[:cut], url[cut:]


@lru_cache(maxsize=256)
def origin_forms(origin: str) -> tuple[str, ...]:
    """``url_forms`` of the part before the path, such as ``https://example.com:8443``. A port that is no port stays as it is.

    Cached: call it with configured or loopback origins only, never with what a client chose.
    """
    scheme, _, authority = origin.partition("://")
    userinfo, at, host_port = authority.rpartition("@")
    host, colon, port = host_port.rpartition(":")
    if not colon or not port.isdigit():
        host, port = host_port, ""
    default = _DEFAULT_PORTS.get(scheme)
    with_port = f"{host}:{port}" if port else f"{host}:{default}" if default else host
    forms = [f"{scheme}://{place}" for place in (host_port, host, with_port)]
    if at:
        forms += [f"{scheme}://{userinfo}@{place}" for place in (host_port, host, with_port)]
    return tuple(dict.fromkeys(forms))
