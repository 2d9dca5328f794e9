"""Probes that come together share one question; readiness is about callbacks alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from tracker.log.circuit_breaker import Availability
from tracker.web.telemetry import faults, health
from tracker.web.telemetry.faults import Fault
from tracker.web.telemetry.health import SPOOL_FULL, Checks
from tracker.web.telemetry.metrics import LogHealth, Pool
from tracker.web.telemetry.shared_counters import WebStats

pytestmark = pytest.mark.anyio


class Database:
    """A database that is asked by ``Checks``, and answers when the test lets it."""

    def __init__(self) -> None:
        self.questions = 0
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None
        self.faults: list[Fault] = []
        self.before_answer: Callable[[], object] = lambda: None

    async def answer(self, _: object) -> LogHealth:
        """In place of read_log_health."""
        self.questions += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        self.before_answer()
        return LogHealth(7, [], self.faults)


class Setting:
    """The checks of a worker, and what they ask."""

    def __init__(self, directory: Path) -> None:
        self.database = Database()
        self.availability = Availability()
        self.accepts = True
        self.stats = WebStats(directory / "stats", workers=1, worker=0)
        self.checks = Checks(cast("Pool", None), self.stats, self.availability, self._accepts_callbacks)

    async def _accepts_callbacks(self) -> bool:
        return self.accepts


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """With a database that answers when it may."""
    setting = Setting(tmp_path)
    monkeypatch.setattr(health, "read_log_health", setting.database.answer)
    monkeypatch.setattr(health, "READY_SECONDS", 0.05)
    monkeypatch.setattr(health, "HEALTHY_SECONDS", 0.2)
    return setting


async def test_probes_that_come_together_share_one_question(setting: Setting) -> None:
    """One connection of the pool, whatever number of probes and kinds."""
    probes = [
        asyncio.ensure_future(probe())
        for _ in range(8)
        for probe in (setting.checks.readiness, setting.checks.database)
    ]
    await asyncio.sleep(0)
    setting.database.may_answer.set()
    assert {answer.position for answer in await asyncio.gather(*probes)} == {7}
    assert setting.database.questions == 1
    await setting.checks.database()
    assert setting.database.questions == 2


async def test_a_probe_reads_the_answer_that_it_waited_for(setting: Setting) -> None:
    """Not that of the next question, which began between the answer and its reader's turn."""
    later: list[asyncio.Task[Any]] = []
    first = asyncio.ensure_future(setting.checks.database())
    await asyncio.sleep(0)

    def ask_again() -> None:
        setting.database.before_answer = lambda: None
        setting.database.may_answer.clear()
        later.append(asyncio.ensure_future(setting.checks.database()))

    setting.database.before_answer = ask_again
    setting.database.may_answer.set()
    assert (await first).position == 7
    setting.database.may_answer.set()
    assert (await later[0]).position == 7
    assert setting.database.questions == 2


async def test_a_database_that_does_not_answer_in_time(setting: Setting) -> None:
    """Degraded for readiness, unavailable for /healthz; later probes wait for the question that is under way."""
    assert (await setting.checks.readiness()).status == "degraded"
    answer = await setting.checks.database()
    assert (answer.status, answer.position, answer.reasons) == ("unavailable", None, ["the database does not answer"])
    assert setting.database.questions == 1
    setting.database.may_answer.set()
    assert (await setting.checks.database()).status == "ok"
    assert setting.database.questions == 1


async def test_a_database_that_fails(setting: Setting) -> None:
    """The same, at once."""
    setting.database.may_answer.set()
    setting.database.error = psycopg.OperationalError("gone")
    assert (await setting.checks.database()).status == "unavailable"
    assert (await setting.checks.readiness()).status == "degraded"


async def test_a_database_that_is_known_to_be_away_is_not_asked(setting: Setting) -> None:
    """Readiness is asked for by those who wait a second."""
    setting.availability.lost("test")
    assert (await setting.checks.readiness()).reasons == ["the database does not answer"]
    assert setting.database.questions == 0


async def test_refused_callbacks_are_the_only_reason_to_be_unavailable(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults of both kinds are reasons, and the status stays degraded."""
    setting.database.may_answer.set()
    setting.database.faults = [Fault("fsync_off", "fsync is off: a power cut loses events")]
    spool = Fault("spool_unusable", "the spool cannot be written")
    monkeypatch.setattr(faults, "LOCAL_CHECKS", (lambda _: [spool],))
    answer = await setting.checks.readiness()
    assert answer.status == "degraded"
    assert answer.reasons == [spool.reason, "fsync is off: a power cut loses events"]
    setting.accepts = False
    answer = await setting.checks.readiness()
    assert (answer.status, answer.reasons[0]) == ("unavailable", SPOOL_FULL)
    assert spool.reason in answer.reasons
