"""A queue that is full: what has waited too long goes to the spool, in order of arrival."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.events import new_event, new_events
from tests.support.stores import StoppedStore, outcomes, with_body
from tracker.errors import SpoolUnavailableError
from tracker.log.appender import MAX_WAITING_BYTES, Appender
from tracker.log.event_store import Kept
from tracker.log.record import Record

pytestmark = pytest.mark.anyio


async def test_what_waits_in_a_full_queue_is_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is slow lets the queue grow: what was in it when it was full is kept elsewhere, and its callers hear so. So is the
    batch at the store, before them: should it fail it would come behind them, and it must not."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0.001)
    store, events, spooled = StoppedStore(), new_events(9), list[Record]()

    async def spool(records: Sequence[Record]) -> Kept:
        spooled.extend(records)
        return "spooled"

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=5)
    sent = [appender.append(event) for event in events[:2]]
    await store.reached()
    waiting = [appender.append(event) for event in events[2:]]
    assert await outcomes([*sent, *waiting]) == ["spooled"] * 9
    assert spooled == events
    await store.finish()
    await appender.drain()
    assert store.batches == [events[:2]]


async def test_what_is_at_the_store_is_spooled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it stays there; and what has come back from there is not."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0.001)
    store, events, spooled = StoppedStore(), new_events(9), list[Record]()

    async def spool(records: Sequence[Record]) -> Kept:
        spooled.extend(records)
        return "spooled"

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=2)
    first = [appender.append(event) for event in events[:2]]
    await store.finish()
    assert await outcomes(first) == ["appended"] * 2
    sent = [appender.append(event) for event in events[2:4]]
    await store.reached()
    for start in (4, 6):
        await outcomes([appender.append(event) for event in events[start : start + 2]])
    assert spooled == events[2:8]
    assert await outcomes(sent) == ["spooled"] * 2
    await store.finish()


async def test_what_the_spool_does_not_take_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full spool is no reason to refuse what a slow database would take, in order of arrival."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0)
    store, events, asked = StoppedStore(), new_events(8), list[int]()
    enough = asyncio.Event()

    async def spool(records: Sequence[Record]) -> Kept:
        asked.append(len(records))
        if len(asked) > 5:
            enough.set()
            await asyncio.Future()
        raise SpoolUnavailableError("full")

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=4)
    futures = [appender.append(event) for event in events]
    # The relief ends at the disk, with nobody's event in its hands but those that are at the store.
    await enough.wait()
    for _ in range(4):
        await store.finish()
    assert await outcomes(futures) == ["appended"] * 8
    assert store.batches == [events[start : start + 2] for start in range(0, 8, 2)]


async def test_what_is_put_back_is_written_although_the_writer_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool had everything in its hands, and gave it back late."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0)
    store, events = StoppedStore(), new_events(4)
    at_the_disk, disk = asyncio.Event(), asyncio.Event()

    async def spool(records: Sequence[Record]) -> Kept:
        if records[0] is events[0]:
            return "spooled"
        at_the_disk.set()
        await disk.wait()
        raise SpoolUnavailableError("full")

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=2)
    futures = [appender.append(event) for event in events[:2]]
    await store.reached()
    futures += [appender.append(event) for event in events[2:]]
    await at_the_disk.wait()
    await store.finish()
    disk.set()
    await store.finish()
    assert await outcomes(futures) == ["spooled"] * 2 + ["appended"] * 2
    assert store.batches == [events[:2], events[2:]]


async def test_nobody_waits_for_a_store_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the spool takes nothing either, callers hear so after a bounded time."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0.001)
    store = StoppedStore()
    full = SpoolUnavailableError("full")

    async def spool(records: Sequence[Record]) -> Kept:
        raise full

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=4)
    sent = [appender.append(event) for event in new_events(2)]
    await store.reached()
    waiting = [appender.append(event) for event in new_events(6)]
    assert await outcomes(waiting) == [full] * 6
    await store.finish()
    assert await outcomes(sent) == ["appended"] * 2


async def test_a_queue_is_also_full_of_large_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of them take the memory of many."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0.001)
    store = StoppedStore()

    async def spool(records: Sequence[Record]) -> Kept:
        return "spooled"

    appender = Appender(store, spool=spool)
    first = appender.append(new_event(1))
    await store.reached()
    size = MAX_WAITING_BYTES // 4
    waiting = [appender.append(new_event(number, evidence=with_body(size))) for number in range(2, 6)]
    assert await outcomes(waiting) == ["spooled"] * 4
    await store.finish()
    await first


async def test_a_queue_that_moves_is_not_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is: nobody in it waits long."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 3600)
    store = StoppedStore()

    async def spool(records: Sequence[Record]) -> Kept:
        raise AssertionError(records)

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=3)
    futures = [appender.append(event) for event in new_events(8)]
    for _ in range(4):
        await store.finish()
    assert await outcomes(futures) == ["appended"] * 8


async def test_drain_waits_for_what_is_being_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers have not been answered yet."""
    monkeypatch.setattr("tracker.log.appender.PATIENCE_SECONDS", 0)
    store, at_the_disk, disk = StoppedStore(), asyncio.Event(), asyncio.Event()

    async def spool(records: Sequence[Record]) -> Kept:
        if records[0] is not first:
            at_the_disk.set()
            await disk.wait()
        return "spooled"

    appender = Appender(store, spool=spool, max_batch=2, max_waiting=2)
    first = new_event()
    sent = [appender.append(event) for event in (first, new_event())]
    await store.reached()
    waiting = [appender.append(event) for event in new_events(2)]
    await at_the_disk.wait()
    await store.finish()
    await outcomes(sent)
    draining = asyncio.ensure_future(appender.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    disk.set()
    await draining
    assert await outcomes(waiting) == ["spooled"] * 2
