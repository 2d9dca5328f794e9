"""Requests as an attacker makes them who knows signatures: re-split, reordered, repeated, moved and damaged ones."""

import base64
import hmac
import random
import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote_plus

from tests.support.serving import ACCOUNT_SID, FORM, PATH, TOKEN
from tracker.twilio.form import signed_text

Pairs = list[tuple[str, str]]

STATUSES: Final = ("queued", "sending", "sent", "delivered", "undelivered", "failed", "read")
OTHER_STATUSES: Final = ("delivered", "failed", "un", "deliveredN", "")
BOUNDARIES: Final = (
    "MessageSid",
    "MessageStatus",
    "ErrorCode",
    "AccountSid",
    "RawDlrDoneDate",
    "SmsSid",
    "To",
    "From",
    "T12",
    "a",
    "Zz",
)
_SAYABLE: Final = re.compile(r"[!\"$-~]*")
"""Characters that may stand in a request target as they are."""


_quote: Final = lru_cache(maxsize=4096)(quote_plus)
"""Most names and values come again and again; escaping them was half of the time that a request took to make."""


class Reading(NamedTuple):
    """What decides a message's state."""

    account_sid: str
    message_sid: str
    status: str
    error_code: str | None
    raw_dlr_done_date: str | None


class Attempt(NamedTuple):
    """A request and what it is about."""

    request: bytes
    honest: Reading
    """What Twilio said, whose signature the request uses."""
    is_honest: bool
    """Whether it says exactly that: it must be taken."""
    ends_connection: bool
    """Whether the server may close the connection after it."""


