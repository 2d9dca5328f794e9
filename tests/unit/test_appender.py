"""Group commit: who waits together is written together, and is answered when it is durable and not before."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.events import new_event, new_events, quarantined
from tests.support.stores import StoppedStore, outcomes, with_body
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError
from tracker.log.appender import EVEN_EVENTS, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Appender
from tracker.log.event import NewEvent
from tracker.log.event_store import Kept
from tracker.log.record import Record, identity

pytestmark = pytest.mark.anyio


async def test_what_waits_together_is_one_batch() -> None:
    """While one batch is on its way the next one gathers, in order of arrival."""
    store, events = StoppedStore(), new_events(7)
    appender = Appender(store)
    first = appender.append(events[0])
    await store.reached()
    others = [appender.append(event) for event in events[1:]]
    await store.finish()
    await store.finish()
    assert await outcomes([first, *others]) == ["appended"] * 7
    assert store.batches == [events[:1], events[1:]]


async def test_what_arrives_within_a_few_turns_of_the_loop_goes_along() -> None:
    """Requests that wait at the sockets already are read one a turn; a transaction each would be the dearest way to keep them."""
    store, events = StoppedStore(), new_events(5)
    appender = Appender(store)

    async def ask(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await appender.append(events[turns])

    async with asyncio.TaskGroup() as group:
        for turns in range(5):
            group.create_task(ask(turns))
        await store.finish()
    assert store.batches == [events]


async def test_nobody_is_answered_before_the_store_is_done() -> None:
    """An answer says that the event is durable."""
    store = StoppedStore()
    appender = Appender(store)
    futures = [appender.append(event) for event in new_events(3)]
    await store.reached()
    assert not any(future.done() for future in futures)
    await store.finish()
    assert await outcomes(futures) == ["appended"] * 3


async def test_a_batch_is_bounded() -> None:
    """A batch that takes long would make its first event wait long."""
    store, events = StoppedStore(), new_events(8)
    appender = Appender(store, max_batch=3)
    futures = [appender.append(event) for event in events]
    for _ in range(3):
        await store.finish()
    assert await outcomes(futures) == ["appended"] * 8
    assert store.batches == [events[:3], events[3:6], events[6:]]
    assert MAX_BATCH_EVENTS == 512


async def test_of_many_callers_one_half_is_at_the_store_while_the_other_half_sends() -> None:
    """Were all of them in one batch, the process that reads them would have nothing to do until it is written."""
    store = StoppedStore()
    appender = Appender(store)
    callers, events = 3 * EVEN_EVENTS, iter(new_events(30 * EVEN_EVENTS))
    senders = dict[bytes, int]()

    async def send(caller: int) -> None:
        for event in events:
            senders[event.event_id] = caller
            await appender.append(event)

    async with asyncio.TaskGroup() as group:
        for caller in range(callers):
            group.create_task(send(caller))
        for _ in range(20):
            await store.finish()
    assert {len(batch) for batch in store.batches} == {callers // 2}
    halves = [{senders[identity(record)] for record in batch} for batch in store.batches]
    assert halves == [halves[0], halves[1]] * 10
    assert not halves[0] & halves[1]


async def test_few_callers_go_together() -> None:
    """Half of few would be twice as many transactions, each of which costs as much as many events."""
    store, events = StoppedStore(), new_events(EVEN_EVENTS)
    appender = Appender(store)
    futures = [appender.append(event) for event in events]
    await store.finish()
    assert await outcomes(futures) == ["appended"] * EVEN_EVENTS
    assert store.batches == [events]


async def test_a_failure_is_told_to_everybody_in_the_batch_and_to_nobody_else() -> None:
    """Those who came later are in the next batch, which may succeed."""
    store, events = StoppedStore(), new_events(5)
    appender = Appender(store)
    failing = [appender.append(event) for event in events[:3]]
    await store.reached()
    later = [appender.append(event) for event in events[3:]]
    error = DatabaseUnavailableError("gone")
    await store.finish(error)
    await store.finish()
    assert await outcomes(failing) == [error] * 3
    assert await outcomes(later) == ["appended"] * 2
    after = appender.append(new_event(6))
    await store.finish()
    assert await after == "appended"


async def test_a_bug_in_the_store_leaves_nobody_waiting() -> None:
    """The callers of that batch hear of it, and those behind them are served."""
    store = StoppedStore()
    appender = Appender(store, max_batch=1)
    futures = [appender.append(event) for event in new_events(2)]
    error = RuntimeError("a bug")
    await store.finish(error)
    await store.finish()
    assert await outcomes(futures) == [error, "appended"]


async def test_a_caller_who_goes_away_hurts_nobody() -> None:
    """Neither before its batch is sent nor while it is on its way; its event is written all the same."""
    store, events = StoppedStore(), new_events(4)
    appender = Appender(store)
    sent = [appender.append(event) for event in events[:2]]
    await store.reached()
    waiting = [appender.append(event) for event in events[2:]]
    sent[0].cancel()
    waiting[1].cancel()
    await store.finish()
    await store.finish()
    await asyncio.gather(sent[1], waiting[0])
    assert store.batches == [events[:2], events[2:]]


async def test_a_caller_whose_task_is_cancelled_hurts_nobody() -> None:
    """As when a client closes the connection, or a time limit strikes, while the others of its batch wait on."""
    store = StoppedStore()
    appender = Appender(store)

    async def ask(event: NewEvent) -> None:
        await appender.append(event)

    async with asyncio.TaskGroup() as group:
        impatient, patient = (group.create_task(ask(event)) for event in new_events(2))
        await store.reached()
        impatient.cancel()
        await store.finish()
    assert impatient.cancelled()
    assert not patient.cancelled()


async def test_cancelling_the_writer_is_told_to_all_who_wait() -> None:
    """When the loop is shut down in the middle: those at the store and those behind them may not be durable."""
    store = StoppedStore()
    appender = Appender(store, max_batch=2)
    before = asyncio.all_tasks()
    futures = [appender.append(event) for event in new_events(4)]
    await store.reached()
    (writer,) = asyncio.all_tasks() - before
    writer.cancel()
    told = await outcomes(futures)
    assert [type(error) for error in told] == [DatabaseUnavailableError] * 4
    with pytest.raises(asyncio.CancelledError):
        await writer


async def test_an_idle_appender_starts_again() -> None:
    """The writer ends when nothing waits, and the next event starts another."""
    store = StoppedStore()
    appender = Appender(store)
    for event in new_events(3):
        future = appender.append(event)
        await store.finish()
        await future
    assert [len(batch) for batch in store.batches] == [1, 1, 1]


async def test_drain_waits_for_everything_that_was_given() -> None:
    """Also for what is given while it waits; when nothing is, it does not wait."""
    store = StoppedStore()
    appender = Appender(store)
    await appender.drain()
    first = appender.append(new_event(1))
    draining = asyncio.ensure_future(appender.drain())
    await store.reached()
    second = appender.append(new_event(2))
    assert not draining.done()
    await store.finish()
    await first
    assert not draining.done()
    await store.finish()
    await draining
    assert second.done()


async def test_drain_survives_a_failure() -> None:
    """What was answered with a failure was answered."""
    store = StoppedStore()
    appender = Appender(store)
    future = appender.append(new_event())
    draining = asyncio.ensure_future(appender.drain())
    await store.finish(DatabaseUnavailableError("gone"))
    await draining
    assert isinstance((await outcomes([future]))[0], DatabaseUnavailableError)


async def test_batches_that_were_appended_are_counted() -> None:
    """Each with its number of events; a failed one is none."""
    store, counted = StoppedStore(), list[int]()
    appender = Appender(store, max_batch=2, on_batch=counted.append)
    futures = [appender.append(event) for event in new_events(5)]
    await store.finish()
    await store.finish(DatabaseUnavailableError("gone"))
    await store.finish()
    await outcomes(futures)
    assert counted == [2, 1]


async def test_a_batch_that_was_spooled_is_not_counted_as_appended() -> None:
    """The histogram is about transactions of the database."""
    counted = list[int]()

    class Spooling:
        async def append(self, records: Sequence[Record]) -> Kept:
            return "spooled"

    appender = Appender(Spooling(), on_batch=counted.append)
    assert await outcomes([appender.append(event) for event in new_events(3)]) == ["spooled"] * 3
    assert counted == []


async def test_what_is_set_aside_goes_the_same_way() -> None:
    """In the order of arrival, in one batch with events."""
    store, event, callback = StoppedStore(), new_event(), quarantined()
    appender = Appender(store)
    futures = [appender.append(event), appender.append(callback)]
    await store.finish()
    assert await outcomes(futures) == ["appended"] * 2
    assert store.batches == [[event, callback]]


async def test_a_batch_is_bounded_in_bytes() -> None:
    """Bodies that are large together make the batch small; one that is larger than any batch goes alone."""
    store = StoppedStore()
    appender = Appender(store)
    half = MAX_BATCH_BYTES // 2
    events = [new_event(number, evidence=with_body(size)) for number, size in enumerate((half, half, 1, 3 * half, 1))]
    futures = [appender.append(event) for event in events]
    for _ in range(3):
        await store.finish()
    assert await outcomes(futures) == ["appended"] * 5
    assert store.batches == [events[:2], events[2:4], events[4:]]


async def test_one_bad_record_costs_its_batch_nothing() -> None:
    """When the spool could not take the batch either, the others are appended by halves, and only the bad one's caller is told."""
    events = new_events(9)

    class PickyStore:
        async def append(self, records: Sequence[Record]) -> Kept:
            if events[4] in records:
                raise RecordsRefusedError("a constraint")
            return "appended"

    appender = Appender(PickyStore())
    told = await outcomes([appender.append(event) for event in events])
    assert isinstance(told.pop(4), RecordsRefusedError)
    assert told == ["appended"] * 8
