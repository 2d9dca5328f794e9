"""Which keys may have signed a request."""

import pytest
from twilio.request_validator import RequestValidator, get_signature_algorithm

from tracker.twilio.signature import Keyring, token_key, url_forms, verify

MAIN, SUB, OTHER, UNKNOWN = ("AC" + digit * 32 for digit in "1234")

RING = Keyring(
    {MAIN: ["main-new", "main-old"], SUB: ["sub"], OTHER: []},
    main_account_sid=MAIN,
    shared_keys={"key-1": "secret-1", "key-2": "secret-2"},
)

CHOICES = {
    "the account's own, all that are in force": (MAIN, [("main-new", MAIN), ("main-old", MAIN)]),
    "a subaccount's own and never another's": (SUB, [("sub", SUB)]),
    "the main account's for an account without tokens of its own": (UNKNOWN, [("main-new", MAIN), ("main-old", MAIN)]),
    "the main account's where the request names none": (None, [("main-new", MAIN), ("main-old", MAIN)]),
    "none for an account whose list is empty": (OTHER, []),
}


@pytest.mark.parametrize(("account_sid", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_tokens_are_chosen_by_account(account_sid: str | None, expected: list[tuple[str, str]]) -> None:
    """In the order of the settings, so that the newest is tried first."""
    assert [key.key_id for key in RING.keys(account_sid)] == [
        token_key(owner, token).key_id for token, owner in expected
    ]


@pytest.mark.parametrize("token", ["main-new", "main-old"])
def test_both_tokens_verify_while_one_is_rotated(token: str) -> None:
    """Twilio signs with the old one until the new one is promoted."""
    signature = RequestValidator(token).compute_signature("https://h/p", {"a": "b"}).encode()
    found = verify(RING.keys(MAIN), url_forms("https://h/p"), "ab", signature)
    assert found is not None
    assert found[0].key_id == token_key(MAIN, token).key_id


def test_an_unknown_account_without_a_main_account_has_no_keys() -> None:
    """Nothing configured can have signed it."""
    assert Keyring({SUB: ["sub"]}).keys(UNKNOWN) == ()
    assert Keyring({SUB: ["sub"]}, main_account_sid=MAIN).keys(UNKNOWN) == ()


@pytest.mark.parametrize(
    "header",
    [
        "key=key-1,algorithm=HMAC_SHA1",
        "key=key-1,algorithm=HMAC_SHA256",
        "algorithm=HMAC_SHA256,key=key-1",
        " key = key-1 , algorithm = HMAC_SHA256 ",
        "key=key-1,algorithm=hmac_sha256",
        "key=key-1,algorithm=HMAC_SHA256,future=yes",
        "key=key-1",
        "key=key-1,algorithm=",
    ],
)
def test_shared_keys_agree_with_twilios_validator(header: str) -> None:
    """The header names the key and the algorithm, which is HMAC_SHA1 where it names none."""
    algorithm = get_signature_algorithm(header)
    oracle = RequestValidator("secret-1")
    signature = oracle.compute_signature("https://h/p", {"a": "b"}, algorithm)
    assert oracle.validate("https://h/p", {"a": "b"}, signature, algorithm)
    found = verify(RING.keys(MAIN, header), url_forms("https://h/p"), "ab", signature.encode())
    assert found is not None
    assert found[0].key_id == "key-1"


@pytest.mark.parametrize(
    "header",
    [
        "key=key-3,algorithm=HMAC_SHA256",
        "key=key-1,algorithm=HMAC_MD5",
        "key=key-1;algorithm=HMAC_SHA256",
        "key=key-1,algorithm=none",
    ],
)
def test_a_header_that_names_no_configured_key_chooses_none(header: str) -> None:
    """The header is not signed: it may only choose among what is configured, and never falls back to a token."""
    assert RING.keys(MAIN, header) == ()


@pytest.mark.parametrize("header", [None, "", " ", "algorithm=HMAC_SHA1"])
def test_a_header_that_names_no_key_leaves_the_tokens(header: str | None) -> None:
    """As Twilio's library has it: no key named means the auth token's signature."""
    assert RING.keys(SUB, header) == RING.keys(SUB)


def test_a_shared_key_is_tried_with_the_named_algorithm_alone() -> None:
    """A signature under the other algorithm is no signature."""
    signature = RequestValidator("secret-2").compute_signature("https://h/p", {"a": "b"}, "HMAC_SHA1").encode()
    assert verify(RING.keys(None, "key=key-2,algorithm=HMAC_SHA256"), url_forms("https://h/p"), "ab", signature) is None