class Attempts:
    """Makes requests for one server."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._url = f"http://127.0.0.1:{port}{PATH}"
        self._host = f"127.0.0.1:{port}"
        self._chance = chance
        self._made = 0
        self._mac = hmac.new(TOKEN.encode(), digestmod="sha1")

    def next(self) -> Attempt:
        """One of any kind."""
        self._made += 1
        pairs, honest = self._honest()
        query = self._chance.choice(("", "", "shop=1", "Campaign=summer&x=%20y"))
        signature = self.sign(self._target(query)[1], pairs)
        kind = self._chance.choices(
            ("honest", "cut", "reorder", "repeat", "move", "damage body", "damage signature", "damage head"),
            (30, 30, 8, 8, 8, 8, 4, 4),
        )[0]
        forged, forged_query = pairs, query
        if kind == "cut":
            forged = self._cut(pairs)
        elif kind == "reorder":
            forged = self._chance.sample(pairs, len(pairs))
        elif kind == "repeat":
            name, value = self._chance.choice(pairs)
            other = self._chance.choice((value, "", *OTHER_STATUSES, ACCOUNT_SID))
            forged = [*pairs, (name, other)] if self._chance.random() < 0.5 else [(name, other), *pairs]
        elif kind == "move":
            forged, forged_query = self._move(pairs, query)
        request = self._request(forged, forged_query, self._damage_text(signature, kind == "damage signature"))
        head, end, body = request.partition(b"\r\n\r\n")
        if kind == "damage body":
            body = self._damage(body)
        elif kind == "damage head":
            head = self._damage(head)
        return Attempt(head + end + body, honest, kind == "honest", kind == "damage head")

    def sign(self, url: str, pairs: Pairs) -> str:
        """As Twilio signs."""
        mac = self._mac.copy()
        mac.update((url + signed_text(pairs)).encode())
        return base64.b64encode(mac.digest()).decode()

    def _honest(self) -> tuple[Pairs, Reading]:
        chance, sid = self._chance, f"{self._chance.choice(('SM', 'MM'))}{self._made:032x}"
        status = chance.choice(STATUSES)
        code = chance.choice(("30003", "30007", "63016")) if status in {"undelivered", "failed"} else None
        date = chance.choice(("2611231501", None)) if status in {"undelivered", "delivered"} else None
        given = {
            "AccountSid": ACCOUNT_SID,
            "ApiVersion": "2010-04-01",
            "Body": chance.choice((None, None, None, "hi", f"MessageSid{sid}MessageStatusdeliveredzz")),
            "ChannelPrefix": chance.choice((None, None, "whatsapp")),
            "ErrorCode": code,
            "ErrorMessage": chance.choice((None, "Twilio Error: MessageStatus ✗")) if code else None,
            "From": chance.choice(("+14155550199", "ACME", "whatsapp:+14155550199")),
            "MessageSid": sid,
            "MessageStatus": status,
            "MessagingServiceSid": chance.choice((None, "MG" + "2c" * 16)),
            "NewField": chance.choice((None, None, "delivered")),
            "RawDlrDoneDate": date,
            "SmsSid": sid,
            "SmsStatus": status,
            "StructuredMessage": chance.choice((None, None, "false")),
            "To": "+14155238886",
            "tag": chance.choice((None, None, "x")),
        }
        pairs = [(name, value) for name, value in given.items() if value is not None]
        return pairs, Reading(ACCOUNT_SID, sid, status, code, date)

    def _cut(self, pairs: Pairs) -> Pairs:
        """The same signed text with other boundaries, in a window of neighbouring pairs."""
        chance, ordered = self._chance, sorted(pairs)
        size = chance.randint(1, 4)
        start = chance.randrange(len(ordered) - size + 1)
        text = "".join(name + value for name, value in ordered[start : start + size])
        places: list[int] = []
        place = 0
        for name, value in ordered[start : start + size]:
            places += [place + len(name), place + len(name) + len(value)]
            place = places[-1]
        places.pop()
        way = chance.randrange(4)
        if way == 0:
            places[chance.randrange(len(places))] = chance.randint(1, len(text))
        elif way == 1:
            places += [chance.randint(1, len(text)), chance.randint(1, len(text))]
        elif way == 2 and len(places) > 2:
            first = chance.randrange(len(places) - 1)
            del places[first : first + 2]
        else:
            found = [at for name in BOUNDARIES if (at := text.find(name)) > 0]
            places = chance.sample(range(1, len(text)), 1) + found
        places = sorted(places)[: len(places) - (len(places) + 1) % 2]
        starts, ends = [0, *places[1::2]], [*places[1::2], len(text)]
        cut = [(text[a:m], text[m:b]) for a, m, b in zip(starts, places[0::2], ends, strict=True)]
        return [*ordered[:start], *cut, *ordered[start + size :]]

    def _move(self, pairs: Pairs, query: str) -> tuple[Pairs, str]:
        """The beginning of the signed parameters in the query, or the end of the query in the parameters."""
        text, mark = signed_text(pairs), query
        if query and self._chance.random() < 0.5:
            at = self._chance.randrange(len(query))
            middle = self._chance.randint(at, len(query))
            return [(query[at:middle], query[middle:]), *pairs], query[:at]
        # What a request target cannot say stays in the body.
        sayable = len(_SAYABLE.match(text)[0])  # pyright: ignore[reportOptionalSubscript]  # it matches nothing, too
        at, end = self._chance.randrange(sayable), self._chance.randrange(len(text))
        at, end = min(at, end), max(at, end)
        return [(text[at:end], text[end:])], mark + text[:at]

    def _target(self, query: str) -> tuple[str, str]:
        """Request target and URL."""
        suffix = f"?{query}" if query else ""
        return PATH + suffix, self._url + suffix

    def _request(self, pairs: Pairs, query: str, signature: str) -> bytes:
        body = "&".join([f"{_quote(name)}={_quote(value)}" for name, value in pairs])
        target = self._target(query)[0].encode("ascii", "replace").decode()
        return (
            f"POST {target} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {FORM}\r\nX-Twilio-Signature: {signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _damage(self, data: bytes) -> bytes:
        """One byte changed."""
        at = self._chance.randrange(len(data))
        return data[:at] + bytes([self._chance.randrange(256)]) + data[at + 1 :]

    def _damage_text(self, text: str, is_wanted: bool) -> str:
        if not is_wanted:
            return text
        at = self._chance.randrange(len(text))
        return text[:at] + self._chance.choice("Aa0+/= \t") + text[at + 1 :]
