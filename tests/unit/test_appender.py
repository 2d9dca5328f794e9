"""Group commit: who waits together is written together, and is answered when it is durable and not before."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.new_events import EVIDENCE, new_event, new_events, quarantined
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.appender import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_WAITING_BYTES, Appender
from tracker.log.event import Evidence, NewEvent
from tracker.log.record import Record
from tracker.log.store import Kept

pytestmark = pytest.mark.anyio


class StoppedStore:
    """A store whose every batch waits until the test lets it go, so that the test decides what happens meanwhile."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self._started: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def append(self, records: Sequence[Record]) -> Kept:
        """Note the batch and wait."""
        self.batches.append(list(records))
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started.put_nowait(outcome)
        await outcome
        return "appended"

    async def finish(self, error: BaseException | None = None) -> None:
        """Wait until a batch is at the store, and let it succeed or fail."""
        outcome = await self._started.get()
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)

    async def reached(self) -> None:
        """Wait until a batch is at the store."""
        outcome = await self._started.get()
        self._started.put_nowait(outcome)


async def outcomes(futures: Sequence["asyncio.Future[Kept]"]) -> list[BaseException | Kept]:
    """What the callers were told."""
    return await asyncio.gather(*futures, return_exceptions=True)


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


def with_body(size: int) -> Evidence:
    """Evidence with a body of so many bytes."""
    return msgspec.structs.replace(EVIDENCE, body=bytes(size))
