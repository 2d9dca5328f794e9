"""Asks the tracker for the state of each message, and compares it with what it must be."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import aiohttp
import msgspec

from tracker.errors import TrackerError
from tracker.simulate.expectation import State
from tracker.simulate.outcome import MessageOutcome, channel_by

_CONCURRENCY = 16
_REQUEST_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

_OK = 200
_UNAUTHORIZED = {401, 403}
_NOT_FOUND = 404


class NotAllowedError(TrackerError):
    """The API refused the bearer token, or wants one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as it should be."""

    expected: object
    found: object


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A message that is not as it should be."""

    message_sid: str
    differences: dict[str, Difference]


@dataclass(frozen=True, slots=True)
class Verification:
    """What came out. matched and mismatches add up to messages."""

    messages: int
    matched: int
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The API's answer about a message. state: None where it knows none such.

    problem: why there is no answer; None: there is one.
    """

    state: Mapping[str, object] | None = None
    problem: str | None = None


async def verify(
    api_base_url: str,
    api_token: str | None,
    outcomes: Sequence[MessageOutcome],
    *,
    seconds: float,
    on_match: Callable[[], None] = lambda: None,
) -> Verification:
    """Ask until all agree or the time is over. on_match: called for each message that agrees.

    Raises NotAllowedError when the API does not let us in.
    """
    headers = {"authorization": f"Bearer {api_token}"} if api_token else {}
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    connector = aiohttp.TCPConnector(limit=_CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        enquiry = _Enquiry(session, api_base_url, on_match)
        await enquiry.ask_until_all_agree(outcomes, seconds)
    mismatches = tuple(enquiry.mismatches.values())
    return Verification(len(outcomes), len(outcomes) - len(mismatches), mismatches)


def differences(outcome: MessageOutcome, found: Found) -> dict[str, Difference]:
    """What is not as it should be, by field; empty when the answer is right."""
    if found.problem is not None:
        return {"answer": Difference("the message's state", found.problem)}
    if found.state is None:
        if outcome.status is None:
            return {}
        return {"status": Difference(outcome.status, "unknown message")}
    if outcome.status is None and not outcome.in_doubt:
        return {"status": Difference("unknown message", found.state.get("status"))}
    wrong = [dict(_compare(_expected_fields(outcome, state), found.state)) for state in _right_states(outcome)]
    return min(wrong, key=len) | dict(_compare_event_count(outcome, found.state))


class _Enquiry:
    """Goes round the messages that do not agree yet. ``mismatches``: by SID, those that did not when last asked."""

    def __init__(self, session: aiohttp.ClientSession, api_base_url: str, on_match: Callable[[], None]) -> None:
        self.mismatches: dict[str, Mismatch] = {}
        self._session = session
        self._api_base_url = api_base_url
        self._on_match = on_match

    async def ask_until_all_agree(self, outcomes: Sequence[MessageOutcome], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        pause = _FIRST_PAUSE_SECONDS
        pending = await self._ask_all(outcomes)
        while pending and loop.time() + pause < deadline:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            pending = await self._ask_all(pending)

    async def _ask_all(self, outcomes: Sequence[MessageOutcome]) -> list[MessageOutcome]:
        """Ask about each once. Returns those that do not agree."""
        queue = iter(outcomes)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_CONCURRENCY):
                    tasks.create_task(self._ask_each(queue))
        except* NotAllowedError as refused:
            raise refused.exceptions[0] from None
        return [outcome for outcome in outcomes if outcome.message_sid in self.mismatches]

    async def _ask_each(self, queue: Iterator[MessageOutcome]) -> None:
        for outcome in queue:
            wrong = differences(outcome, await self._fetch(outcome.message_sid))
            if wrong:
                self.mismatches[outcome.message_sid] = Mismatch(outcome.message_sid, wrong)
            else:
                self.mismatches.pop(outcome.message_sid, None)
                self._on_match()

    async def _fetch(self, message_sid: str) -> Found:
        try:
            async with self._session.get(f"{self._api_base_url}/api/messages/{message_sid}") as response:
                return _read(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return Found(problem=type(error).__name__)


def _read(status: int, body: bytes) -> Found:
    if status in _UNAUTHORIZED:
        raise NotAllowedError("The API wants its bearer token: set TRACKER_API_TOKEN or give --api-token.")
    if status == _NOT_FOUND:
        return Found()
    try:
        content = msgspec.json.decode(body) if status == _OK else None
    except msgspec.DecodeError:
        content = None
    if not isinstance(content, dict):
        return Found(problem=f"HTTP {status}")
    return Found(cast("dict[str, object]", content))


def _right_states(outcome: MessageOutcome) -> tuple[State, ...]:
    expected = State(
        outcome.status,
        is_final=outcome.is_final,
        error_code=outcome.error_code,
        raw_dlr_done_date=outcome.raw_dlr_done_date,
        from_address=outcome.from_address,
        delivered=outcome.delivered,
    )
    return expected, *outcome.alternatives


def _expected_fields(outcome: MessageOutcome, state: State) -> dict[str, object]:
    from_address = state.from_address or outcome.from_address
    return {
        "status": state.status,
        "is_final": state.is_final,
        "error_code": state.error_code,
        "raw_dlr_done_date": state.raw_dlr_done_date,
        "account_sid": outcome.account_sid,
        "messaging_service_sid": outcome.messaging_service_sid,
        "country": outcome.country,
        "channel": channel_by(from_address, outcome.message_sid),
        "from": from_address,
        "to": outcome.to,
    }


def _compare(expected: Mapping[str, object], found: Mapping[str, object]) -> Iterator[tuple[str, Difference]]:
    for name, value in expected.items():
        if found.get(name) != value:
            yield name, Difference(value, found.get(name))


def _compare_event_count(outcome: MessageOutcome, found: Mapping[str, object]) -> Iterator[tuple[str, Difference]]:
    least, most = outcome.event_count, outcome.event_count + outcome.in_doubt
    count = found.get("event_count")
    if not isinstance(count, int) or not least <= count <= most:
        yield "event_count", Difference(least if least == most else f"{least} to {most}", count)
