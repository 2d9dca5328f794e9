"""Random traffic for tests on a real log: messages with their events out of order, twice, late, corrected, and some that nobody expects."""

from datetime import UTC, datetime
from random import Random

import uuid_utils

from tests.support.events import EVIDENCE
from tracker.log.event import NewEvent
from tracker.twilio.callback import Callback

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

COUNTRIES: dict[str | None, str] = {
    "+14155238886": "US",
    "+447400123456": "GB",
    "whatsapp:+5511987654321": "BR",
    "+88213": "unknown",
    None: "unknown",
}
"""Recipients and what the label of their country must be."""

CHANNELS = {"sms": "sms", "mms": "mms", "whatsapp": "whatsapp", "carrier_pigeon": "other"}
"""Channels and their labels."""

CODES = {"30003": "30003", "30008": "30008", "21610": "21610", "39999": "other", "no code": "other"}
"""Error codes and their labels. Of these 30008 has no fee."""

_WAYS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    (("queued", None), ("sent", None), ("delivered", None)),
    (("sent", None), ("delivered", None)),
    (("sent", None), ("delivered", None), ("read", None)),
    (("sent", None), ("read", None)),
    (("sent", None), ("undelivered", "30003")),
    (("sent", None), ("undelivered", "30008"), ("delivered", None)),
    (("failed", "21610"),),
    (("failed", "30008"),),
    (("failed", "39999"), ("failed", "no code")),
    (("accepted", None), ("canceled", None)),
    (("accepted", None), ("sending", None)),
    (("sent", None), ("teleported", "30003")),
    (("receiving", None), ("received", None)),
    (("receiving", None),),
)

_ACCOUNTS = ("AC" + "1" * 32, "AC" + "2" * 32, None)


def traffic(seed: int, messages: int, first: int = 1) -> list[NewEvent]:
    """The events of so many messages, numbered from ``first``, in order of arrival. The same for the same numbers, but for event ids."""
    random = Random(f"{seed} {first}")  # repeatable, and no secret
    timed: list[tuple[float, NewEvent]] = []
    for number in range(first, first + messages):
        timed += _events(random, number)
    return [event for _, event in sorted(timed, key=lambda each: each[0])]


def _events(random: Random, number: int) -> list[tuple[float, NewEvent]]:
    """A message's events, with the moment at which each comes into the log."""
    channel = random.choice([*CHANNELS])
    to = random.choice([*COUNTRIES])
    service = random.choice([None, "MG" + "1" * 32])
    # Two messages in a row mostly have one SID, of two accounts.
    sid = f"{'MM' if channel == 'mms' else 'SM'}{number // 2:032x}"
    account = _ACCOUNTS[0] if number % 2 else random.choice(_ACCOUNTS[1:])
    received = START.timestamp() + number * 0.7
    found: list[tuple[float, NewEvent]] = []
    for status, code in random.choice(_WAYS):
        received += random.choice([0.0, 0.5, 4.0, 700.0])
        for _ in range(random.choice([1, 1, 1, 2])):
            date = (
                random.choice([None, "2603011200", "7001010000", "9912312359", "26030"])
                if status in {"delivered", "undelivered"}
                else None
            )
            # The spool, and other servers, bring events into the log long after they were received, and before older ones.
            arrives = received + random.choice([0.0, 0.0, 0.1, 30.0, 5000.0])
            callback = Callback(account, sid, status, code, date, channel, "+15017122661", to, service)
            found.append((arrives, NewEvent(uuid_utils.uuid7().bytes, int(received * 1_000_000), callback, EVIDENCE)))
    return found
