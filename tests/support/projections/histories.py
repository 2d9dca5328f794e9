"""What was said of messages: builders for tables of cases, and strategies for property tests."""

from datetime import UTC, datetime, timedelta
from itertools import product

from hypothesis import strategies as st

from projections.fold.message import Said

SID = "SM" + "0" * 32

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""When the first event of a built history is received; each next one comes a second later."""

DATES = (
    *(None, "2611231140", "2611231150", "2611231200", "9912312359", "", "2613011200"),
    *("2611221000", "2611220959", "2611240300", "2611240301", "2611241400", "2611250000"),
)
"""Done dates: absent, three that are credible at noon in order, one that no clock can know yet, two that are no dates; and dates about
the bounds: 26 hours before noon and a minute more, 15 hours after noon and a minute more, 26 hours after noon, 12 hours after the next
noon."""

STATUSES = (
    *(
        "accepted",
        "scheduled",
        "queued",
        "receiving",
        "sending",
        "sent",
        "canceled",
        "failed",
        "undelivered",
        "partially_delivered",
    ),
    *("received", "delivered", "read", "DELIVERED", " sent ", "teleported", "zzz"),
)
"""All that Twilio documents, other spellings of two, and two that nobody knows."""

CODES = (None, "30003", "30005", "9", "63016", "no number", "³")


def say(
    position: int,
    status: str,
    code: str | None = None,
    date: str | None = None,
    *,
    sid: str = SID,
    to: str | None = "+14155238886",
    sender: str | None = "+15017122661",
    channel: str = "sms",
    account_sid: str | None = "AC" + "1" * 32,
    message: str | None = None,
    received_at: datetime | None = None,
) -> Said:
    """An event; received as many seconds after noon as its position says, unless told otherwise."""
    received_at = NOON + timedelta(seconds=position) if received_at is None else received_at
    return Said(position, sid, account_sid, status, code, date, channel, sender, to, None, received_at, message)


ROUTES = tuple(
    product(
        ("sms", "rcs"),
        (None, "+15017122661", "rcs:agent"),
        (None, "+14155238886", "+447400123456"),
        (None, "MG" + "1" * 32),
    )
)
"""Channel, sender, recipient, messaging service; drawn as one value, which is much quicker."""


ACCOUNTS = ("AC" + "1" * 32, "AC" + "2" * 32, None)

Key = tuple[str | None, str]
"""Account and SID of a message."""


def keys(messages: int) -> tuple[Key, ...]:
    """So many messages, of several accounts; some have their SID in common."""
    return tuple((ACCOUNTS[number % 3], f"SM{number // 2:032x}") for number in range(messages))


def events(position: int, messages: tuple[Key, ...] = keys(1)) -> st.SearchStrategy[Said]:
    """One event at ``position``, with values that repeat and contradict each other often."""
    return st.tuples(
        st.sampled_from(messages),
        st.sampled_from(STATUSES),
        st.sampled_from(CODES),
        st.sampled_from(DATES),
        st.sampled_from(ROUTES),
        st.sampled_from([NOON + timedelta(seconds=seconds) for seconds in (0, 1, 86_400, -86_400)]),
        st.sampled_from([None, None, "blocked", "window closed"]),
    ).map(lambda drawn: _said(position, *drawn))


def _said(
    position: int,
    key: Key,
    status: str,
    code: str | None,
    date: str | None,
    route: tuple[str, str | None, str | None, str | None],
    received_at: datetime,
    message: str | None,
) -> Said:
    (account_sid, sid), (channel, sender, to, service) = key, route
    return Said(position, sid, account_sid, status, code, date, channel, sender, to, service, received_at, message)


@st.composite
def histories(draw: st.DrawFn, min_size: int = 1, max_size: int = 5, messages: int = 1) -> list[Said]:
    """A log of that many messages at most: positions 1, 2, 3 …"""
    known = keys(messages)
    size = draw(st.integers(min_size, max_size))
    return [draw(events(position, known)) for position in range(1, size + 1)]
