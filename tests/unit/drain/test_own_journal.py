"""The drain of a worker's own journal, on a database that does what the test says."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.events import new_events, quarantined
from tests.support.stores import FakeStore
from tests.support.waiting import until
from tests.unit.drain.setting import Setting
from tracker.errors import SpoolUnavailableError
from tracker.log.adaptive_batch_size import FIRST_BATCH_EVENTS
from tracker.log.appender import MAX_BATCH_EVENTS
from tracker.log.event_store import Kept
from tracker.log.record import Record
from tracker.log.spool.drain import Drain
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool
from tracker.log.spool.spooled_record import Refusal

pytestmark = pytest.mark.anyio


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
    await until(lambda: not setting.database.is_away)
    assert set(setting.store.batches) == {0}


async def test_a_journal_that_cannot_be_read_does_not_hide_the_return(tmp_path: Path) -> None:
    """The database is then all there is."""
    (tmp_path / "spool").touch()
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(tmp_path / "spool", thread)
        setting.database.lost("a test")
        setting.drain.start()
        await until(lambda: not setting.database.is_away)
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
    await until(lambda: setting.store.stored and not journal.size.events)
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
