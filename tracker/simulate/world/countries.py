"""The countries that messages go to: how often, by which channels, and which mobile numbers they have there."""

import random
from dataclasses import dataclass

from tracker.simulate.world.life_cycles import Channel

RANDOM_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Country:
    """weight: share of all messages, relative. channels: relative share of each channel there.

    mobile_prefixes: ranges of mobile numbers, E.164 without the plus and without the last six digits. Whatever
    the six are, the number is valid and of this country (checked against Google's numbering plans by a test).
    """

    code: str
    weight: float
    channels: dict[Channel, float]
    mobile_prefixes: tuple[str, ...]

    def draw_number(self, rng: random.Random) -> str:
        """A mobile number of this country, E.164."""
        digits = rng.randrange(10**RANDOM_DIGITS)
        return f"+{rng.choice(self.mobile_prefixes)}{digits:0{RANDOM_DIGITS}d}"


COUNTRIES: dict[str, Country] = {
    country.code: country
    for country in (
        Country(
            "US", 40, {"sms": 78, "mms": 14, "whatsapp": 3, "rcs": 5}, ("12015", "13126", "14158", "16024", "17133")
        ),
        Country("GB", 10, {"sms": 70, "whatsapp": 22, "rcs": 8}, ("447400", "447450", "447871", "447951")),
        Country("DE", 7, {"sms": 55, "whatsapp": 37, "rcs": 8}, ("4915123", "4915222", "491701", "491763")),
        Country("FR", 6, {"sms": 72, "whatsapp": 15, "rcs": 13}, ("33612", "33623", "33678", "33765")),
        Country("BR", 8, {"sms": 40, "whatsapp": 55, "rcs": 5}, ("5511961", "5521981", "5531992")),
        Country("IN", 8, {"sms": 40, "whatsapp": 50, "rcs": 10}, ("918123", "919001", "919876")),
        Country("MX", 5, {"sms": 45, "whatsapp": 48, "rcs": 7}, ("522221", "523312", "528183")),
        Country("CA", 6, {"sms": 80, "mms": 12, "whatsapp": 5, "rcs": 3}, ("14165", "15147", "16046", "14032")),
        Country("AU", 4, {"sms": 86, "mms": 6, "whatsapp": 6, "rcs": 2}, ("61401", "61412", "61423", "61434")),
        Country("ES", 2, {"sms": 55, "whatsapp": 38, "rcs": 7}, ("34612", "34654", "34676")),
        Country("IT", 2, {"sms": 58, "whatsapp": 37, "rcs": 5}, ("393201", "393334", "393478")),
        Country("NL", 1, {"sms": 60, "whatsapp": 38, "rcs": 2}, ("31612", "31623", "31645")),
        Country("JP", 1, {"sms": 96, "whatsapp": 1, "rcs": 3}, ("818012", "819012")),
        Country("SG", 1, {"sms": 55, "whatsapp": 45}, ("6581", "6591")),
        Country("ZA", 1, {"sms": 50, "whatsapp": 50}, ("27711", "27823", "27834")),
    )
}
