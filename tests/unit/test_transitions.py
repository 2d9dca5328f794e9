"""From events to transitions, with messages in memory or read again from the log."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.fold.message import Key, Message, Said, fold
from projections.fold.transitions import Messages, Transition
from projections.runner import contiguous
from tests.support.projections.histories import ACCOUNTS, NOON, histories, say


class Log:
    """The log as ``Messages`` reads it, and what it was asked for."""

    def __init__(self, events: Sequence[Said]) -> None:
        self.events = events
        self.asked: list[tuple[list[Key], int]] = []

    def load(self, keys: Sequence[Key], until: int) -> Iterable[Said]:
        """The events of these messages up to a position."""
        self.asked.append((list(keys), until))
        return [said for said in self.events if key_of(said) in keys and said.position <= until]


def key_of(said: Said) -> Key:
    """What identifies the message."""
    return (said.account_sid or "", said.message_sid)


def batches(events: Sequence[Said], sizes: Iterable[int]) -> Iterable[Sequence[Said]]:
    """The events in batches of these sizes; what is left over is the last."""
    start = 0
    for size in sizes:
        yield events[start : start + size]
        start += size
    yield events[start:]


def run(log: Log, sizes: Iterable[int], max_messages: int) -> tuple[list[Transition], dict[Key, tuple[Any, ...]]]:
    """All transitions, and the last known state of each message."""
    messages = Messages(0, log.load, max_messages)
    transitions: list[Transition] = []
    states: dict[Key, tuple[Any, ...]] = {}
    for batch in batches(log.events, sizes):
        taken = messages.advance(batch)
        transitions += taken.transitions
        # Read at once: the messages change with the next batch.
        states |= {(message.account_sid, message.message_sid): state(message) for message in taken.messages}
        assert {(message.account_sid, message.message_sid) for message in taken.messages} == set(map(key_of, batch))
    assert messages.position == len(log.events)
    return transitions, states


def state(message: Message) -> tuple[Any, ...]:
    """Everything that is known of a message."""
    attributes = (getattr(message, name) for name in Message.__slots__ if name != "standing")
    summary = message.standing.summary
    return (*attributes, summary.statuses, summary.dates, message.error_codes_seen, message.has_conflict)


@given(
    histories(min_size=0, max_size=12, messages=4),
    st.lists(st.integers(1, 4), max_size=6),
    st.sampled_from([0, 1, 2, 100]),
)
def test_batches_and_memory_change_nothing(events: list[Said], sizes: list[int], max_messages: int) -> None:
    """Whether a message is still in memory or is folded again from the log, and however the log is cut into batches."""
    transitions, states = run(Log(events), sizes, max_messages)
    assert transitions == run(Log(events), [], 1000)[0]
    for key, known in states.items():
        message, _ = fold(said for said in events if key_of(said) == key)
        assert message is not None
        assert known == state(message)


@given(histories(min_size=2, max_size=12, messages=4), st.data())
def test_transitions_can_be_had_from_any_position_on(events: list[Said], data: st.DataObject) -> None:
    """By a rebuild, or a projection that has fallen behind: the same ones."""
    start = data.draw(st.integers(0, len(events)))
    messages = Messages(start, Log(events).load)
    assert messages.advance(events[start:]).transitions == run(Log(events), [], 1000)[0][start:]


def test_what_is_in_memory_is_not_read_again() -> None:
    """Only messages that are not known are, each once, as of the position before the batch."""
    log = Log([say(1, "queued", sid="a"), say(2, "queued", sid="b"), say(3, "sent", sid="c"), say(4, "sent", sid="a")])
    messages = Messages(0, log.load)
    messages.advance(log.events[:2])
    messages.advance(log.events[2:])
    assert log.asked == [([(ACCOUNTS[0], "c")], 2)]


def test_two_accounts_with_one_sid_have_two_messages() -> None:
    """Also where the one is in memory and the other is read again from the log."""
    events = [
        say(1, "delivered", account_sid=ACCOUNTS[0]),
        say(2, "sent", account_sid=ACCOUNTS[1]),
        say(3, "queued", account_sid=None),
        say(4, "undelivered", "30003", account_sid=ACCOUNTS[1]),
        say(5, "sent", account_sid=None),
    ]
    for start in range(4):
        messages = Messages(start, Log(events).load)
        batch = messages.advance(events[start:])
        assert [each.kind.effect for each in batch.transitions] == ["decided"] * (5 - start)
        states = {message.account_sid: (message.status, message.event_count) for message in batch.messages}
        assert states[ACCOUNTS[1] or ""] == ("undelivered", 2)
        assert states[""] == ("sent", 2)
        assert [each.account_sid for each in batch.transitions] == [said.account_sid or "" for said in events[start:]]


@given(
    st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 5)), min_size=1, max_size=40),
    st.lists(st.integers(1, 5), max_size=12),
    st.integers(1, 6),
)
def test_messages_with_one_sid_survive_that_others_are_forgotten(
    authors: Sequence[tuple[str | None, int]], sizes: Sequence[int], max_messages: int
) -> None:
    """Whichever of them is in memory, each has as many events as the log has of it."""
    events = [
        say(position, "sent", sid=f"{sid:02}", account_sid=account)
        for position, (account, sid) in enumerate(authors, start=1)
    ]
    log = Log(events)
    messages = Messages(0, log.load, max_messages)
    for batch in batches(events, sizes):
        until = messages.position + len(batch)
        for message in messages.advance(batch).messages:
            key = (message.account_sid, message.message_sid)
            assert message.event_count == sum(key_of(said) == key for said in events[:until])


def test_memory_is_bounded() -> None:
    """Of too many messages the half that came last is kept."""
    events = [say(position, "queued", sid=f"{position:02}") for position in range(1, 12)]
    log = Log([*events, *(say(11 + position, "sent", sid=f"{position:02}") for position in range(1, 12))])
    messages = Messages(0, log.load, max_messages=10)
    messages.advance(log.events[:11])
    messages.advance(log.events[11:])
    assert log.asked == [([(ACCOUNTS[0], f"{position:02}") for position in range(1, 7)], 11)]


def test_a_transition_tells_what_changed() -> None:
    """As of the moment when the event was taken in: what came after is not in it."""
    events = [say(1, "Sent"), say(2, "undelivered", "30003"), say(3, "delivered"), say(4, "queued")]
    first, second, third, fourth = Messages(0, Log(events).load).advance(events).transitions
    assert [
        (each.kind.status, each.kind.effect, each.kind.status_before, each.kind.status_after)
        for each in (first, second, third, fourth)
    ] == [
        ("sent", "decided", None, "sent"),
        ("undelivered", "decided", "sent", "undelivered"),
        ("delivered", "corrected", "undelivered", "delivered"),
        ("queued", "late", "delivered", "delivered"),
    ]
    assert [(each.kind.error_code, each.kind.new_error_code) for each in (first, second, third)] == [
        ("", False),
        ("30003", True),
        ("", False),
    ]
    assert first.kind.reached
    assert (first.channel, first.country, first.messaging_service_sid) == ("sms", "US", None)
    assert (first.sent_at, first.delivered_at) == (events[0].received_at, None)
    assert third.delivered_at == events[2].received_at
    assert (fourth.position, fourth.received_at, fourth.message_sid) == (
        4,
        events[3].received_at,
        events[3].message_sid,
    )
    assert events[0].received_at > NOON


def test_an_empty_batch_changes_nothing() -> None:
    """A reader that found nothing new may say so."""
    log = Log([])
    messages = Messages(7, log.load)
    batch = messages.advance([])
    assert (list(batch.transitions), list(batch.messages), messages.position, log.asked) == ([], [], 7, [])


@pytest.mark.parametrize(
    ("positions", "after", "expected"),
    [
        ([4, 5, 6], 3, [4, 5, 6]),
        ([4, 5, 7], 3, [4, 5]),
        ([5, 6], 3, []),
        ([4, 6, 7, 8], 3, [4]),
        ([], 3, []),
    ],
)
def test_a_gap_in_the_log_means_wait(positions: list[int], after: int, expected: list[int]) -> None:
    """A reader gets what follows its position without a gap, and nothing behind one."""
    found = contiguous([say(position, "sent") for position in positions], after)
    assert [said.position for said in found] == expected
