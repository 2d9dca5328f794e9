"""The drain, on a database that does what the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.new_events import new_events, quarantined
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log.appender import MAX_BATCH_EVENTS
from tracker.log.availability import Availability
from tracker.log.batch_size import FIRST_BATCH_EVENTS
from tracker.log.drain import Drain
from tracker.log.journal import Journal
from tracker.log.leftovers import Leftovers
from tracker.log.record import Record, identity
from tracker.log.spool import Spool
from tracker.log.spooled import Refusal
from tracker.log.store import Kept

pytestmark = pytest.mark.anyio


class FakeStore:
    """A database in memory, which stores each record once."""

    def __init__(self) -> None:
        self.stored: dict[bytes, Record] = {}
        self.batches = list[int]()
        self.is_away = False
        self.refused: set[bytes] = set()
        self.changed = asyncio.Condition()

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        async with self.changed:
            self.batches.append(len(records))
            self.changed.notify_all()
            if self.is_away:
                raise DatabaseUnavailableError("gone")
            if self.refused & {identity(record) for record in records}:
                raise RecordsRefusedError("a constraint")
            for record in records:
                self.stored.setdefault(identity(record), record)
            return "appended"

    def interrupt(self) -> None:
        """As in Store."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true after a call."""
        async with self.changed:
            await self.changed.wait_for(condition)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not be old."""
    monkeypatch.setattr("tracker.log.leftovers.SETTLED_SECONDS", 0)


class Setting:
    """A drain with everything around it."""

    def __init__(self, directory: Path, thread: ThreadPoolExecutor) -> None:
        self.directory = directory
        self.thread = thread
        self.store = FakeStore()
        self.journal = Journal(Spool(directory / "worker-0.sqlite", 2**26), thread)
        self.database = Availability()
        self.leftovers = Leftovers(directory, 1, thread)
        self.drain = Drain(self.store, self.journal, self.leftovers, self.database)

    async def until_empty(self) -> None:
        """Wait until nothing waits in the journal."""
        while self.journal.size.events or (await self.journal.read(1, 1)).rows:
            await asyncio.sleep(0.001)

    def spool(self, name: str, records: Sequence[Record]) -> Path:
        """Another spool file in the directory, with these in it."""
        spool = Spool(self.directory / name, 2**26)
        spool.write(records)
        spool.close()
        return spool.path

    async def until_gone(self, *paths: Path) -> None:
        """Wait until files are there no longer."""
        while any(path.exists() for path in paths):
            await asyncio.sleep(0.001)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A drain that has not been started."""
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(tmp_path, thread)
        yield setting
        await setting.drain.stop()


async def test_what_an_earlier_run_left_is_drained_first(setting: Setting) -> None:
    """In order of arrival, in batches that grow, events and what was set aside."""
    records: list[Record] = [*new_events(600), quarantined(), *new_events(700)]
    await setting.journal.write(records)
    setting.drain.start()
    await setting.until_empty()
    assert list(setting.store.stored.values()) == records
    sizes = setting.store.batches[1:]
    assert sizes[:3] == [FIRST_BATCH_EVENTS, 2 * FIRST_BATCH_EVENTS, 4 * FIRST_BATCH_EVENTS]
    assert max(sizes) == MAX_BATCH_EVENTS
    assert not setting.database.is_away


async def test_a_database_that_is_away_at_the_start_is_known_before_the_first_callback(setting: Setting) -> None:
    """So that the first one does not wait for it."""
    setting.store.is_away = True
    setting.drain.start()
    await setting.store.until(lambda: len(setting.store.batches) >= 2)
    assert setting.database.is_away


async def test_the_return_ends_the_failover_and_empties_the_journal(setting: Setting) -> None:
    """It is looked for again and again."""
    events = new_events(5)
    setting.store.is_away = True
    setting.drain.start()
    await setting.journal.write(events)
    await setting.store.until(lambda: len(setting.store.batches) >= 3)
    assert setting.store.stored == {}
    setting.store.is_away = False
    await setting.until_empty()
    assert list(setting.store.stored.values()) == events
    assert not setting.database.is_away


async def test_an_empty_journal_does_not_hide_the_return(setting: Setting) -> None:
    """As when the disk took nothing."""
    setting.store.is_away = True
    setting.drain.start()
    await setting.store.until(lambda: len(setting.store.batches) >= 2)
    setting.store.is_away = False
    while setting.database.is_away:
        await asyncio.sleep(0.001)
    assert set(setting.store.batches) == {0}


async def test_a_journal_that_cannot_be_read_does_not_hide_the_return(tmp_path: Path) -> None:
    """The database is then all there is."""
    (tmp_path / "spool").touch()
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(tmp_path / "spool", thread)
        setting.database.lost("a test")
        setting.drain.start()
        while setting.database.is_away:
            await asyncio.sleep(0.001)
        await setting.drain.stop()


