"""Recorded, documented and test bodies of status callbacks, from public repositories and documentation.

``callback_bodies.json`` names the source of each. Numbers are masked, account SIDs replaced. Peers' tests often use SIDs that are none:
``repaired`` replaces those.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

from tracker.twilio.form import parse_form

BODIES: Final[dict[str, bytes]] = {
    f"{each['id']} {number}": body.encode()
    for each in json.loads((Path(__file__).parent / "callback_bodies.json").read_text("utf-8"))
    for number, body in enumerate(each["steps"], start=1)
}
"""By name: the id of the recording and the number of the step."""

_PREFIXES: Final = {
    "AccountSid": "AC",
    "MessageSid": "SM",
    "SmsSid": "SM",
    "SmsMessageSid": "SM",
    "MessagingServiceSid": "MG",
}
_SID: Final = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def repaired(body: bytes) -> list[tuple[str, str]]:
    """The parameters, with a well-formed SID in place of each text that is none; equal texts become equal SIDs."""
    return [(name, _repair(name, value)) for name, value in parse_form(body)]


def _repair(name: str, value: str) -> str:
    prefix: Any = _PREFIXES.get(name)
    if prefix is None or not value or _SID.fullmatch(value):
        return value
    return prefix + hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
