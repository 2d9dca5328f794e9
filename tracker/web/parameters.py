"""Path and query parameters: read kindly, and refused with what was expected."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from tracker.messages.as_of import AsOf, Clock
from tracker.messages.times import InvalidTimeError, parse_time
from tracker.twilio.callback import MESSAGE_SID
from tracker.twilio.statuses import normalise
from tracker.web.cursor import InvalidCursorError, Place, decode

MAX_TEXT: Final = 256
"""Characters of a filter at most: the columns hold no more."""

MAX_STATUSES: Final = 32

_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
_LOST_PLUS: Final = re.compile(r"(^|:) (?=[0-9])")


def only(once: Iterable[str], repeatable: Iterable[str] = ()) -> Guard:
    """A guard that refuses query parameters which are misspelt, or repeated where only one can count.

    An answer to another question than the one that was asked would look like an answer.
    """
    single = frozenset(once)
    known = sorted(single | set(repeatable))

    def check_names(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        for name in connection.query_params:
            if name not in known:
                raise ClientException(
                    detail=f"There is no query parameter {name[:64]!r} here; there are {', '.join(known)}."
                )
            if name in single and len(connection.query_params.getall(name)) > 1:
                raise ClientException(detail=f"{name}: is given more than once.")

    return check_names


def read_sid(text: str) -> str:
    """A message SID, as it is. Raises ClientException."""
    if MESSAGE_SID.fullmatch(text) is None:
        raise ClientException(detail="This is no message SID: expected SM or MM and 32 hexadecimal digits.")
    return text


def read_as_of(as_of: str | None, clock: str | None) -> AsOf | None:
    """The moment that is asked about; None: now. Raises ClientException."""
    if clock not in {None, *Clock}:
        raise ClientException(detail=f"clock: expected {' or '.join(Clock)}.")
    moment = read_moment("as_of", as_of)
    return None if moment is None else AsOf(moment, Clock(clock or Clock.KNOWN))


def read_moment(name: str, text: str | None) -> datetime | None:
    """The RFC 3339 time in a parameter. Raises ClientException."""
    try:
        return None if text is None else parse_time(text)
    except InvalidTimeError as error:
        raise ClientException(detail=f"{name}: {error}.") from None


def read_text(name: str, text: str | None) -> str | None:
    """A filter's value, as it is. Raises ClientException for one that no stored value can equal."""
    if text is None:
        return None
    if not text:
        raise ClientException(detail=f"{name}: is empty; leave it out to see all.")
    if len(text) > MAX_TEXT or "\0" in text:
        raise ClientException(detail=f"{name}: expected at most {MAX_TEXT} characters, none of them NUL.")
    return text


def read_address(name: str, text: str | None) -> str | None:
    """An address; the plus of a number may have come as a space, as an unescaped one does. Raises ClientException."""
    address = read_text(name, text)
    return None if address is None else _LOST_PLUS.sub(r"\1+", address)


def read_account(text: str | None) -> str | None:
    """An account SID. Raises ClientException."""
    if text is not None and _ACCOUNT_SID.fullmatch(text) is None:
        raise ClientException(detail="account_sid: expected AC and 32 hexadecimal digits.")
    return text


def read_statuses(given: Sequence[str] | None) -> tuple[str, ...]:
    """Statuses, repeated or separated by commas, each once and in small letters. Raises ClientException."""
    if given is None:
        return ()
    statuses = {normalise(part) for text in given for part in text.split(",")}
    for status in statuses:
        read_text("status", status)
    if len(statuses) > MAX_STATUSES:
        raise ClientException(detail=f"status: expected at most {MAX_STATUSES} different ones.")
    return tuple(sorted(statuses))


def read_cursor(text: str | None) -> Place | None:
    """Where the page before ended; None: there was none. Raises ClientException."""
    try:
        return None if text is None else decode(text)
    except InvalidCursorError:
        raise ClientException(detail="cursor: is no next_cursor of this list; start again without it.") from None