async def test_what_comes_while_it_sleeps_wakes_it(setting: Setting) -> None:
    """It has nothing to do most of the time."""
    setting.drain.start()
    await setting.store.until(lambda: len(setting.store.batches) >= 1)
    events = new_events(3)
    await setting.journal.write(events)
    setting.drain.wake()
    await setting.until_empty()
    assert list(setting.store.stored.values()) == events


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
    while setting.journal.size.events:
        drain._pause = 0
        await asyncio.sleep(0.001)
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
    while store.batches.count(1) < 12:
        drain._pause = 0
        await asyncio.sleep(0.001)
    store.poison = set()
    await setting.until_empty()
    await drain.stop()
    assert set(store.stored) == {event.event_id for event in events}
    assert setting.journal.size.refused == 0


async def test_a_full_disk_does_not_stop_the_drain(setting: Setting, tmp_path: Path) -> None:
    """What it does not let be removed is appended once, and then the file is replaced."""

    class StuckSpool(Spool):
        def remove(self, last: int, refused: Sequence[Refusal] = ()) -> None:
            raise SpoolUnavailableError("full")

    events = new_events(1000)
    setting.spool("stuck", events)
    stuck = StuckSpool(tmp_path / "stuck", 2**26)
    journal = Journal(stuck, setting.thread)
    drain = Drain(setting.store, journal, None, setting.database)
    drain.start()
    while not setting.store.stored or journal.size.events:
        await asyncio.sleep(0.001)
    await drain.stop()
    assert list(setting.store.stored.values()) == events
    assert sum(setting.store.batches) == 1000


