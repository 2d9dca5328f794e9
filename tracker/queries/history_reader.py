"""Reads a message from the log and folds it: in parts, so that a history of any length needs bounded memory.

A long fold runs in a thread of its own: the event loop goes on answering callbacks. One thread for all of them, because several
would compete with the loop for the interpreter.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, Protocol, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from projections.fold.message import Said
from tracker.log.event import Event
from tracker.log.reader import read_events, read_facts
from tracker.queries.as_of import AsOf
from tracker.queries.history import History, HistoryFold
from tracker.twilio.addresses import canonical_sid

PAGE_EVENTS: Final = 200
"""Events on a page of a history, at most."""

PAGE_BYTES: Final = 256 * 1024
"""Bodies and URLs on a page, together; Twilio's usual 200 events have half of it."""

PART_EVENTS: Final = 2_000
"""Events that are read and folded at a time: some milliseconds of the event loop, and about a megabyte."""

INLINE_EVENTS: Final = 200
"""A history of so many is folded at once; handing it to a thread would take longer."""

MAX_ACCOUNTS: Final = 16
"""Accounts that are named when several have the same message SID."""

NO_ACCOUNT: Final = "none"
"""Asks for the events that name no account."""

_thread: Final = ThreadPoolExecutor(1, "history")

Answer = TypeVar("Answer")
Parameters = ParamSpec("Parameters")


class Ask(Protocol):
    """Runs a question on a connection to the database."""

    def __call__(self, question: Callable[[AsyncConnection[TupleRow]], Awaitable[Answer]], /) -> Awaitable[Answer]:
        """The question's answer."""
        ...


class NothingKnownError(Exception):
    """No event of the message counts. The text says so to people."""


class SeveralAccountsError(Exception):
    """Several accounts have a message of this SID. The text names them and says what to do."""

    def __init__(self, message_sid: str, accounts: list[str]) -> None:
        """accounts: at most MAX_ACCOUNTS."""
        super().__init__(_name_accounts(message_sid, accounts))
        self.accounts = sorted(accounts)


async def read_message(
    ask: Ask,
    message_sid: str,
    account_sid: str | None = None,
    as_of: AsOf | None = None,
    *,
    after: int = 0,
    limit: int = PAGE_EVENTS,
) -> History:
    """A message's state, and a page of its history.

    account_sid: in canonical case, or NO_ACCOUNT; None: the only one that has the message. as_of: None for now. after: position of the
    last event of the page before. limit: events on the page, 0 for the state alone.

    Raises NothingKnownError, SeveralAccountsError, and what ``ask`` raises.
    """
    fold = await _fold(ask, message_sid, account_sid, as_of, after, limit)
    spelling = canonical_sid(message_sid)
    if fold.event_count == 0 and spelling != message_sid:
        # Twilio writes SIDs with small letters; programs between may have changed them.
        fold = await _fold(ask, spelling, account_sid, as_of, after, limit)
    if fold.message is None:
        raise NothingKnownError(fold.why_nothing(message_sid))
    positions = [noted.position for noted in fold.noted]
    if not positions:
        return fold.history([])

    def evidence(connection: AsyncConnection[TupleRow]) -> Awaitable[list[Event]]:
        return read_events(connection, positions, PAGE_BYTES)

    return fold.history(await ask(evidence))


async def _fold(
    ask: Ask, message_sid: str, account_sid: str | None, as_of: AsOf | None, after: int, limit: int
) -> HistoryFold:
    fold = HistoryFold(as_of, after, limit)
    accounts: dict[str, None] = {}
    position = 0
    seen = 0
    while True:
        rows = await ask(partial(read_facts, message_sid=message_sid, after=position, limit=PART_EVENTS))
        seen += len(rows)
        add = partial(_add, fold, rows, account_sid, accounts)
        await off_loop(add) if seen > INLINE_EVENTS else add()
        if len(rows) < PART_EVENTS:
            break
        position = rows[-1][0]
    if account_sid is None and len(accounts) > 1:
        raise SeveralAccountsError(message_sid, list(accounts))
    return fold


def _add(fold: HistoryFold, rows: list[TupleRow], account_sid: str | None, accounts: dict[str, None]) -> None:
    """Fold the events of the account that is asked about, or of the only one; of several, only collect the names."""
    events = [Said(*row) for row in rows]
    if account_sid is not None:
        fold.add(said for said in events if account_of(said) == account_sid)
        return
    for said in events:
        if len(accounts) < MAX_ACCOUNTS:
            accounts.setdefault(account_of(said))
    if len(accounts) == 1:
        fold.add(events)


def account_of(said: Said) -> str:
    """The account whose message an event is about, in canonical case; NO_ACCOUNT when it names none."""
    return NO_ACCOUNT if said.account_sid is None else canonical_sid(said.account_sid)


def _name_accounts(message_sid: str, accounts: list[str]) -> str:
    several = "More than" if len(accounts) == MAX_ACCOUNTS else "Several accounts,"
    count = f" {len(accounts) - 1} accounts, among them" if len(accounts) == MAX_ACCOUNTS else ""
    return f"{several}{count} {', '.join(sorted(accounts))}, have a message {message_sid}: name one of them as account_sid."


async def off_loop(work: Callable[[], Answer]) -> Answer:
    """The result of ``work``, which runs in the thread for long work."""
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
