"""Which error codes failures carry, by channel and status, and how often.

Codes: https://www.twilio.com/docs/api/errors. The shares are ours. The sets of ``failed`` and ``undelivered`` are
apart, as they mostly are at Twilio: refused before the carrier took it, or by the carrier's receipt.
"""

import random

from tracker.simulate.world.life_cycles import Channel

_CARRIER_FAILED = {"30001": 8, "21610": 30, "21614": 14, "21408": 8, "21211": 10, "30036": 6, "30450": 12, "30500": 4}
_CARRIER_UNDELIVERED = {"30003": 30, "30005": 20, "30006": 14, "30007": 10, "30008": 16, "30004": 5, "30017": 2}
_UNITED_STATES_UNDELIVERED = _CARRIER_UNDELIVERED | {"30034": 18, "30032": 5, "30007": 18, "30023": 2}
_WHATSAPP_FAILED = {"63016": 40, "63003": 14, "63024": 18, "63018": 8, "63027": 4, "63038": 3, "63013": 3}
_WHATSAPP_UNDELIVERED = {"63032": 30, "63016": 20, "63024": 20, "63012": 4, "63033": 10}
_RCS_FAILED = {"63036": 30, "63003": 12, "63035": 6, "63012": 4}
_RCS_UNDELIVERED = {"63036": 30, "63012": 6, "30008": 6}

_MIX: dict[tuple[Channel, str], dict[str, int]] = {
    ("sms", "failed"): _CARRIER_FAILED,
    ("sms", "undelivered"): _CARRIER_UNDELIVERED,
    ("mms", "failed"): _CARRIER_FAILED | {"21620": 10, "11751": 6},
    ("mms", "undelivered"): _CARRIER_UNDELIVERED | {"30019": 8},
    ("whatsapp", "failed"): _WHATSAPP_FAILED,
    ("whatsapp", "undelivered"): _WHATSAPP_UNDELIVERED,
    ("rcs", "failed"): _RCS_FAILED,
    ("rcs", "undelivered"): _RCS_UNDELIVERED,
}


def error_mix(channel: Channel, status: str, country: str) -> dict[str, int]:
    """Code to weight, for a ``failed`` or ``undelivered`` message. Only US numbers want registered senders (10DLC)."""
    if (channel, status, country) == ("sms", "undelivered", "US"):
        return _UNITED_STATES_UNDELIVERED
    return _MIX[channel, status]


def draw_error_code(rng: random.Random, channel: Channel, status: str, country: str) -> str:
    """An error code for such a failure."""
    mix = error_mix(channel, status, country)
    return rng.choices(list(mix), list(mix.values()))[0]
