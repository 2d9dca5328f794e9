"""The page of one message: its state, why it is so, and every event with its evidence."""

from collections.abc import Sequence
from typing import NamedTuple

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery

from tracker.messages.answers import EventAnswer, MessageState
from tracker.messages.as_of import AsOf, Clock
from tracker.messages.history import History, tell, why_nothing
from tracker.twilio.error_codes import ErrorCode, find, page_url
from tracker.web.api import history_of
from tracker.web.pages.rendering import page
from tracker.web.parameters import only, read_as_of, read_sid
from tracker.web.reads import Pool

_GOOD = frozenset({"delivered", "read", "received"})
_BAD = frozenset({"failed", "undelivered", "canceled", "partially_delivered"})


class Error(NamedTuple):
    """An error code as a page shows it."""

    code: str
    known: ErrorCode | None
    """What the dictionary says; None: nothing."""
    url: str | None
    """Twilio's page; None where the code is not even a number."""


class Row(NamedTuple):
    """An event as a page shows it."""

    event: EventAnswer
    tone: str
    error: Error | None
    explanation: str | None
    decides: bool


@get("/messages/{message_sid:str}", media_type=MediaType.HTML, guards=[only(["as_of", "clock"])])
async def show_message(
    message_sid: FromPath[str],
    pool: NamedDependency[Pool],
    as_of: FromQuery[str | None] = None,
    clock: FromQuery[str | None] = None,
) -> Response[str]:
    """What is known of a message, now or as of a moment. The form sends an empty moment for now."""
    sid, moment = read_sid(message_sid), read_as_of(as_of or None, clock)
    events = await history_of(pool, sid)
    history = tell(events, moment)
    if history is None:
        raise NotFoundException(detail=why_nothing(sid, events, moment))
    return _page(history, moment, len(events))


def _page(history: History, as_of: AsOf | None, event_count: int) -> Response[str]:
    state = MessageState.of(history.message)
    return page(
        "message.html",
        state=state,
        tone=tone(state.status),
        error=_error(state.error_code),
        why=history.why,
        rows=_rows(history, state.decided_by),
        as_of=as_of,
        clocks=list(Clock),
        left_out=event_count - len(history.entries),
    )


def _rows(history: History, decided_by: int) -> Sequence[Row]:
    return [
        Row(
            EventAnswer.of(entry.event, entry.effect),
            tone(entry.event.status.strip().lower()),
            _error(entry.event.error_code),
            entry.explanation,
            entry.event.position == decided_by,
        )
        for entry in history.entries
    ]


def tone(status: str) -> str:
    """How a status is coloured: good, bad, or open."""
    return "good" if status in _GOOD else "bad" if status in _BAD else "open"


def _error(code: str | None) -> Error | None:
    if code is None:
        return None
    return Error(code, find(code), page_url(code) if code.isascii() and code.isdigit() else None)
