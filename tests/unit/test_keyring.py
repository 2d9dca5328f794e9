"""Which keys may have signed a request."""

import pytest
from twilio.request_validator import RequestValidator, get_signature_algorithm

from tracker.twilio.keyring import Keyring, SharedKey
from tracker.twilio.signature import token_key, url_forms, verify

MAIN, SUB, OTHER, UNKNOWN = ("AC" + digit * 32 for digit in "abcd")

RING = Keyring(
    {MAIN: ["main-new", "main-old"], SUB: ["sub"], OTHER: []},
    main_account_sid=MAIN,
    shared_keys={"key-1": SharedKey("secret-1"), "key-2": SharedKey("secret-2", (SUB, UNKNOWN))},
)

CHOICES = {
    "the account's own, all that are in force": (MAIN, [("main-new", MAIN), ("main-old", MAIN)]),
    "a subaccount's own and never another's": (SUB, [("sub", SUB)]),
    "the main account's for an account without tokens of its own": (UNKNOWN, [("main-new", MAIN), ("main-old", MAIN)]),
    "the main account's where the request names none": (None, [("main-new", MAIN), ("main-old", MAIN)]),
    "the main account's where the account is blank": ("", [("main-new", MAIN), ("main-old", MAIN)]),
    "none for an account whose list is empty": (OTHER, []),
    "a subaccount's own in capitals": ("AC" + "B" * 32, [("sub", SUB)]),
    "a subaccount's own with a small prefix": (SUB.lower(), [("sub", SUB)]),
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


def test_accounts_of_the_settings_are_compared_in_canonical_case() -> None:
    """Two spellings of one account are one account, with the tokens of both."""
    ring = Keyring({SUB.upper(): ["one"], SUB: ["two"]}, main_account_sid=SUB.lower())
    assert [key.key_id for key in ring.keys(SUB)] == [token_key(SUB, "one").key_id, token_key(SUB, "two").key_id]
    assert ring.keys(UNKNOWN) == ring.keys(SUB)


SCOPES = {
    "a key without accounts, main account": ("key-1", MAIN, True),
    "a key without accounts, listed account": ("key-1", SUB, False),
    "a key without accounts, unlisted account": ("key-1", UNKNOWN, False),
    "a key without accounts, no account": ("key-1", None, True),
    "a key with accounts, one of them": ("key-2", SUB, True),
    "a key with accounts, one of them in capitals": ("key-2", "AC" + "D" * 32, True),
    "a key with accounts, the main account": ("key-2", MAIN, False),
    "a key with accounts, another": ("key-2", OTHER, False),
    "a key with accounts, one of them with more behind": ("key-2", SUB + "0", False),
}


@pytest.mark.parametrize(("key_id", "account_sid", "speaks"), SCOPES.values(), ids=SCOPES.keys())
def test_a_shared_key_speaks_for_its_accounts_only(key_id: str, account_sid: str | None, speaks: bool) -> None:
    """Those that are named with it, or the main account."""
    assert [key.key_id for key in RING.keys(account_sid, f"key={key_id}")] == ([key_id] if speaks else [])


def test_a_key_knows_the_account_of_a_callback_that_names_none() -> None:
    """A token's is its own; a shared key of several accounts does not know."""
    assert {key.account_sid for key in RING.keys(None)} == {MAIN}
    assert [key.account_sid for key in RING.keys(None, "key=key-1")] == [MAIN]
    assert [key.account_sid for key in RING.keys(None, "key=key-2")] == [None]
    (of_one,) = Keyring({}, shared_keys={"k": SharedKey("s", (SUB,))}).keys(None, "key=k")
    assert of_one.account_sid == SUB


def test_a_shared_key_of_no_account_speaks_for_none() -> None:
    """Without a main account the short form names nobody."""
    assert Keyring({}, shared_keys={"k": SharedKey("s")}).keys(SUB, "key=k") == ()


def test_configured_accounts_are_known() -> None:
    """Those with tokens, the main account, and those of shared keys, in any case."""
    ring = Keyring({SUB: ["t"]}, MAIN, {"k": SharedKey("s", (OTHER,))})
    assert all(ring.is_configured(sid) for sid in (SUB, MAIN, OTHER, "AC" + "B" * 32))
    assert not ring.is_configured(UNKNOWN)
    assert not ring.is_configured(SUB + "0")


def test_a_long_settings_header_chooses_no_key() -> None:
    """512 characters are read, one more costs nothing."""
    header = "key=key-1,x="
    assert RING.keys(MAIN, header.ljust(512, "x"))
    assert RING.keys(MAIN, header.ljust(513, "x")) == ()


@pytest.mark.parametrize("header", [None, "", " ", "algorithm=HMAC_SHA1"])
def test_a_header_that_names_no_key_leaves_the_tokens(header: str | None) -> None:
    """As Twilio's library has it: no key named means the auth token's signature."""
    assert RING.keys(SUB, header) == RING.keys(SUB)


def test_a_shared_key_is_tried_with_the_named_algorithm_alone() -> None:
    """A signature under the other algorithm is no signature."""
    signature = RequestValidator("secret-2").compute_signature("https://h/p", {"a": "b"}, "HMAC_SHA1").encode()
    assert verify(RING.keys(None, "key=key-2,algorithm=HMAC_SHA256"), url_forms("https://h/p"), "ab", signature) is None
