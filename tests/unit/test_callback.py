"""What is read from a callback's parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.twilio.callback import Callback, read_callback

SID = "SM" + "0123456789abcdefABCDEF0123456789"
MMS_SID = "MM" + "f" * 32
STATUS = {"MessageSid": SID, "MessageStatus": "sent"}

READ = {
    "SMS": (
        STATUS
        | {
            "SmsSid": SID,
            "SmsStatus": "sent",
            "AccountSid": "AC1",
            "From": "+15017122661",
            "To": "+15558675310",
            "ErrorCode": "30003",
            "RawDlrDoneDate": "2611231530",
            "MessagingServiceSid": "MG1",
        },
        Callback("AC1", SID, "sent", "30003", "2611231530", "sms", "+15017122661", "+15558675310", "MG1"),
    ),
    "only what must be there": (STATUS, Callback(None, SID, "sent", None, None, "sms", None, None, None)),
    "MMS": (
        {"MessageSid": MMS_SID, "MessageStatus": "sent"},
        Callback(None, MMS_SID, "sent", None, None, "mms", None, None, None),
    ),
    "the legacy names": (
        {"SmsSid": SID, "SmsStatus": "sent"},
        Callback(None, SID, "sent", None, None, "sms", None, None, None),
    ),
    "blank ones beside the legacy names": (
        {"MessageSid": "", "SmsSid": SID, "MessageStatus": "", "SmsStatus": "sent"},
        Callback(None, SID, "sent", None, None, "sms", None, None, None),
    ),
    "blank values are absent ones": (
        STATUS | {"AccountSid": "", "From": "", "To": "", "ErrorCode": "", "RawDlrDoneDate": "", "ChannelPrefix": ""},
        Callback(None, SID, "sent", None, None, "sms", None, None, None),
    ),
    "a status that nobody knows, as it was sent": (
        STATUS | {"MessageStatus": " Teleported "},
        Callback(None, SID, " Teleported ", None, None, "sms", None, None, None),
    ),
    "the longest status": (
        STATUS | {"MessageStatus": "é" * 64},
        Callback(None, SID, "é" * 64, None, None, "sms", None, None, None),
    ),
    "an account in capitals": (
        STATUS | {"AccountSid": "ac" + "AB" * 16},
        Callback("AC" + "ab" * 16, SID, "sent", None, None, "sms", None, None, None),
    ),
    "Twilio's words for an error": (
        STATUS | {"ErrorCode": "63016", "ErrorMessage": "Twilio Error: outside the window"},
        Callback(None, SID, "sent", "63016", None, "sms", None, None, None, "Twilio Error: outside the window"),
    ),
    "words without end": (
        STATUS | {"ErrorMessage": "\0" * 4000},
        Callback(None, SID, "sent", None, None, "sms", None, None, None, "\ufffd" * 256),
    ),
    "an inbound message": (
        {
            "MessageSid": SID,
            "SmsMessageSid": SID,
            "SmsSid": SID,
            "SmsStatus": "received",
            "Body": "hi",
            "NumMedia": "0",
        },
        Callback(None, SID, "received", None, None, "sms", None, None, None),
    ),
    "NUL in a value": (
        STATUS | {"ErrorCode": "30\x00003"},
        Callback(None, SID, "sent", "30\ufffd003", None, "sms", None, None, None),
    ),
    "an over-long value": (
        STATUS | {"To": "9" * 4000},
        Callback(None, SID, "sent", None, None, "sms", None, "9" * 256, None),
    ),
}


@pytest.mark.parametrize(("params", "expected"), READ.values(), ids=READ.keys())
def test_a_callback_is_read(params: dict[str, str], expected: Callback) -> None:
    """The documented parameters, bounded so that the log's columns take them."""
    assert read_callback(params) == expected


CHANNELS = {
    "WhatsApp": (
        {"From": "whatsapp:+14155238886", "To": "whatsapp:+15558675310", "ChannelPrefix": "whatsapp"},
        "whatsapp",
    ),
    "WhatsApp that names itself in addresses only": ({"From": "whatsapp:+14155238886"}, "whatsapp"),
    "WhatsApp whose recipient alone says so": ({"From": "+14155238886", "To": "WhatsApp:+15558675310"}, "whatsapp"),
    "RCS": ({"From": "rcs:my_agent", "To": "rcs:+15558675310", "ChannelPrefix": "rcs"}, "rcs"),
    "RCS that has no addresses": ({"ChannelPrefix": "RCS"}, "rcs"),
    "RCS whose sender's name has colons": ({"From": "rcs:a:b"}, "rcs"),
    "Messenger": ({"From": "messenger:111", "To": "messenger:222"}, "messenger"),
    "a channel of tomorrow": ({"ChannelPrefix": "apple_messages"}, "apple_messages"),
    "an alphanumeric sender": ({"From": "ACME", "To": "+15558675310"}, "sms"),
    "an alphanumeric sender with a strange scheme": ({"From": "to be: or not"}, "sms"),
    "a prefix that is no name": ({"ChannelPrefix": "<script>"}, "sms"),
    "a prefix without end": ({"ChannelPrefix": "x" * 33}, "sms"),
    "a prefix in full-width letters": ({"ChannelPrefix": "ｒｃｓ"}, "sms"),
    "an empty scheme": ({"From": ":+15017122661"}, "sms"),
}


