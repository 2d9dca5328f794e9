"""The verifier, with twilio's own as the oracle."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from tracker.twilio.form import signed_text
from tracker.twilio.signature import (
    Algorithm,
    Key,
    body_hash_agrees,
    fingerprint,
    is_signature,
    token_key,
    url_forms,
    verify,
)

Pairs = list[tuple[str, str]]

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "signature_vectors.json").read_text("utf-8"))
"""Signatures that the helper libraries' own tests expect; each names its source."""

LIBRARY_CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "library_signatures.json").read_text("utf-8")
)
"""Cases of the helper libraries in seven languages and of users' repositories (``lib``), with what their own tests expect
(``valid``)."""

ORACLE_ALGORITHM = {"sha1": "HMAC_SHA1", "sha256": "HMAC_SHA256"}

URL = "https://example.com/webhooks/twilio/status?shop=1"
TOKEN = "12345"  # the token of Twilio's own examples
PARAMS: Pairs = [("MessageSid", "SM1"), ("MessageStatus", "sent"), ("To", "+15558675310")]

tokens = st.text(min_size=1, max_size=100)
algorithms: st.SearchStrategy[Algorithm] = st.sampled_from(["sha1", "sha256"])
texts = st.text(max_size=8) | st.sampled_from(["", "a", "A", "\0", "ñ", "😀"])
pairs = st.lists(st.tuples(texts, texts), max_size=8)
"""Repeated names and blank values come about often."""


class Multi(dict[str, str]):
    """Parameters with repeated names, as twilio's validator takes them."""

    def __init__(self, params: Pairs) -> None:
        super().__init__(params)
        self._params = params

    def getlist(self, name: str) -> list[str]:
        """All values of one name."""
        return [value for each, value in self._params if each == name]


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str]:
    """A URL, and a form of it that Twilio may have signed or not: its port left out, added, or another one's."""
    scheme = draw(st.sampled_from(["http", "https"]))
    host = draw(st.sampled_from(["example.com", "Status.Example.com", "127.0.0.1", "a-b.example"]))
    ports = st.sampled_from(["", ":80", ":443", ":8443", ":1"])
    path = draw(st.sampled_from(["", "/", "/webhooks/twilio/status", "//x/", "/a%20b", "/a:b@c"]))
    visible = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")
    query = draw(st.just("") | st.text(visible, min_size=1, max_size=20).map(lambda text: "?" + text))
    received, signed = draw(ports), draw(ports)
    return f"{scheme}://{host}{received}{path}{query}", f"{scheme}://{host}{signed}{path}{query}"


def sign(url: str, params: Pairs, token: str, algorithm: Algorithm = "sha1") -> str:
    """Twilio's own signature."""
    return RequestValidator(token).compute_signature(url, Multi(params), ORACLE_ALGORITHM[algorithm])


@given(urls(), pairs, tokens, algorithms)
@example(("https://example.com/", "https://example.com:443/"), PARAMS, TOKEN, "sha1")
@example(("https://example.com:8443/", "https://example.com/"), PARAMS, TOKEN, "sha256")
@example(("https://example.com/", "https://example.com/"), PARAMS, "x" * 64, "sha1")
@example(("https://example.com/", "https://example.com/"), PARAMS, "é" * 33, "sha256")
def test_the_verifier_agrees_with_twilios_own(
    url: tuple[str, str], params: Pairs, token: str, algorithm: Algorithm
) -> None:
    """On repeated names, blank values, any Unicode, NUL, long tokens, URLs with and without ports."""
    received, signed = url
    signature = sign(signed, params, token, algorithm)
    expected = RequestValidator(token).validate(received, Multi(params), signature, ORACLE_ALGORITHM[algorithm])
    found = verify([Key("k", token, algorithm)], url_forms(received), signed_text(params), signature.encode())
    assert (found is not None) == expected


@given(urls(), pairs, tokens, algorithms)
def test_our_signature_is_twilios(url: tuple[str, str], params: Pairs, token: str, algorithm: Algorithm) -> None:
    """The stand-in for Twilio signs with the same key."""
    text = url[0] + signed_text(params)
    assert Key("k", token, algorithm).sign(text.encode()).decode() == sign(url[0], params, token, algorithm)


