"""The account that sends: its numbers, short codes, names, channel addresses and Messaging Services."""

import random
from dataclasses import dataclass

from tracker.simulate.world.life_cycles import Channel

_LONG_CODES = ("+12015550142", "+13125550117", "+16025550188")
_MMS_SENDERS = (*_LONG_CODES, "+18885550123")
_SMS_SENDERS = {
    "US": (*_LONG_CODES, "+18885550123", "27353"),
    "CA": ("+14165550176", "+16045550109"),
    "GB": ("ACME", "+447700900123"),
    "DE": ("ACME", "+491713920042"),
    "FR": ("ACME", "38123"),
    "IN": ("ACMEIN",),
    "BR": ("27353", "+12015550142"),
    "AU": ("ACME", "+61491570156"),
}
"""Who sends SMS to a country: a number in E.164, a short code, or a name (alphanumeric sender). Others: a long code."""


@dataclass(frozen=True, slots=True)
class ChannelSender:
    """An address on a channel, and the SID of the installed channel (``XE`` and 32 hex digits)."""

    address: str
    install_sid: str


class Account:
    """What one account owns. The same seed gives the same SIDs."""

    def __init__(self, account_sid: str, seed: int) -> None:
        rng = random.Random(f"{seed}:account")
        self.account_sid = account_sid
        self._services = tuple(draw_sid(rng, "MG") for _ in range(3))
        self._channels: dict[Channel, tuple[ChannelSender, ...]] = {
            "whatsapp": _channel_senders(rng, "whatsapp:+14155550186", "whatsapp:+447700900456"),
            "rcs": _channel_senders(rng, "rcs:acme_updates_agent", "rcs:acme_care_agent"),
        }

    def draw_service(self, rng: random.Random) -> str:
        """The SID of a Messaging Service (``MG`` and 32 hex digits)."""
        return rng.choice(self._services)

    def draw_number(self, rng: random.Random, channel: Channel, country: str) -> str:
        """A sender of SMS or MMS to the country."""
        return rng.choice(_MMS_SENDERS if channel == "mms" else _SMS_SENDERS.get(country, _LONG_CODES))

    def draw_channel_sender(self, rng: random.Random, channel: Channel) -> ChannelSender | None:
        """A sender on the channel; None for SMS and MMS, which are no channels in Twilio's sense."""
        senders = self._channels.get(channel)
        return rng.choice(senders) if senders else None


def draw_sid(rng: random.Random, prefix: str) -> str:
    """A SID: two letters and 32 hex digits."""
    return f"{prefix}{rng.getrandbits(128):032x}"


def _channel_senders(rng: random.Random, *addresses: str) -> tuple[ChannelSender, ...]:
    return tuple(ChannelSender(address, draw_sid(rng, "XE")) for address in addresses)