async def test_a_bug_is_not_the_end_of_it(setting: Setting) -> None:
    """It goes on, and says so in the log."""
    failures = [RuntimeError("a bug")] * 3

    class BuggyStore(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            if failures:
                raise failures.pop()
            return await super().append(records)

    store, events = BuggyStore(), new_events(3)
    drain = Drain(store, setting.journal, None, setting.database)
    await setting.journal.write(events)
    drain.start()
    await setting.until_empty()
    await drain.stop()
    assert list(store.stored.values()) == events


async def test_spools_of_others_are_drained_and_removed(setting: Setting) -> None:
    """Of a worker that is there no longer, and one that was brought over; what is in two of them is stored once."""
    own, second, brought = new_events(2), new_events(3), new_events(4)
    paths = [setting.spool("worker-1.sqlite", second), setting.spool("brought-over.sqlite", [*brought, *second])]
    await setting.journal.write(own)
    setting.drain.start()
    await setting.until_gone(*paths)
    assert set(setting.store.stored) == {record.event_id for record in (*own, *second, *brought)}
    assert list(setting.store.stored)[:2] == [event.event_id for event in own]
    assert setting.leftovers.size.events == 0


async def test_spools_of_living_workers_are_left_alone(tmp_path: Path) -> None:
    """They drain their own."""
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(tmp_path, thread)
        living = setting.spool("worker-1.sqlite", new_events(3))
        drain = Drain(setting.store, setting.journal, Leftovers(tmp_path, 2, thread), setting.database)
        gone = setting.spool("worker-2.sqlite", new_events(3))
        drain.start()
        await setting.until_gone(gone)
        await drain.stop()
        assert living.exists()
        assert len(setting.store.stored) == 3


async def test_a_leftover_with_refused_records_stays(setting: Setting) -> None:
    """Until they are taken."""
    events = new_events(3)
    setting.store.refused = {events[1].event_id}
    path = setting.spool("worker-4.sqlite", events)
    setting.drain.start()
    while setting.leftovers.size.refused != 1 or setting.leftovers.size.events:
        await asyncio.sleep(0.001)
    assert set(setting.store.stored) == {events[0].event_id, events[2].event_id}
    await setting.drain.stop()
    assert path.exists()


async def test_refused_records_of_a_leftover_are_not_tried_at_every_look(setting: Setting) -> None:
    """Its file is not even opened before their time; then they are tried again."""
    events = new_events(3)
    setting.store.refused = {events[1].event_id}
    path = setting.spool("worker-4.sqlite", events)
    setting.drain.start()
    while setting.leftovers.size.refused != 1 or setting.leftovers.size.events:
        await asyncio.sleep(0.001)
    own = new_events(3)
    for event in own:
        asked = len(setting.store.batches)
        await setting.journal.write([event])
        setting.drain.wake()
        await setting.store.until(lambda asked=asked: len(setting.store.batches) > asked)
        assert await setting.leftovers.journals() == []
    setting.store.refused = set()
    setting.leftovers._not_before.clear()
    setting.drain.wake()
    await setting.until_gone(path)
    assert events[1].event_id in setting.store.stored


async def test_a_leftover_that_has_just_changed_is_left_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be being copied, and its WAL yet to come; an empty file is no spool at all."""
    monkeypatch.setattr("tracker.log.leftovers.SETTLED_SECONDS", 3600)
    setting.spool("brought-over.sqlite", new_events(3))
    (setting.directory / "empty.sqlite").touch()
    assert await setting.leftovers.journals() == []
    assert setting.leftovers.is_unsettled
    monkeypatch.setattr("tracker.log.leftovers.SETTLED_SECONDS", 0)
    assert [journal.name for journal in await setting.leftovers.journals()] == ["brought-over.sqlite"]
    assert not setting.leftovers.is_unsettled


async def test_a_spool_is_brought_over_whole(setting: Setting) -> None:
    """Its WAL first and the file last: nothing of it is overlooked."""
    events = new_events(4)
    there = Spool(setting.directory / "elsewhere", 2**26)
    there.write(events)
    setting.drain.start()
    for suffix in ("-wal", ""):
        copy = setting.directory / "arriving"
        copy.write_bytes(there.path.with_name(f"elsewhere{suffix}").read_bytes())
        asked = len(setting.store.batches)
        copy.rename(setting.directory / f"brought-over.sqlite{suffix}")
        await setting.journal.write(new_events(1))
        setting.drain.wake()
        await setting.store.until(lambda asked=asked: len(setting.store.batches) > asked)
    await setting.until_gone(setting.directory / "brought-over.sqlite")
    assert {event.event_id for event in events} < set(setting.store.stored)


@pytest.mark.parametrize("is_damaged", [False, True])
async def test_the_own_journal_does_not_wait_for_leftovers(setting: Setting, is_damaged: bool) -> None:
    """Between two batches of them it has its turn: there may be hours of them."""
    others, own = new_events(2000), new_events(3)
    setting.spool("worker-5.sqlite.damaged-1" if is_damaged else "worker-5.sqlite", others)

    class Busy(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            if len(self.stored) in range(1, 1000) and not setting.journal.size.events:
                await setting.journal.write(own)
            return await super().append(records)

    store = Busy()
    drain = Drain(store, setting.journal, setting.leftovers, setting.database)
    drain.start()
    await store.until(lambda: len(store.stored) >= 2003)
    await drain.stop()
    places = [list(store.stored).index(event.event_id) for event in own]
    assert places[-1] < 1000


async def test_what_is_salvaged_ends_the_failover(setting: Setting) -> None:
    """The database was lost meanwhile, and nobody else may come to find out that it is back."""
    setting.spool("worker-5.sqlite.damaged-1", new_events(100))

    class Forgotten(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            if not self.stored and records:
                setting.database.lost("a test")
            return await super().append(records)

    store = Forgotten()
    drain = Drain(store, setting.journal, setting.leftovers, setting.database)
    drain.start()
    await store.until(lambda: len(store.stored) == 100)
    while setting.database.is_away:
        await asyncio.sleep(0.001)
    await drain.stop()
    assert store.batches.count(0) == 1


async def test_a_leftover_is_closed_when_the_database_goes_away(setting: Setting) -> None:
    """Its file can be taken elsewhere then."""
    path = setting.spool("worker-5.sqlite", new_events(100))

    class Leaving(FakeStore):
        async def append(self, records: Sequence[Record]) -> Kept:
            self.is_away = bool(self.stored)
            return await super().append(records)

    store = Leaving()
    drain = Drain(store, setting.journal, setting.leftovers, setting.database)
    drain.start()
    await store.until(lambda: store.batches.count(0) == 1 and store.is_away)
    while path.with_name(f"{path.name}-wal").exists():
        await asyncio.sleep(0.001)
    await drain.stop()
    assert setting.leftovers.size.events == 100 - len(store.stored)


async def test_a_damaged_file_is_salvaged_and_kept(setting: Setting) -> None:
    """What is readable in it is stored; what the database refuses of that goes the usual way."""
    events = new_events(300)
    setting.store.refused = {events[5].event_id}
    path = setting.spool("worker-0.sqlite", events)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)
    setting.drain.start()
    while not list(setting.directory.glob("*.salvaged-*")):
        await asyncio.sleep(0.001)
    await setting.until_empty()
    stored = set(setting.store.stored)
    assert stored < {event.event_id for event in events}
    assert len(stored) > 120
    assert events[5].event_id not in stored
    assert setting.journal.size.refused == 1


async def test_a_stop_leaves_the_rest_where_it_is(setting: Setting) -> None:
    """And does not wait for it."""
    events = new_events(3000)
    await setting.journal.write(events)
    setting.drain.start()
    await setting.store.until(lambda: len(setting.store.stored) > 0)
    await setting.drain.stop()
    left = [row.record for row in (await setting.journal.read(10**6, 10**9)).rows]
    assert 0 < len(left) < 3000
    assert left == events[-len(left) :]
    stored = list(setting.store.stored.values())
    assert stored == events[: len(stored)]
    assert len(stored) + len(left) >= 3000
