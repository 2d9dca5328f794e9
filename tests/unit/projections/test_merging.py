"""Projections of several groups of messages, merged, are those of all messages: so processes can share the work."""

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.fold.message import Said
from projections.fold.transitions import Messages
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.support.projections.histories import histories
from tracker.postgres.binary_arrays import PackedArray


def fold(projection: Projection[Any], events: Sequence[Said]) -> Any:
    """What these events change, as the first there are."""
    return projection.fold(Messages(0, lambda _, __: []).advance(events))


def comparable(changes: Any) -> Any:
    """The same for two changes that write the same rows, in whatever order."""
    if all(isinstance(column, PackedArray) for column in changes.values()):
        columns = {name: elements(column) for name, column in changes.items()}
        return sorted(zip(*columns.values(), strict=True)), list(columns)
    return changes


def elements(array: PackedArray) -> list[bytes]:
    """Each with its length, as in packing.py; the header says how many there are."""
    found: list[bytes] = []
    at = 20
    while at < len(array.data):
        size = max(int.from_bytes(array.data[at : at + 4], signed=True), 0)
        found.append(array.data[at : at + 4 + size])
        at += 4 + size
    assert int.from_bytes(array.data[12:16]) == len(found)
    return found


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
@given(histories(min_size=1, max_size=20, messages=6), st.randoms(use_true_random=False), st.integers(1, 4))
def test_merged_they_are_those_of_all(
    projection: Projection[Any], events: list[Said], random: Any, groups: int
) -> None:
    """However the messages are dealt out, and after a journey from one process to another."""
    group_of = {said.message_sid: random.randrange(groups) for said in events}
    parts = [
        pickle.loads(pickle.dumps(fold(projection, [said for said in events if group_of[said.message_sid] == group])))  # noqa: S301
        for group in range(groups)
    ]
    random.shuffle(parts)
    merged = projection.merge(parts)
    whole = fold(projection, events)
    if projection.name == "delivery_stats":
        assert (merged.counts, merged.latencies) == (whole.counts, whole.latencies)
    elif projection.name == "metric_counters":
        assert {series: told(change) for series, change in merged.items()} == {
            series: told(change) for series, change in whole.items()
        }
    else:
        assert comparable(merged) == comparable(whole)


def told(change: Any) -> tuple[object, ...]:
    """What is written of a series."""
    return change.amount, change.first.received_at, change.last.position, change.last.received_at, change.last_amount
