"""The page of one message: its state, why it is so, and a page of its events with their evidence."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery, QueryParameter
from markupsafe import Markup

from tracker.queries.as_of import AsOf, Clock
from tracker.queries.history import History
from tracker.queries.reads import Pool
from tracker.queries.schemas import EventAnswer, MessageState
from tracker.queries.times import format_time, parse_shown_time
from tracker.twilio.error_codes import ErrorCode, find, page_url
from tracker.web.api.messages import build, find_history
from tracker.web.api.parameters import only, read_account, read_as_of, read_sid
from tracker.web.pages.rendering import link_positions, page

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
    explanation: Markup | None
    decides: bool
    channel_message: str | None
    """What the channel says of a failure; None: nothing."""


@get(
    "/messages/{message_sid:str}", media_type=MediaType.HTML, guards=[only(["as_of", "clock", "account_sid", "after"])]
)
async def show_message(
    request: Request[Any, Any, Any],
    message_sid: FromPath[str],
    pool: NamedDependency[Pool],
    as_of: FromQuery[str | None] = None,
    clock: FromQuery[str | None] = None,
    account_sid: FromQuery[str | None] = None,
    after_text: Annotated[str | None, QueryParameter(name="after")] = None,
) -> Response[str]:
    """What is known of a message, now or as of a moment. The form sends an empty moment for now."""
    sid = read_sid(message_sid)
    moment = read_as_of(as_of or None, clock or None, parse_shown_time)
    account = read_account(account_sid or None, none=True)
    after = _position(after_text)
    history = await find_history(pool, sid, account, moment, after=after)
    rows = await build(history, lambda: _rows(history))
    return _page(request, history, rows, Asked(moment, account, after))


class Asked(NamedTuple):
    """What the page was asked for, so that its links keep it."""

    as_of: AsOf | None
    account: str | None
    after: int

    def at(self, moment: datetime | None) -> dict[str, str | int]:
        """The parameters of a link to the same message as of another moment; None for now."""
        as_of = None if moment is None else AsOf(moment)
        return self._replace(as_of=as_of, after=0).query()

    def query(self, after: int | None = None) -> dict[str, str | int]:
        """The parameters of a link to another page of the same history."""
        parameters: dict[str, str | int] = {}
        if self.as_of is not None:
            parameters |= {"as_of": format_time(self.as_of.moment), "clock": self.as_of.clock}
        if self.account is not None:
            parameters["account_sid"] = self.account
        if after:
            parameters["after"] = after
        return parameters


def _page(request: Request[Any, Any, Any], history: History, rows: Sequence[Row], asked: Asked) -> Response[str]:
    state = MessageState.of(history.message)
    return page(
        request,
        "message.html",
        state=state,
        tone=tone(state.status),
        error=error_of(state.error_code),
        why=link_positions(history.why, _times(history)),
        rows=rows,
        asked=asked,
        as_of=asked.as_of,
        clocks=list(Clock),
        history=history,
        left_out=history.event_count - history.counted,
        codes=[error_of(code) for code in state.error_codes_seen if code != state.error_code],
    )


def _rows(history: History) -> Sequence[Row]:
    times = _times(history)
    rows: list[Row] = []
    for entry in history.entries:
        answer = EventAnswer.of(entry.event, entry.effect)
        rows.append(
            Row(
                answer,
                tone(entry.event.status.strip().lower()),
                error_of(entry.event.error_code),
                None if entry.explanation is None else link_positions(entry.explanation, times),
                entry.event.position == history.message.decided_by,
                answer.error_message or _first(answer.params, "ChannelStatusMessage"),
            )
        )
    return rows


def _times(history: History) -> dict[int, datetime]:
    return {entry.event.position: entry.event.received_at for entry in history.entries}


def _first(params: Mapping[str, str | list[str]], name: str) -> str | None:
    value = params.get(name)
    return value[0] if isinstance(value, list) else value or None


def _position(text: str | None) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004  # fits 64 bits
        raise ClientException(detail="after: expected a position: a whole number.")
    return int(text)


def tone(status: str) -> str:
    """How a status is coloured: good, bad, or open."""
    return "good" if status in _GOOD else "bad" if status in _BAD else "open"


def error_of(code: str | None) -> Error | None:
    """An error code with what is known of it; None for none."""
    if code is None:
        return None
    return Error(code, find(code), page_url(code) if code.isascii() and code.isdigit() else None)
