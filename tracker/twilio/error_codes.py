"""What an error code means and what to do about it: the dictionary that pages, metrics and ``tracker errors`` share.

The codes stand in ``error_codes.tsv`` beside this module, with labels and advice in our own words; Twilio's text is
behind ``ErrorCode.url``. Twilio adds codes without notice (https://www.twilio.com/docs/api/errors), so a code that is
not here is ordinary: it is kept and shown as it came, and counted as ``OTHER``.

A code is the text of a callback's ``ErrorCode`` and may therefore be anything; no text makes a function here raise.
Only the exact text is known: ``030003`` is not ``30003``, because Twilio does not send it and we show what was said.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

OTHER: Final = "other"
"""Label value of every code outside the dictionary, so that callbacks cannot multiply time series."""

FAILED_FEE_USD: Final = 0.001
"""US dollars that Twilio charges for a failed message, once however many segments it has.
Source: https://support.twilio.com/hc/en-us/articles/27502337507483-Failed-Message-Processing-Fees."""


class Fault(StrEnum):
    """Where to look first. Not always who reported the error: it is the carrier that reports a phone that is off."""

    CARRIER = "carrier"
    """The mobile network, or the provider of a channel such as Meta: wait, watch, route around it."""
    TWILIO = "twilio"
    """Twilio's own platform: see its status page, send again, open a ticket."""
    SENDER = "sender"
    """Us: the request, the account and its limits, the sending rate, our webhook, abuse of our forms."""
    RECIPIENT = "recipient"
    """The number, the phone or the person: correct the list, do not insist."""
    CONTENT = "content"
    """Text, media, links or template."""
    REGISTRATION = "registration"
    """Who we are said to be: 10DLC, toll-free verification, sender IDs, addresses."""


class ErrorCode(msgspec.Struct, frozen=True):
    """One code of the dictionary."""

    code: str
    """Decimal digits, as a callback spells it."""
    label: str
    """A few words for a legend or a table, at most 48 characters, no full stop."""
    advice: str
    """What to do, in one line of at most 160 characters."""
    fault: Fault
    fee_exempt: bool
    """True if Twilio waives the fee for failed messages with this code."""

    @property
    def url(self) -> str:
        """Twilio's own page about the code."""
        return page_url(self.code)


def page_url(code: str) -> str:
    """Twilio's page about a code, of the dictionary or newer than it. ``code`` is put in as it is: pass only digits."""
    return f"https://www.twilio.com/docs/api/errors/{code}"


def find(code: str | None) -> ErrorCode | None:
    """What the dictionary says about a code; None if it says nothing, or if there is no code."""
    return None if code is None else _by_code().get(code)


def all_codes() -> tuple[ErrorCode, ...]:
    """The whole dictionary in numerical order."""
    return tuple(_by_code().values())


def metric_label(code: str) -> str:
    """The code if the dictionary has it, else ``OTHER``: a label value from a bounded set, whatever a callback says."""
    return code if code in _by_code() else OTHER


def failed_fee_applies(code: str | None) -> bool:
    """Whether Twilio charges ``FAILED_FEE_USD`` for a message that ended as ``failed``; only that status has the fee.

    True without a code and for a code that we do not know: Twilio's article (see ``FAILED_FEE_USD``) charges failed
    messages in general and exempts codes by name, so what is not named is charged. Our figure may thus be too high
    when Twilio exempts a newer code, and never hides a cost.
    """
    known = find(code)
    return known is None or not known.fee_exempt


@cache
def _by_code() -> dict[str, ErrorCode]:
    """The dictionary in the file's order, read once, at the first question."""
    _header, *lines = files("tracker.twilio").joinpath("error_codes.tsv").read_text("utf-8").splitlines()
    return {entry.code: entry for entry in map(_entry, lines)}


def _entry(line: str) -> ErrorCode:
    code, label, advice, fault, fee_exempt = line.split("\t")
    return ErrorCode(code, label, advice, Fault(fault), {"yes": True, "no": False}[fee_exempt])
