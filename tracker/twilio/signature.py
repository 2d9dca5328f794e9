"""``X-Twilio-Signature``: our own verifier, made for many requests with the same few keys.

The algorithm (https://www.twilio.com/docs/usage/security): the full URL, then every POST parameter as name and value sorted by name,
signed with HMAC-SHA1 under the auth token, base64. It agrees with ``twilio.request_validator.RequestValidator``, which is the
oracle in the tests.
"""

import hashlib
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

Algorithm = Literal["sha1", "sha256"]
"""HMAC_SHA1 is the auth token's; a shared key may use HMAC_SHA256."""

_BLOCK: Final = 64
"""Block size of SHA-1 and SHA-256, in bytes (RFC 2104)."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Key:
    """A secret that signs, with both halves of the HMAC prepared: a signature then costs two short hashes (RFC 2104, section 4)."""

    __slots__ = ("_inner", "_outer", "key_id")

    def __init__(self, key_id: str, secret: str, algorithm: Algorithm = "sha1") -> None:
        self.key_id = key_id
        """Names the key in the evidence without telling the secret."""
        secret_bytes = secret.encode()
        if len(secret_bytes) > _BLOCK:
            secret_bytes = hashlib.new(algorithm, secret_bytes).digest()
        padded = secret_bytes.ljust(_BLOCK, b"\0")
        self._inner = hashlib.new(algorithm, bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.new(algorithm, bytes(byte ^ 0x5C for byte in padded))

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data`` as it stands in the header: base64, no newline."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False)


def token_key(account_sid: str, token: str) -> Key:
    """The key of an account's auth token. Its id ends in a fingerprint, so that two tokens of an account can be told apart."""
    return Key(f"{account_sid}/{fingerprint(token)}", token)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal characters that tell two secrets apart and give neither away."""
    return hashlib.sha256(b"twilio-status-tracker key id:" + secret.encode()).hexdigest()[:8]


class Keyring:
    """Which keys may have signed a request: those of its account, or those of the main account where it is not listed.

    An account that has tokens of its own (a subaccount) is never verified with another's. Shared keys
    (https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys) are chosen by the header that names them; that header is not
    signed, so it can only choose among keys that are configured.
    """

    def __init__(
        self,
        tokens: Mapping[str, Sequence[str]],
        main_account_sid: str | None = None,
        shared_keys: Mapping[str, str] | None = None,
    ) -> None:
        self._by_account = {sid: tuple(token_key(sid, token) for token in given) for sid, given in tokens.items()}
        self._main = self._by_account.get(main_account_sid or "", ())
        self._shared: dict[tuple[str, str], tuple[Key, ...]] = {}
        for key_id, secret in (shared_keys or {}).items():
            self._shared[key_id, "HMAC_SHA1"] = (Key(key_id, secret, "sha1"),)
            self._shared[key_id, "HMAC_SHA256"] = (Key(key_id, secret, "sha256"),)

    def keys(self, account_sid: str | None, settings_header: str | None = None) -> tuple[Key, ...]:
        """The keys to try, none when nothing configured can have signed the request.

        settings_header: ``X-Twilio-Webhooks-Signature-Settings``, None when absent: ``key=…,algorithm=…``. As in Twilio's library,
        no algorithm means HMAC_SHA1, and no key means an auth token's signature.
        """
        if settings_header:
            parts = (part.partition("=") for part in settings_header.split(","))
            fields = {name.strip(): value.strip() for name, _, value in parts}
            if "key" in fields:
                return self._shared.get((fields["key"], (fields.get("algorithm") or "HMAC_SHA1").upper()), ())
        return self._by_account.get(account_sid or "", self._main)


def verify(keys: Iterable[Key], urls: Iterable[str], text: str, signature: bytes) -> tuple[Key, str] | None:
    """The key and the URL that ``signature`` was made with; None when no combination was.

    urls: forms of the same URL that Twilio may have signed (``url_forms``). text: the signed parameters (``signed_text``).
    """
    candidates = tuple(urls)
    for key in keys:
        for url in candidates:
            if compare_digest(key.sign((url + text).encode("utf-8", "surrogatepass")), signature):
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
    """``url_forms`` of the part before the path, such as ``https://example.com:8443``. A port that is no port stays as it is."""
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