@given(pairs, pairs)
def test_other_parameters_never_verify(params: Pairs, others: Pairs) -> None:
    """Unless their signed text is the same: Twilio signs without delimiters."""
    assume(signed_text(params) != signed_text(others))
    signature = sign(URL, params, TOKEN).encode()
    assert verify([Key("k", TOKEN)], url_forms(URL), signed_text(others), signature) is None


@given(st.data())
def test_a_changed_byte_never_verifies(data: st.DataObject) -> None:
    """Neither in the signature, nor in the parameters, nor in the URL behind the port, nor in the token."""
    signature = sign(URL, PARAMS, TOKEN)
    parts = {"signature": signature, "text": signed_text(PARAMS), "url": URL, "token": TOKEN}
    name = data.draw(st.sampled_from(sorted(parts)))
    place = data.draw(st.integers(URL.index("/webhooks") if name == "url" else 0, len(parts[name]) - 1))
    old = parts[name][place]
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=[old, "#"]))
    parts[name] = parts[name][:place] + new + parts[name][place + 1 :]
    found = verify([Key("k", parts["token"])], url_forms(parts["url"]), parts["text"], parts["signature"].encode())
    assert found is None


@given(st.binary() | st.text().map(str.encode))
@example(b"")
@example(b" " + sign(URL, PARAMS, TOKEN).encode())
@example(sign(URL, PARAMS, TOKEN).encode() + b"\n")
@example(sign(URL, PARAMS, TOKEN).lower().encode())
@example(sign(URL, PARAMS, TOKEN).rstrip("=").encode())
def test_anything_else_in_the_header_is_refused(signature: bytes) -> None:
    """Of any length and any bytes, and none of it raises."""
    assert verify([Key("k", TOKEN)], url_forms(URL), signed_text(PARAMS), signature) is None


