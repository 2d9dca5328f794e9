"""Path and query parameters: read kindly, and refused with what was expected."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, get_args

from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard
from phonenumbers import SUPPORTED_REGIONS

from projections.fold.lifecycle import Effect
from tracker.control_characters import escape_controls
from tracker.queries.as_of import AsOf, Clock
from tracker.queries.cursor import InvalidCursorError, Place, decode
from tracker.queries.history_reader import NO_ACCOUNT
from tracker.queries.times import InvalidTimeError, parse_time
from tracker.twilio.addresses import Address, canonical_sid
from tracker.twilio.addresses import read_address as parse_address
from tracker.twilio.statuses import Direction, normalise

MAX_TEXT: Final = 256
"""Characters of a filter at most: the columns hold no more."""

MAX_STATUSES: Final = 32

MAX_AHEAD: Final = timedelta(days=1)
"""How far in the future a moment may lie: clocks and time zones differ, years are typing errors."""

EFFECTS: Final[tuple[Effect, ...]] = get_args(Effect)
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)

Choice = TypeVar("Choice", bound=str)

_MESSAGE_SID: Final = re.compile(r"(?:SM|MM)[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_SERVICE_SID: Final = re.compile(r"MG[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_ERROR_CODE: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_CHANNEL: Final = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_LOST_PLUS: Final = re.compile(r"(^|:) (?=[0-9][0-9 ().-]{6})", re.ASCII)
"""Where an unescaped plus of a number became a space; a short code has too few digits for one."""


def only(once: Iterable[str], repeatable: Iterable[str] = ()) -> Guard:
    """A guard that refuses query parameters which are misspelt, or repeated where only one can count.

    An answer to another question than the one that was asked would look like an answer.
    """
    single = frozenset(once)
    known = sorted(single | set(repeatable))

    def check_names(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        for name in connection.query_params:
            if name not in known:
                raise ClientException(detail=f"There is no query parameter {_shown(name)} here; {_listed(known)}.")
            if name in single and len(connection.query_params.getall(name)) > 1:
                raise ClientException(detail=f"{name}: is given more than once.")

    return check_names


def _shown(name: str) -> str:
    return f"'{escape_controls(name[:64])}'"


def _listed(known: Sequence[str]) -> str:
    return f"there are {', '.join(known)}" if known else "there are none"


def read_sid(text: str) -> str:
    """A message SID with a capital prefix; the hexadecimal digits stay as they are. Raises ClientException."""
    if _MESSAGE_SID.fullmatch(text) is None:
        raise ClientException(detail="This is no message SID: expected SM or MM and 32 hexadecimal digits.")
    return text[:2].upper() + text[2:]


def read_as_of(as_of: str | None, clock: str | None, parse: Callable[[str], datetime] = parse_time) -> AsOf | None:
    """The moment that is asked about; None: now. parse: reads the moment's text. Raises ClientException."""
    if clock not in {None, *Clock}:
        raise ClientException(detail=f"clock: expected {' or '.join(Clock)}.")
    moment = read_moment("as_of", as_of, parse)
    _refuse_future("as_of", moment)
    return None if moment is None else AsOf(moment, Clock(clock or Clock.KNOWN))


def read_moment(name: str, text: str | None, parse: Callable[[str], datetime] = parse_time) -> datetime | None:
    """The time in a parameter. parse: raises InvalidTimeError. Raises ClientException."""
    try:
        return None if text is None else parse(text)
    except InvalidTimeError as error:
        raise ClientException(detail=f"{name}: {error}.") from None


def read_range(
    since: str | None, until: str | None, parse: Callable[[str], datetime] = parse_time
) -> tuple[datetime | None, datetime | None]:
    """The times ``since`` and ``until``, which leave room for something between them. Raises ClientException."""
    first, end = read_moment("since", since, parse), read_moment("until", until, parse)
    _refuse_future("since", first)
    if first is not None and end is not None and first >= end:
        raise ClientException(detail="since: is not before until.")
    return first, end


def _refuse_future(name: str, moment: datetime | None) -> None:
    if moment is not None and moment > datetime.now(UTC) + MAX_AHEAD:
        raise ClientException(detail=f"{name}: lies in the future, of which nothing is known yet.")


def read_text(name: str, text: str | None) -> str | None:
    """A filter's value, as it is. Raises ClientException for one that no stored value can equal."""
    if text is None:
        return None
    if not text:
        raise ClientException(detail=f"{name}: is empty; leave it out to see all.")
    if len(text) > MAX_TEXT or "\0" in text:
        raise ClientException(detail=f"{name}: expected at most {MAX_TEXT} characters, none of them NUL.")
    return text


def read_address(name: str, text: str | None) -> Address | None:
    """An address in any spelling; the plus of a number may have come as a space, as an unescaped one does.

    name: ``from`` for a sender's. Raises ClientException.
    """
    address = read_text(name, text)
    if address is None:
        return None
    if not address.strip():
        raise ClientException(detail=f"{name}: is empty; leave it out to see all.")
    return parse_address(_LOST_PLUS.sub(r"\1+", address), sender=name == "from")


def read_account(text: str | None, *, none: bool = False) -> str | None:
    """An account SID in canonical case. none: whether the word for no account is one, too. Raises ClientException."""
    if text is None or (none and text == NO_ACCOUNT):
        return text
    if _ACCOUNT_SID.fullmatch(text) is None:
        also = f", or {NO_ACCOUNT} for events that name no account" if none else ""
        raise ClientException(detail=f"account_sid: expected AC and 32 hexadecimal digits{also}.")
    return canonical_sid(text)


def read_service(text: str | None) -> str | None:
    """The SID of a Messaging Service in canonical case. Raises ClientException."""
    if text is None:
        return None
    if _SERVICE_SID.fullmatch(text) is None:
        raise ClientException(detail="messaging_service_sid: expected MG and 32 hexadecimal digits.")
    return canonical_sid(text)


def read_error_code(name: str, text: str | None) -> str | None:
    """One of Twilio's error codes. Raises ClientException."""
    if text is not None and _ERROR_CODE.fullmatch(text.strip()) is None:
        raise ClientException(detail=f"{name}: expected one code of at most six digits, such as 30003.")
    return text and text.strip()


def read_country(text: str | None) -> str | None:
    """A country's code. Raises ClientException."""
    if text is not None and text.strip().upper() not in SUPPORTED_REGIONS:
        raise ClientException(detail="country: expected an ISO 3166 code of two letters, such as US.")
    return text and text.strip().upper()


def read_channel(text: str | None) -> str | None:
    """A channel's name in small letters. Raises ClientException."""
    if text is not None and _CHANNEL.fullmatch(text.strip().lower()) is None:
        raise ClientException(detail="channel: expected a name such as sms, mms, whatsapp, rcs or messenger.")
    return text and text.strip().lower()


def read_choice(name: str, text: str | None, choices: Sequence[Choice]) -> Choice | None:
    """One of some words. Raises ClientException."""
    if text is None:
        return None
    for choice in choices:
        if text.strip().lower() == choice:
            return choice
    raise ClientException(detail=f"{name}: expected {', '.join(choices[:-1])} or {choices[-1]}.")


def read_flag(name: str, text: str | None) -> bool | None:
    """True or false. Raises ClientException."""
    given = read_choice(name, text, ("true", "false"))
    return None if given is None else given == "true"


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
