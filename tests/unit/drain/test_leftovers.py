"""Spools that other workers left are drained, kept or salvaged, beside the worker's own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.events import new_events
from tests.support.stores import FakeStore
from tests.support.waiting import until
from tests.unit.drain.setting import Setting
from tracker.log.event_store import Kept
from tracker.log.record import Record
from tracker.log.spool.drain import Drain
from tracker.log.spool.orphans import Leftovers
from tracker.log.spool.spool_file import Spool

pytestmark = pytest.mark.anyio


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
    await setting.until_one_is_refused()
    assert set(setting.store.stored) == {events[0].event_id, events[2].event_id}
    await setting.drain.stop()
    assert path.exists()


async def test_refused_records_of_a_leftover_are_not_tried_at_every_look(setting: Setting) -> None:
    """Its file is not even opened before their time; then they are tried again."""
    events = new_events(3)
    setting.store.refused = {events[1].event_id}
    path = setting.spool("worker-4.sqlite", events)
    setting.drain.start()
    await setting.until_one_is_refused()
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
    monkeypatch.setattr("tracker.log.spool.orphans.SETTLED_SECONDS", 3600)
    setting.spool("brought-over.sqlite", new_events(3))
    (setting.directory / "empty.sqlite").touch()
    assert await setting.leftovers.journals() == []
    assert setting.leftovers.is_unsettled
    monkeypatch.setattr("tracker.log.spool.orphans.SETTLED_SECONDS", 0)
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
    await until(lambda: not setting.database.is_away)
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
    await until(lambda: not path.with_name(f"{path.name}-wal").exists())
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
    await until(lambda: list(setting.directory.glob("*.salvaged-*")))
    await setting.until_empty()
    stored = set(setting.store.stored)
    assert stored < {event.event_id for event in events}
    assert len(stored) > 120
    assert events[5].event_id not in stored
    assert setting.journal.size.refused == 1


async def test_damaged_files_are_counted_while_the_database_is_away(setting: Setting) -> None:
    """An operator sees that there is one long before it can be read into the log; and no longer when it was moved away."""
    path = setting.spool("worker-5.sqlite.damaged-1", new_events(3))
    setting.store.is_away = True
    setting.drain.start()
    await until(lambda: setting.leftovers.kept == 1)
    for each in (path, *path.parent.glob(f"{path.name}-*")):
        each.unlink()
    await until(lambda: setting.leftovers.kept == 0)
    assert setting.store.stored == {}
