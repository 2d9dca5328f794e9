"""A callback as Twilio posts it: parameters, form, headers, signature.

Parameters: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status and
https://www.twilio.com/docs/messaging/guides/outbound-message-logging . What these leave out (the headers, the
channel's parameters of WhatsApp) follows captured requests
(https://github.com/department-of-veterans-affairs/notification-api/issues/1073).
"""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote_plus

from twilio.request_validator import RequestValidator  # pyright: ignore[reportMissingTypeStubs]  # it has none

from tracker.simulate.world.population import Message, Update

CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
SIGNATURE_HEADER = "x-twilio-signature"
TOKEN_HEADER = "i-twilio-idempotency-token"  # noqa: S105  # a header's name


@dataclass(frozen=True, slots=True)
class Callback:
    """One request: the form as bytes, and all headers but those of the connection."""

    body: bytes
    headers: dict[str, str]


class Form(dict[str, str]):
    """Parameters, each with one value."""

    def getall(self, name: str) -> list[str]:
        """The values of a parameter. ``RequestValidator`` asks for this first, and raises twice where it is missing."""
        return [self[name]]


class Signer(Protocol):
    """Twilio's ``RequestValidator``, as far as it is used here."""

    def compute_signature(self, uri: str, params: Form) -> str:
        """The signature, base64."""
        ...


def make_signer(auth_token: str) -> Signer:
    """What signs with an account's auth token: Twilio's own code, so that it errs apart from ours."""
    signer: Signer = RequestValidator(auth_token)
    return signer


def make_callback(params: Form, signature: str | None, idempotency_token: str) -> Callback:
    """The request for these parameters. signature: None leaves the header out."""
    headers = {
        "user-agent": "TwilioProxy/1.1",
        "accept": "*/*",
        "content-type": CONTENT_TYPE,
        TOKEN_HEADER: idempotency_token,
        "x-home-region": "us1",
    }
    if signature is not None:
        headers[SIGNATURE_HEADER] = signature
    return Callback(encode_form(params), headers)


def encode_form(params: Form) -> bytes:
    """The body. Names are letters, and so are most values: those need no quoting, and cost none."""
    return "&".join([f"{name}={_quoted(value)}" for name, value in params.items()]).encode("ascii")


def parameters(message: Message, update: Update) -> Form:
    """The parameters of the callback for one update, decoded, in the order of the form."""
    params = Form(_channel_parameters(message, update))
    if update.raw_dlr_done_date is not None:
        params["RawDlrDoneDate"] = update.raw_dlr_done_date
    if update.error_code is not None:
        params["ErrorCode"] = update.error_code
    params["SmsSid"] = message.message_sid
    params["SmsStatus"] = update.status
    params["MessageStatus"] = update.status
    params["To"] = message.to_address
    if message.messaging_service_sid is not None:
        params["MessagingServiceSid"] = message.messaging_service_sid
    params["MessageSid"] = message.message_sid
    params["AccountSid"] = message.account_sid
    params["From"] = update.from_address
    params["ApiVersion"] = "2010-04-01"
    return params


def _channel_parameters(message: Message, update: Update) -> dict[str, str]:
    """What a channel adds. Nothing for SMS and MMS, and nothing once RCS has fallen back to SMS."""
    channel, colon, _ = update.from_address.partition(":")
    if not colon:
        return {}
    params = {"ChannelPrefix": channel}
    if message.install_sid is not None and update.status != "read":
        params["ChannelInstallSid"] = message.install_sid
    if update.status == "read":
        params["EventType"] = "READ"
    if update.error_code is not None and message.channel_complaint is not None:
        params["ChannelStatusMessage"] = message.channel_complaint
    if channel == "whatsapp":
        params |= _whatsapp_parameters(message, update)
    return params


def _whatsapp_parameters(message: Message, update: Update) -> dict[str, str]:
    """Undocumented ones, as captured: the recipient with the last four digits hidden, a flag, rarely the text."""
    params = {"ChannelToAddress": f"{message.to_address.removeprefix('whatsapp:')[:-4]}XXXX"}
    if update.status == "sent":
        params["StructuredMessage"] = "false"
        if message.echoed_body is not None:
            params["Body"] = message.echoed_body
    if update.status == "delivered":
        params["EventType"] = "DELIVERED"
    return params


def _quoted(value: str) -> str:
    return value if value.isalnum() and value.isascii() else quote_plus(value)
