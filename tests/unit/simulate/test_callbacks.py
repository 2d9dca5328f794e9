"""Callbacks: parameters, form, headers and signatures as Twilio's."""

import random
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.simulate.stub_tracker import TOKEN, validates
from tracker.simulate.traffic.callbacks import Callback, Form, encode_form, make_callback, make_signer, parameters
from tracker.simulate.traffic.forgery import Forger
from tracker.simulate.world.life_cycles import Channel
from tracker.simulate.world.population import Message, Population, Update, Wanted
from tracker.simulate.world.senders import Account

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URLS = st.sampled_from(
    [
        "http://127.0.0.1:8000/webhooks/twilio/status",
        "https://status.example.com/webhooks/twilio/status?tenant=a%20b&x=&x=1",
        "https://status.example.com:8443/prefix/webhooks/twilio/status",
    ]
)
BASE = {"SmsSid", "SmsStatus", "MessageStatus", "To", "MessageSid", "AccountSid", "From", "ApiVersion"}
CHANNEL = BASE | {"ChannelPrefix", "ChannelInstallSid"}
WHATSAPP = CHANNEL | {"ChannelToAddress"}


def verifies(url: str, callback: Callback) -> bool:
    """Whether Twilio's own library takes the request, read from its bytes."""
    params = dict(parse_qsl(callback.body.decode(), keep_blank_values=True, strict_parsing=True))
    return validates(url, params, callback.headers["x-twilio-signature"])


def draw_message(seed: int, index: int) -> Message:
    return Population(seed, Account("AC" + "a" * 32, seed), Wanted()).message(index, NOON)


def message(channel: Channel, *, service: bool = False) -> Message:
    """A message by hand; its updates do not matter here."""
    return Message(
        index=0,
        message_sid="SM" + "1" * 32,
        account_sid="AC" + "2" * 32,
        channel=channel,
        country="US",
        to_address="whatsapp:+12015550123" if channel == "whatsapp" else "+12015550123",
        messaging_service_sid="MG" + "3" * 32 if service else None,
        install_sid="XE" + "4" * 32 if channel in {"whatsapp", "rcs"} else None,
        channel_complaint="Empfänger nicht erreichbar",
        echoed_body="Grüße",
        life_cycle="by hand",
        updates=(),
    )


MESSAGES = st.builds(draw_message, st.integers(0, 5), st.integers(0, 500))
NUMBER = "+12015550199"
AGENT = "rcs:acme_agent"
CONTACT = "whatsapp:+12015550199"


@pytest.mark.parametrize(
    ("about", "update", "names"),
    [
        (message("sms"), Update("sent", None, None, NUMBER), BASE),
        (message("sms", service=True), Update("queued", None, None, NUMBER), BASE | {"MessagingServiceSid"}),
        (message("sms"), Update("delivered", None, "2603011200", NUMBER), BASE | {"RawDlrDoneDate"}),
        (message("mms"), Update("undelivered", "30008", "2603011200", NUMBER), BASE | {"RawDlrDoneDate", "ErrorCode"}),
        (message("whatsapp"), Update("sent", None, None, CONTACT), WHATSAPP | {"StructuredMessage", "Body"}),
        (message("whatsapp"), Update("delivered", None, None, CONTACT), WHATSAPP | {"EventType"}),
        (message("whatsapp"), Update("read", None, None, CONTACT), WHATSAPP - {"ChannelInstallSid"} | {"EventType"}),
        (
            message("whatsapp"),
            Update("failed", "63016", None, CONTACT),
            WHATSAPP | {"ErrorCode", "ChannelStatusMessage"},
        ),
        (message("rcs"), Update("sent", None, None, AGENT), CHANNEL),
        (message("rcs"), Update("read", None, None, AGENT), CHANNEL - {"ChannelInstallSid"} | {"EventType"}),
        (message("rcs"), Update("delivered", None, "2603011200", NUMBER), BASE | {"RawDlrDoneDate"}),
    ],
)
def test_each_channel_has_its_parameters(about: Message, update: Update, names: set[str]) -> None:
    """The parameters of the documentation and of captured requests, and no others; fallen back to SMS, those of SMS."""
    assert parameters(about, update).keys() == names


def test_parameters_say_what_the_update_says() -> None:
    """Old and new names of SID and status agree; the recipient is masked where the channel names it."""
    params = parameters(message("whatsapp", service=True), Update("failed", "63016", None, CONTACT))
    assert params == {
        "ChannelPrefix": "whatsapp",
        "ChannelInstallSid": "XE" + "4" * 32,
        "ChannelStatusMessage": "Empfänger nicht erreichbar",
        "ChannelToAddress": "+1201555XXXX",
        "ErrorCode": "63016",
        "SmsSid": "SM" + "1" * 32,
        "SmsStatus": "failed",
        "MessageStatus": "failed",
        "To": "whatsapp:+12015550123",
        "MessagingServiceSid": "MG" + "3" * 32,
        "MessageSid": "SM" + "1" * 32,
        "AccountSid": "AC" + "2" * 32,
        "From": "whatsapp:+12015550199",
        "ApiVersion": "2010-04-01",
    }


def test_read_is_told_as_an_event() -> None:
    """EventType READ, as documented for RCS and WhatsApp."""
    assert parameters(message("rcs"), Update("read", None, None, AGENT))["EventType"] == "READ"


@given(params=st.dictionaries(st.text("abcXYZ", min_size=1), st.text().filter(lambda text: text.isprintable())))
def test_the_form_says_exactly_the_parameters(params: dict[str, str]) -> None:
    """Any text comes back as it was, from bytes that are plain ASCII."""
    body = encode_form(Form(params))
    assert body.isascii()
    assert dict(parse_qsl(body.decode(), keep_blank_values=True)) == params


def test_headers_are_those_of_captured_requests() -> None:
    """All of them; an unsigned callback lacks the signature alone."""
    headers = make_callback(Form(), "c2ln", "5c9e").headers
    assert headers == {
        "user-agent": "TwilioProxy/1.1",
        "accept": "*/*",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "i-twilio-idempotency-token": "5c9e",
        "x-home-region": "us1",
        "x-twilio-signature": "c2ln",
    }
    assert headers.keys() - make_callback(Form(), None, "5c9e").headers.keys() == {"x-twilio-signature"}


@given(about=MESSAGES, url=URLS)
def test_signatures_verify_from_the_bytes_sent(about: Message, url: str) -> None:
    """Twilio's own validator takes every callback of every message, query string and UTF-8 included."""
    for update in about.updates:
        params = parameters(about, update)
        callback = make_callback(params, make_signer(TOKEN).compute_signature(url, params), "5c9e")
        assert verifies(url, callback)


@given(about=MESSAGES, url=URLS, seed=st.integers())
def test_no_forgery_verifies(about: Message, url: str, seed: int) -> None:
    """Whichever way it is forged."""
    forger = Forger(make_signer(TOKEN), url)
    for update in about.updates:
        callback = forger.forge(random.Random(seed), parameters(about, update), "5c9e")
        assert not verifies(url, callback)


def test_forgeries_come_in_every_way() -> None:
    """Wrong token, changed after signing, signed for another URL, no signature at all."""
    forger = Forger(make_signer(TOKEN), "http://127.0.0.1:8000/webhooks/twilio/status")
    params = parameters(message("sms"), Update("sent", None, None, NUMBER))
    rng = random.Random(1)
    callbacks = [forger.forge(rng, params, "5c9e") for _ in range(100)]
    assert len({callback.headers["x-twilio-signature"] for callback in callbacks}) == 4
    assert any(b"MessageStatus=delivered" in callback.body for callback in callbacks)
