"""The worked example of ``projections/README.md`` works as it stands there."""

import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from projections.rebuild.rebuild import rebuilding
from projections.registry import PROJECTIONS
from projections.runner import Runner
from tests.support.events import append
from tests.support.projections.traffic import traffic
from tests.support.projector import become_active
from tracker.postgres import sql_files as queries
from tracker.postgres.roles import Role, conninfo

README = Path(__file__).parents[2] / "projections" / "README.md"


def blocks(language: str) -> list[str]:
    """The code of one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def sql_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the SQL files, which the program reads until the test ends."""
    shutil.copytree(queries.SQL_DIR, tmp_path / "sql")
    monkeypatch.setattr(queries, "SQL_DIR", tmp_path / "sql")
    return tmp_path / "sql"


def test_the_example_works(database_url: str, connection: psycopg.Connection[Any], sql_files: Path) -> None:
    """Its table is created, kept beside the others, rebuilt without differences, and right."""
    migration, statement = blocks("sql")
    [source] = blocks("python")
    connection.execute(migration.encode())
    (sql_files / "queries" / "add_to_daily_volumes.sql").write_text(statement, "utf-8")
    module = ModuleType("daily_volumes")
    exec(compile(source, "projections/README.md", "exec"), vars(module))  # noqa: S102  # our own text, as a reader would run it
    projections = (*PROJECTIONS, module.DAILY_VOLUMES)
    append(database_url, traffic(1, 100))
    info = conninfo(database_url, role=Role.PROJECTOR, application="tests")
    with psycopg.connect(info, autocommit=True) as session:
        runner = Runner(session, projections, 30)
        become_active(runner)
        while runner.run_once():
            pass
    with rebuilding(conninfo(database_url, role=None, application="tests"), projections, lambda *_: None) as rebuild:
        rebuild.begin()
        rebuild.fill()
        found = rebuild.compare(module.DAILY_VOLUMES)
        rebuild.switch(module.DAILY_VOLUMES)
    assert (found.rows, found.position) == (0, found.live_position)
    expected = connection.execute(
        """
        SELECT (received_at AT TIME ZONE 'UTC')::date, CASE WHEN status = 'teleported' THEN 'other' ELSE status END, count(*)
        FROM (SELECT DISTINCT ON (account_sid, message_sid, status) received_at, status FROM events ORDER BY account_sid, message_sid, status, position) AS first
        GROUP BY 1, 2 ORDER BY 1, 2
        """
    ).fetchall()
    assert connection.execute("SELECT day, status, messages FROM daily_volumes ORDER BY 1, 2").fetchall() == expected
    assert expected


def test_every_module_is_in_the_readme() -> None:
    """The table of modules has each module of the package, by its path in it, and no other."""
    folder = README.parent
    table = README.read_text("utf-8").partition("| modules |")[2].partition("\n\n")[0]
    modules = {str(path.relative_to(folder)) for path in folder.rglob("*.py") if path.name != "__init__.py"}
    assert sorted(re.findall(r"`([\w/]+\.py)`", table)) == sorted(modules)


@pytest.mark.parametrize("block", blocks("python"))
def test_the_example_is_short(block: str) -> None:
    """Or it would be no example."""
    assert len(block.splitlines()) < 60
