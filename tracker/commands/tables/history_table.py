"""A message's history on a terminal."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.commands.tables.table_printing import print_table
from tracker.control_characters import escape_controls
from tracker.queries.as_of import AsOf, Clock
from tracker.queries.history import Entry, History
from tracker.queries.schemas import MessageState
from tracker.twilio.done_date import parse_done_date
from tracker.twilio.error_codes import find

_TONES = {
    "delivered": "green",
    "read": "green",
    "received": "green",
    "failed": "red",
    "undelivered": "red",
    "canceled": "red",
}
MARK = "◀"
"""At the event that decides."""


def print_history(console: Console, history: History, as_of: AsOf | None) -> None:
    """The state in a few lines, a line an event, and a sentence for each effect that is not obvious."""
    state = MessageState.of(history.message)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(state, history.why, as_of):
        grid.add_row(name, value)
    console.print(grid)
    print_table(console, _table(history.entries, state.decided_by))
    for entry in history.entries:
        if entry.explanation is not None:
            console.print(_plain(entry.explanation))
    if history.event_count > history.counted:
        left_out = history.event_count - history.counted
        console.print(f"Not counted at that moment: {left_out} of {history.event_count} events.", style="dim")


def _facts(state: MessageState, why: str, as_of: AsOf | None) -> Iterator[tuple[str, Text]]:
    yield "message", _plain(state.message_sid)
    if as_of is not None:
        yield (
            "as of",
            _plain(f"{_time(as_of.moment)} UTC, {'known' if as_of.clock is Clock.KNOWN else 'happened'} by then"),
        )
    status = _plain(state.status, f"bold {_TONES.get(state.status, 'yellow')}")
    yield "status", status.append(", final" if state.is_final else ", still open", "default")
    if state.error_code is not None:
        yield "error", _error(state.error_code)
    if state.error_message is not None:
        yield "Twilio's text", _plain(state.error_message)
    if state.has_conflict:
        yield "conflict", Text("two different outcomes were reported")
    codes = [code for code in state.error_codes_seen if code != state.error_code]
    if codes:
        yield "other codes", _plain(", ".join(codes) + (" and more" if state.error_codes_truncated else ""))
    if state.direction == "inbound":
        yield "direction", Text("inbound: someone wrote to us")
    yield "why", _plain(f"{MARK} {why}")
    route = f"{state.channel}, {state.from_address or 'unknown'} to {state.to_address or 'unknown'}"
    yield "route", _plain(f"{route} ({state.country})" if state.country else route)
    accounts = (
        (name, sid) for name, sid in (("account", state.account_sid), ("service", state.messaging_service_sid)) if sid
    )
    yield from ((name, _plain(sid)) for name, sid in accounts)
    times = (("sent", state.sent_at), ("delivered", state.delivered_at))
    yield from ((name, _plain(f"{_time(moment)} UTC, received")) for name, moment in times if moment)


def _table(entries: Sequence[Entry], decided_by: int) -> Table:
    """In 80 columns times take two lines each, an error's label as many as it needs."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("position", no_wrap=True)
    table.add_column("received (UTC)", min_width=len("12:00:00.000"))
    table.add_column("status", min_width=len("undelivered"), overflow="fold")
    table.add_column("error", overflow="fold")
    table.add_column("carrier's done date", min_width=len("2026-03-01"), overflow="fold")
    table.add_column("effect", min_width=len(f"corrected {MARK}"))
    for event, effect, _ in entries:
        done_at = parse_done_date(event.raw_dlr_done_date)
        decides = event.position == decided_by
        table.add_row(
            str(event.position),
            _time(event.received_at),
            _plain(event.status, _TONES.get(event.status, "yellow")),
            Text() if event.error_code is None else _error(event.error_code),
            _plain(event.raw_dlr_done_date or "") if done_at is None else f"{done_at:%Y-%m-%d %H:%M}",
            f"{effect} {MARK}" if decides else effect,
            style="bold" if decides else None,
        )
    return table


def _error(code: str) -> Text:
    known = find(code)
    return _plain(code if known is None else f"{code} {known.label}")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")


def _plain(text: str, style: str = "") -> Text:
    """Text that came from outside, with escapes for what would steer the terminal."""
    return Text(escape_controls(text), style)
