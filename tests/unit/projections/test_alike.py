"""Transitions of a group count alike, and no event gets lost between groups."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.fold.grouping import alike
from projections.fold.lifecycle import Kind, kind_of
from projections.fold.transitions import Batch, Transition

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

DID: dict[str, Any] = {
    "status": "sent",
    "error_code": "",
    "effect": "decided",
    "reached": True,
    "new_error_code": False,
    "status_before": "queued",
    "status_after": "sent",
}

OTHERWISE: dict[str, Any] = {
    "status": "delivered",
    "error_code": "30003",
    "effect": "late",
    "reached": False,
    "new_error_code": True,
    "status_before": None,
    "status_after": "delivered",
}
"""Another value of each."""

EVENT = Transition(
    position=1,
    account_sid="AC1",
    message_sid="SM1",
    received_at=NOON,
    kind=kind_of(**DID),
    channel="sms",
    country="US",
    messaging_service_sid=None,
    sent_at=NOON,
    delivered_at=None,
)

APART: dict[str, Any] = {
    "kind": kind_of(**{**DID, "effect": "late"}),
    "channel": "rcs",
    "country": None,
    "messaging_service_sid": "MG1",
    "sent_at": None,
    "delivered_at": NOON,
}
"""Another value of whatever counters and statistics ask of a transition."""

TOGETHER: dict[str, Any] = {
    "position": 2,
    "account_sid": "AC2",
    "message_sid": "SM2",
    "received_at": NOON + timedelta(days=1),
    "sent_at": NOON + timedelta(days=1),
}
"""Another value of what they do not ask, or ask of each."""


def changed(name: str, value: Any) -> Transition:
    """The event with one other value."""
    return msgspec.structs.replace(EVENT, **{name: value})


@pytest.mark.parametrize(("name", "value"), APART.items(), ids=APART.keys())
def test_what_counts_otherwise_is_apart(name: str, value: Any) -> None:
    """One difference is enough."""
    assert [len(group) for group in alike(Batch([EVENT, changed(name, value)], [])).values()] == [1, 1]


@pytest.mark.parametrize(("name", "value"), OTHERWISE.items(), ids=OTHERWISE.keys())
def test_whoever_did_something_else_is_of_another_kind(name: str, value: Any) -> None:
    """An event that did something else has another kind; one that did the same has the same kind object."""
    same = kind_of(**DID)
    assert kind_of(**{**DID, name: value}) is not same
    assert kind_of(**DID) is same


def test_a_kind_is_told_by_all_that_it_says() -> None:
    """What is added to kinds is to be thought of here."""
    assert set(Kind.__slots__) == DID.keys() == OTHERWISE.keys()


@pytest.mark.parametrize(("name", "value"), TOGETHER.items(), ids=TOGETHER.keys())
def test_what_counts_alike_is_together(name: str, value: Any) -> None:
    """Or there would be as many groups as events."""
    assert [len(group) for group in alike(Batch([EVENT, changed(name, value)], [])).values()] == [2]


def test_every_field_is_told_apart_or_not() -> None:
    """A field that is added to transitions is to be thought of here."""
    assert {field.name for field in msgspec.structs.fields(Transition)} == APART.keys() | TOGETHER.keys()


@given(st.lists(st.sampled_from([changed(name, value) for name, value in (APART | TOGETHER).items()])))
def test_each_transition_is_in_one_group(transitions: list[Transition]) -> None:
    """In the order given."""
    numbered = [msgspec.structs.replace(each, position=position) for position, each in enumerate(transitions)]
    groups = [[each.position for each in group] for group in alike(Batch(numbered, [])).values()]
    assert sorted(position for group in groups for position in group) == list(range(len(transitions)))
    assert all(group == sorted(group) for group in groups)
