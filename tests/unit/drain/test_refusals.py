"""What the database does not take holds up nothing else."""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

import pytest

from tests.support.events import new_events
from tests.support.stores import FakeStore
from tests.support.waiting import until
from tests.unit.drain.setting import Setting
from tracker.errors import DatabaseUnavailableError
from tracker.log.appender import MAX_BATCH_EVENTS
from tracker.log.event_store import Kept
from tracker.log.record import Record, identity
from tracker.log.spool import drain as drain_module
from tracker.log.spool.drain import Drain
from tracker.log.spool.drainer import PROOFS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bad", [[0], [99], [3, 4, 50], list(range(100))])
async def test_what_the_database_refuses_holds_up_nothing(setting: Setting, bad: list[int]) -> None:
    """It is kept aside, alone, and counted; the rest is stored."""
    events = new_events(100)
    setting.store.refused = {events[number].event_id for number in bad}
    await setting.journal.write(events)
    setting.drain.start()
    await setting.until_empty()
    assert list(setting.store.stored.values()) == [event for number, event in enumerate(events) if number not in bad]
    assert setting.journal.size.refused == len(bad)
    setting.store.refused = set()
    await setting.journal.retry_refused()
    setting.drain.wake()
    await setting.until_empty()
    assert len(setting.store.stored) == 100
    assert setting.journal.size.refused == 0


async def test_a_batch_that_is_too_much_for_the_database_gets_smaller(setting: Setting) -> None:
    """One that only takes a few at a time is given a few."""
    events = new_events(100)

    class WeakStore(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            if len(records) > 10:
                self.batches.append(len(records))
                raise DatabaseUnavailableError("too slow")
            return await super().append(records)

    weak = WeakStore()
    drain = Drain(weak, setting.journal, None, setting.database)
    await setting.journal.write(events)
    drain.start()
    await setting.until_empty()
    await drain.stop()
    assert list(weak.stored.values()) == events


async def test_a_batch_grows_again_after_a_failure(setting: Setting) -> None:
    """One bad moment must not make a long drain slow."""
    failures = [DatabaseUnavailableError("too slow")] * 3

    class OnceWeakStore(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            if records and failures:
                self.batches.append(len(records))
                raise failures.pop()
            return await super().append(records)

    store = OnceWeakStore()
    drain = Drain(store, setting.journal, None, setting.database)
    await setting.journal.write(new_events(10_000))
    drain.start()
    await setting.until_empty()
    await drain.stop()
    assert min(store.batches[1:5]) == 1
    assert max(store.batches) == MAX_BATCH_EVENTS


class PoisonedStore(FakeStore):
    """A database that fails, as if it were away, for some records."""

    def __init__(self, poison: set[bytes]) -> None:
        super().__init__()
        self.poison = poison

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        if self.poison & {identity(record) for record in records}:
            self.batches.append(len(records))
            raise DatabaseUnavailableError("the session broke")
        return await super().append(records)


@pytest.mark.parametrize("bad", [[0], [5], [98], [3, 4, 5, 50], list(range(10, 40))])
async def test_a_record_that_looks_like_an_outage_holds_up_nothing(setting: Setting, bad: list[int]) -> None:
    """It fails alone, again and again, while others are taken: it is kept aside, and the failover ends."""
    events = new_events(100)
    store = PoisonedStore({events[number].event_id for number in bad})
    setting.database.lost("a test")
    drain = Drain(store, setting.journal, None, setting.database)
    drain._pause = 0
    await setting.journal.write(events)
    drain.start()

    def is_empty() -> bool:
        drain._pause = 0
        return not setting.journal.size.events

    await until(is_empty)
    await drain.stop()
    assert set(store.stored) == {event.event_id for number, event in enumerate(events) if number not in bad}
    assert setting.journal.size.refused == len(bad)
    assert not setting.database.is_away


async def test_a_database_that_takes_no_record_at_all_refuses_none(setting: Setting) -> None:
    """As when its disk is full: it takes nothing, if there is nothing to take."""
    events = new_events(10)
    store = PoisonedStore({event.event_id for event in events})
    drain = Drain(store, setting.journal, None, setting.database)
    await setting.journal.write(events)
    drain.start()

    def has_tried_often() -> bool:
        drain._pause = 0
        return store.batches.count(1) >= 12

    await until(has_tried_often)
    store.poison = set()
    await setting.until_empty()
    await drain.stop()
    assert set(store.stored) == {event.event_id for event in events}
    assert setting.journal.size.refused == 0


async def test_a_record_is_set_aside_after_three_proofs_with_different_witnesses(setting: Setting) -> None:
    """Each time it fails alone another record, farther behind, is taken: once could be chance, and its neighbours may be of its kind."""
    events = new_events(20)
    poison = events[0].event_id
    calls = list[list[bytes]]()

    class Witnessed(PoisonedStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            calls.append([identity(record) for record in records])
            return await super().append(records)

    store = Witnessed({poison})
    drain = Drain(store, setting.journal, None, setting.database)
    await setting.journal.write(events)
    drain.start()

    def is_empty() -> bool:
        drain._pause = 0
        return not setting.journal.size.events

    await until(is_empty)
    await drain.stop()
    witnesses = [after[0] for alone, after in pairwise(calls) if alone == [poison]]
    assert PROOFS == 3
    assert witnesses == [events[distance].event_id for distance in (1, 2, 4)]
    assert setting.journal.size.refused == 1


async def test_refused_records_are_tried_again_while_it_runs(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What refused them may have been mended: not before RETRY_SECONDS, and then without a restart."""
    events = new_events(3)
    setting.store.refused = {events[1].event_id}
    await setting.journal.write(events)
    setting.drain.start()
    await until(lambda: setting.journal.size.refused == 1)
    setting.store.refused = set()
    later = new_events(1, start=10)
    await setting.journal.write(later)
    setting.drain.wake()
    await until(lambda: later[0].event_id in setting.store.stored)
    assert events[1].event_id not in setting.store.stored
    monkeypatch.setattr(drain_module, "RETRY_SECONDS", 0.0)
    setting.drain.wake()
    await until(lambda: events[1].event_id in setting.store.stored)
    await until(lambda: setting.journal.size.refused == 0)


async def test_an_unreadable_row_is_kept_as_it_is(setting: Setting) -> None:
    """The disk gives back something else than was written: the others are stored, and its bytes are kept for a person."""
    events = new_events(5)
    await setting.journal.write(events)
    await setting.journal.close()
    path = setting.directory / "worker-0.sqlite"
    rubbish = bytes(range(256))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE journal SET record = ? WHERE sequence = 3", (rubbish,))
    connection.close()
    setting.drain.start()
    await setting.until_empty()
    await setting.drain.stop()
    await setting.journal.close()
    assert list(setting.store.stored.values()) == [*events[:2], *events[3:]]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT kind, record, reason FROM refused").fetchall() == [
            ("event", rubbish, "unreadable")
        ]
    connection.close()
    assert setting.journal.size.refused == 1