@pytest.mark.parametrize(("params", "channel"), CHANNELS.values(), ids=CHANNELS.keys())
def test_a_channel_is_told(params: dict[str, str], channel: str) -> None:
    """By the addresses, then by the prefix; without either, SMS or MMS by the SID."""
    callback = read_callback(STATUS | params)
    assert isinstance(callback, Callback)
    assert callback.channel == channel


QUARANTINED = {
    "a voice callback": ({"CallSid": "CA" + "0" * 32, "CallStatus": "completed"}, "no_message_sid"),
    "nothing at all": ({}, "no_message_sid"),
    "a blank SID": (STATUS | {"MessageSid": ""}, "no_message_sid"),
    "a SID of something else": (STATUS | {"MessageSid": "CA" + "0" * 32}, "invalid_message_sid"),
    "a SID that is too short": (STATUS | {"MessageSid": SID[:-1]}, "invalid_message_sid"),
    "a SID that is too long": (STATUS | {"MessageSid": SID + "0"}, "invalid_message_sid"),
    "a SID with a newline behind it": (STATUS | {"MessageSid": SID + "\n"}, "invalid_message_sid"),
    "a SID in small letters": (STATUS | {"MessageSid": SID.lower()}, "invalid_message_sid"),
    "a SID with NUL": (STATUS | {"MessageSid": SID[:-1] + "\0"}, "invalid_message_sid"),
    "a SID with digits of another script": (STATUS | {"MessageSid": "SM" + "٣" * 32}, "invalid_message_sid"),
    "no status": ({"MessageSid": SID}, "no_status"),
    "a blank status": (STATUS | {"MessageStatus": ""}, "no_status"),
    "a status of spaces": (STATUS | {"MessageStatus": " \t"}, "no_status"),
    "a status without end": (STATUS | {"MessageStatus": "x" * 65}, "invalid_status"),
    "an opt-out notice": (
        {"MessageSid": SID, "SmsStatus": "received", "Body": "STOP", "OptOutType": "STOP"},
        "opt_out",
    ),
    "a status with NUL": (STATUS | {"MessageStatus": "se\0nt"}, "invalid_status"),
}


@pytest.mark.parametrize(("params", "reason"), QUARANTINED.values(), ids=QUARANTINED.keys())
def test_what_is_no_message_status_is_told_apart(params: dict[str, str], reason: str) -> None:
    """With the quarantine's word for the reason."""
    assert read_callback(params) == reason


def test_without_an_account_the_keys_counts() -> None:
    """The body's goes first; a blank one is none."""
    own, of_key = "AC" + "a" * 32, "AC" + "b" * 32
    for params, expected in (({}, of_key), ({"AccountSid": ""}, of_key), ({"AccountSid": own}, own)):
        callback = read_callback(STATUS | params, of_key)
        assert isinstance(callback, Callback)
        assert callback.account_sid == expected


def test_an_opt_out_type_beside_a_status_is_no_opt_out_notice() -> None:
    """It comes with inbound messages, which have no MessageStatus."""
    assert isinstance(read_callback(STATUS | {"OptOutType": "STOP"}), Callback)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "MessageSid",
                "SmsSid",
                "MessageStatus",
                "SmsStatus",
                "From",
                "To",
                "ChannelPrefix",
                "ErrorCode",
                "AccountSid",
                "ErrorMessage",
            ]
        ),
        st.text() | st.sampled_from([SID, MMS_SID, "sent", "whatsapp:+1", "x" * 300]),
    )
)
def test_reading_never_raises_and_bounds_every_column(params: dict[str, str]) -> None:
    """Whatever was signed is either a callback whose every value a column takes, or has a reason not to be."""
    callback = read_callback(params)
    if isinstance(callback, str):
        assert callback in {"no_message_sid", "invalid_message_sid", "no_status", "invalid_status"}
        return
    values = [
        callback.account_sid,
        callback.error_code,
        callback.from_address,
        callback.to_address,
        callback.status,
        callback.channel,
        callback.error_message,
    ]
    given_values = [value for value in values if value is not None]
    assert all(value and len(value) <= 256 and "\0" not in value for value in given_values)
    assert len(callback.status) <= 64
    assert callback.channel.isascii()