SHAPES = {
    "SHA-1": (b"A" * 27 + b"=", True),
    "SHA-256": (b"a+/0" * 10 + b"a+/=", True),
    "one character less": (b"A" * 26 + b"=", False),
    "one character more": (b"A" * 28 + b"=", False),
    "one of SHA-256 less": (b"A" * 42 + b"=", False),
    "one of SHA-256 more": (b"A" * 44 + b"=", False),
    "no padding": (b"A" * 28, False),
    "padding twice": (b"A" * 26 + b"==", False),
    "two signatures": ((b"A" * 27 + b"=") * 2, False),
    "the URL-safe alphabet": (b"-" * 27 + b"=", False),
    "white space behind": (b"A" * 27 + b"= ", False),
    "a newline behind": (b"A" * 27 + b"=\n", False),
    "no ASCII": (b"\xff" * 27 + b"=", False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize(("value", "expected"), SHAPES.values(), ids=SHAPES.keys())
def test_the_shape_of_a_signature(value: bytes, expected: bool) -> None:
    """Base64 of a SHA-1 or SHA-256 digest, and nothing around it."""
    assert is_signature(value) is expected


@given(st.binary(max_size=200), tokens, algorithms)
def test_every_signature_has_the_shape_of_one(data: bytes, token: str, algorithm: Algorithm) -> None:
    """So that refusing other shapes refuses nothing that would verify."""
    key = Key("k", token, algorithm)
    assert is_signature(key.sign(data))
    assert len(key.sign(data)) == key.length


@pytest.mark.parametrize("case", LIBRARY_CASES, ids=lambda case: f"{case['lib']} {case['name']}")
def test_the_cases_of_seven_languages(case: dict[str, Any]) -> None:
    """Our answer is the one that each library's own test expects."""
    found = verify(
        [token_key("AC1", case["token"])],
        url_forms(case["url"]),
        signed_text([(name, value) for name, value in case["params"] or []]),
        case["signature"].encode(),
    )
    is_valid = found is not None and (case["body"] is None or body_hash_agrees(case["url"], case["body"].encode()))
    assert is_valid is case["valid"]


def test_there_are_cases_of_seven_languages() -> None:
    """An emptied file would pass every case in it."""
    assert len(LIBRARY_CASES) == 54
    assert {case["valid"] for case in LIBRARY_CASES} == {True, False}


def test_half_a_surrogate_pair_is_refused_and_does_not_raise() -> None:
    """Python text may hold what UTF-8 cannot say."""
    assert verify([Key("k", TOKEN)], url_forms(URL + "\udc80"), "\ud800", b"x") is None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['source'].split(':')[0]} {vector['name']}")
def test_the_helper_libraries_vectors(vector: dict[str, Any]) -> None:
    """What Twilio's libraries expect of themselves is expected of us."""
    params, body = vector["params"] or [], vector["body"]
    given_pairs = [(name, value) for name, value in (params.items() if isinstance(params, dict) else params)]
    found = verify(
        [token_key("AC1", vector["token"])],
        url_forms(vector["url"]),
        signed_text(given_pairs),
        vector["signature"].encode(),
    )
    assert (found is not None) == vector["valid"]
    if body is not None:
        assert body_hash_agrees(vector["url"], body.encode())


def test_there_are_vectors() -> None:
    """An emptied file would pass every vector in it."""
    assert len(VECTORS) == 17
    assert {vector["valid"] for vector in VECTORS} == {True, False}


URL_FORMS = {
    "https": ("https://h.example/p", ("https://h.example/p", "https://h.example:443/p")),
    "http": ("http://h.example/p", ("http://h.example/p", "http://h.example:80/p")),
    "a port": ("https://h.example:8443/p", ("https://h.example:8443/p", "https://h.example/p")),
    "a query with a colon, a slash and an at": (
        "https://h.example?a=b:1/@",
        ("https://h.example?a=b:1/@", "https://h.example:443?a=b:1/@"),
    ),
    "connection overrides": ("https://h.example/p#rc=5&rp=all", ("https://h.example/p", "https://h.example:443/p")),
    "IPv6": ("https://[2001:db8::1]/p", ("https://[2001:db8::1]/p", "https://[2001:db8::1]:443/p")),
    "IPv6 with a port": ("https://[::1]:8443/p", ("https://[::1]:8443/p", "https://[::1]/p")),
    "user and password": (
        "https://u:p@h.example:1/p",
        ("https://h.example:1/p", "https://h.example/p", "https://u:p@h.example:1/p", "https://u:p@h.example/p"),
    ),
    "an unknown scheme": ("ws://h.example/p", ("ws://h.example/p",)),
}


@pytest.mark.parametrize(("url", "forms"), URL_FORMS.values(), ids=URL_FORMS.keys())
def test_forms_of_a_url(url: str, forms: tuple[str, ...]) -> None:
    """Likeliest first: as received, then with the port changed; without credentials before with them; never a fragment."""
    assert url_forms(url) == forms


def test_the_key_and_the_url_that_verified_are_told() -> None:
    """They are part of the evidence."""
    new, old = token_key("AC1", "new"), token_key("AC1", "old")
    signature = sign("https://example.com:443/", PARAMS, "old").encode()
    found = verify([new, old], url_forms("https://example.com/"), signed_text(PARAMS), signature)
    assert found == (old, "https://example.com:443/")


def test_a_key_id_tells_two_tokens_apart_and_gives_neither_away() -> None:
    """Eight hexadecimal digits of a hash."""
    assert len(fingerprint(TOKEN)) == 8
    assert fingerprint("a") != fingerprint("b")
    assert token_key("AC1", TOKEN).key_id == f"AC1/{fingerprint(TOKEN)}"
    assert TOKEN not in token_key("AC1", TOKEN).key_id


BODY = b'{"property": "value", "boolean": true}'
HASH = hashlib.sha256(BODY).hexdigest()
HASHES = {
    "the hash": (f"https://h/p?a=1&bodySHA256={HASH}", True),
    "another hash": (f"https://h/p?bodySHA256={'0' * 64}", False),
    "no hash": ("https://h/p?a=1", False),
    "no query": ("https://h/p", False),
    "an empty hash": ("https://h/p?bodySHA256=", False),
    "part of the hash": (f"https://h/p?bodySHA256={HASH[:-1]}", False),
    "the second of two": (f"https://h/p?bodySHA256=0&bodySHA256={HASH}", False),
    "no ASCII": ("https://h/p?bodySHA256=é%ff", False),
}


@pytest.mark.parametrize(("url", "expected"), HASHES.values(), ids=HASHES.keys())
def test_the_hash_of_a_json_body(url: str, expected: bool) -> None:
    """Only the first ``bodySHA256`` of the signed URL vouches for the body."""
    assert body_hash_agrees(url, BODY) is expected
