"""Addresses as people type them: which stored forms they find, and what is said of one that cannot be right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.twilio.addresses import read_address

STORED = "+15558675310"


@pytest.mark.parametrize(
    "text",
    [
        *(STORED, "+1 (555) 867-5310", "+1.555.867.5310", "+1-555-867-5310", "+1/555/8675310", "  +1555 8675310\t"),
        *("0015558675310", "00 1 555 867 5310", "011 1 555 867 5310", "+1\u00a0555\u2011867\u20135310"),
    ],
)
def test_a_number_is_found_in_any_spelling(text: str) -> None:
    """As E.164 and with every channel's prefix."""
    address = read_address(text, sender=False)
    assert {STORED, f"whatsapp:{STORED}", f"rcs:{STORED}", f"sms:{STORED}"} <= set(address.forms)
    assert address.advice is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("+44 (0)7400 123456", "+447400123456"),
        ("+44 07400 123456", "+447400123456"),
        ("0049 170 1234567", "+491701234567"),
        ("+39 06 1234 5678", "+390612345678"),
        ("+1 (800) 555-8675", "+18005558675"),
        ("+1 (500) 555-0006", "+15005550006"),
        ("+49 30 0115558675", "+49300115558675"),
        ("12345", "12345"),
        ("123-456", "123456"),
        ("ACME 7", "ACME 7"),
        ("ACME+7", "ACME+7"),
        ("whatsapp:US.13491208655302741918", "whatsapp:US.13491208655302741918"),
        ("rcs:brand_xyz_agent", "rcs:brand_xyz_agent"),
        ("brand_agent", "rcs:brand_agent"),
        ("messenger:1234567890123456", "messenger:1234567890123456"),
    ],
)
def test_other_addresses_are_found(text: str, form: str) -> None:
    """Trunk zeros are dropped where the numbering plan has them; what is no number is compared as it is."""
    address = read_address(text, sender=True)
    assert form in address.forms
    assert address.advice is None


def test_a_prefix_finds_that_channel_only() -> None:
    """The person asked about WhatsApp."""
    address = read_address("WhatsApp: +1 (555) 867-5310", sender=False)
    assert f"whatsapp:{STORED}" in address.forms
    assert STORED not in address.forms
    assert not any(form.startswith("rcs:") for form in address.forms)


@pytest.mark.parametrize(
    ("text", "sender", "advice"),
    [
        ("+1555867531O", False, "letters"),
        ("1-555-TWILIO99", True, "at most 11"),
        ("+1 555 867 53IO", True, "letters"),
        ("15558675310", False, "no country code"),
        ("18005558675", True, "no country code"),
        ("5558675310", True, "no country code"),
        ("+1555867531", False, "too few digits"),
        ("+155586753100", False, "too many digits"),
        ("+999123456789", False, "no country code"),
        ("ACME", False, "expected a number"),
        ("a sender name that is too long", True, "expected a number"),
    ],
)
def test_a_doubtful_form_comes_with_advice(text: str, sender: bool, advice: str) -> None:
    """It is looked for all the same: a stored address may have any form."""
    address = read_address(text, sender=sender)
    assert address.advice is not None
    assert advice in address.advice
    assert text in address.forms


@given(st.text(max_size=300), st.booleans())
def test_any_text_is_read(text: str, sender: bool) -> None:
    """It is bounded, has no form twice, and has the text itself."""
    address = read_address(text, sender=sender)
    assert text.strip() in address.forms
    assert len(set(address.forms)) == len(address.forms) <= 23
