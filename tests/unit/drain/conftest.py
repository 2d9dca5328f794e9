"""A drain that a test starts."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.drain.setting import Setting


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not be old."""
    monkeypatch.setattr("tracker.log.spool.orphans.SETTLED_SECONDS", 0)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A drain that has not been started."""
    with ThreadPoolExecutor(1) as thread:
        setting = Setting(tmp_path, thread)
        yield setting
        await setting.drain.stop()
