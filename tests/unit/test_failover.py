"""Where a batch goes: to the database while it answers, else to the local disk, and nowhere without saying so."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.events import new_events, quarantined
from tracker.errors import DatabaseUnavailableError, RecordsRefusedError, SpoolUnavailableError
from tracker.log import failover as failover_module
from tracker.log.circuit_breaker import Availability
from tracker.log.event_store import Kept
from tracker.log.failover import Failover
from tracker.log.record import Record
from tracker.log.spool.spool import Journal
from tracker.log.spool.spool_file import Spool

pytestmark = pytest.mark.anyio


class FakeStore:
    """A database that does what the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.heals = False
        """Whether the error is the last one."""

    async def append(self, records: Sequence[Record]) -> Kept:
        """As in Store."""
        self.asked += 1
        if self.error is not None:
            error = self.error
            if self.heals:
                self.error = None
            raise error
        return "appended"


class Setting:
    """A failover with everything around it."""

    def __init__(self, journal: Journal) -> None:
        self.store = FakeStore()
        self.journal = journal
        self.database = Availability()
        self.woken = 0
        self.failover = Failover(self.store, journal, self.database, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def spooled(self) -> list[Record | None]:
        """What is in the journal."""
        return [row.record for row in (await self.journal.read(10**6, 10**9)).rows]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """On a disk that works."""
    with ThreadPoolExecutor(1) as thread:
        yield Setting(Journal(Spool(tmp_path / "worker-0.sqlite", 2**26), thread))


async def test_a_database_that_answers_takes_the_batch(setting: Setting) -> None:
    """The disk has nothing to do with it."""
    assert await setting.failover.append(new_events(2)) == "appended"
    assert setting.woken == 0
    assert not (await setting.spooled())


async def test_a_database_that_fails_is_asked_once(setting: Setting) -> None:
    """The batch that found it away is kept on the disk, and so are those that come after it, without asking."""
    setting.store.error = DatabaseUnavailableError("gone")
    records: list[Record] = [*new_events(3), quarantined()]
    assert await setting.failover.append(records[:2]) == "spooled"
    assert await setting.failover.append(records[2:]) == "spooled"
    assert setting.store.asked == 1
    assert setting.woken == 2
    assert await setting.spooled() == records


async def test_a_database_that_is_back_is_asked_again(setting: Setting) -> None:
    """Whoever has seen it take something says so."""
    setting.store.error = DatabaseUnavailableError("gone")
    await setting.failover.append(new_events(1))
    setting.store.error = None
    setting.database.back()
    assert await setting.failover.append(new_events(1)) == "appended"


@pytest.mark.parametrize("error", [RecordsRefusedError("a constraint")])
async def test_a_refused_batch_is_kept_and_is_no_outage(setting: Setting, error: Exception) -> None:
    """The drain finds out which record it is; other batches go to the database."""
    events = new_events(2)
    setting.store.error = error
    assert await setting.failover.append(events) == "spooled"
    assert setting.woken == 1
    assert await setting.spooled() == events
    setting.store.error = None
    assert await setting.failover.append(new_events(1)) == "appended"


async def test_neither_database_nor_disk_is_said(tmp_path: Path) -> None:
    """Nobody is told that something is kept. The database's return is looked for all the same."""
    (tmp_path / "spool").touch()
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(Journal(Spool(tmp_path / "spool" / "worker-0.sqlite", 2**26), thread))
        setting.store.error = DatabaseUnavailableError("gone")
        for _ in range(2):
            with pytest.raises(SpoolUnavailableError):
                await setting.failover.append(new_events(1))
        assert setting.woken == 2


@pytest.fixture
def without_disk(tmp_path: Path) -> Iterator[Setting]:
    """On a disk that takes nothing."""
    (tmp_path / "spool").touch()
    with ThreadPoolExecutor(1) as thread:
        yield Setting(Journal(Spool(tmp_path / "spool" / "worker-0.sqlite", 2**26), thread))


async def test_without_a_disk_a_connection_that_is_stale_costs_nobody_anything(without_disk: Setting) -> None:
    """The first attempt after a restart of the database fails, the next one opens a new connection."""
    without_disk.store.error, without_disk.store.heals = DatabaseUnavailableError("gone"), True
    assert await without_disk.failover.append(new_events(2)) == "appended"
    assert without_disk.store.asked == 2
    assert not without_disk.database.is_away


async def test_without_a_disk_a_database_that_is_believed_away_is_asked(without_disk: Setting) -> None:
    """It may be back, and nobody have noticed yet."""
    without_disk.database.lost("a test")
    assert await without_disk.failover.append(new_events(2)) == "appended"
    assert not without_disk.database.is_away


async def test_without_a_disk_a_refused_batch_is_said_to_be_refused(without_disk: Setting) -> None:
    """So that it is tried in parts; asking for the same again would change nothing."""
    without_disk.store.error = RecordsRefusedError("a constraint")
    with pytest.raises(RecordsRefusedError):
        await without_disk.failover.append(new_events(2))
    assert without_disk.store.asked == 1


@pytest.mark.parametrize("away", [False, True])
async def test_what_is_to_be_spooled_is_spooled(setting: Setting, away: bool) -> None:
    """Whatever the database does."""
    change: Callable[[], None] = (lambda: setting.database.lost("a test")) if away else setting.database.back
    change()
    events = new_events(2)
    assert await setting.failover.spool(events) == "spooled"
    assert setting.store.asked == 0
    assert await setting.spooled() == events


async def test_it_accepts_callbacks_while_either_side_does(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a batch was refused by both; again when the disk has room, found out by writing, or when the database is back."""
    failover, journal = setting.failover, setting.journal
    monkeypatch.setattr(failover_module, "PROBE_SECONDS", 0)
    probes = 0

    async def full(*_: object) -> None:
        raise SpoolUnavailableError("full")

    async def probe() -> None:
        nonlocal probes
        probes += 1
        await Journal.probe(journal)

    monkeypatch.setattr(journal, "probe", probe)
    setting.store.error = DatabaseUnavailableError("away")
    await failover.append(new_events(1))
    assert await failover.accepts_callbacks()
    assert probes == 0
    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", full)
        patch.setattr(journal, "probe", full)
        with pytest.raises(SpoolUnavailableError):
            await failover.append(new_events(1, start=2))
        assert not await failover.accepts_callbacks()
        setting.database.back()
        assert await failover.accepts_callbacks()
        setting.database.lost("again")
        assert not await failover.accepts_callbacks()
    assert await failover.accepts_callbacks()
    assert probes == 1
    assert await failover.accepts_callbacks()
    assert probes == 1
    assert len(await setting.spooled()) == 1


async def test_the_spool_is_tested_once_a_second_for_all_who_ask(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each test is two fsyncs, which strangers must not multiply."""
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1
        raise SpoolUnavailableError("full")

    monkeypatch.setattr(setting.journal, "probe", probe)
    setting.database.lost("test")
    setting.failover.is_refusing = True
    answers = await asyncio.gather(*(setting.failover.accepts_callbacks() for _ in range(50)))
    answers.append(await setting.failover.accepts_callbacks())
    assert set(answers) == {False}
    assert probes == 1
