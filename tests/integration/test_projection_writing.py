"""Writing into the tables of a rebuild: all of a batch or nothing, and what the database refuses is named."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from projections.fold.transitions import Batch
from projections.projection import Connection
from projections.writing import write_batch
from tests.support.events import append
from tests.support.projections.traffic import traffic
from tracker.errors import RebuildError


class Writes:
    """A projection that only writes: what the test says."""

    version = 1
    tables = ("written",)

    def __init__(self, name: str, write: Callable[[Connection], object]) -> None:
        self.name = name
        self._write = write

    def fold(self, batch: Batch) -> object:
        """Not used by a write."""
        raise NotImplementedError

    def merge(self, changes: Sequence[object]) -> object:
        """Not used by a write."""
        raise NotImplementedError

    def write(self, connection: Connection, changes: object) -> None:
        """As the test says."""
        self._write(connection)


def note(connection: Connection) -> None:
    """A row that is seen when it is committed."""
    connection.execute("INSERT INTO written VALUES ('a row')")


def break_constraint(connection: Connection) -> None:
    """What a poison event does: the database refuses what was folded."""
    connection.execute("INSERT INTO written VALUES (NULL)")


def break_type(connection: Connection) -> None:
    """The same by a value that is no value of the column."""
    connection.execute("SELECT CAST('x' AS integer)")


def lose_connection(connection: Connection) -> None:
    """What passes: it is about the server, not about the events."""
    raise psycopg.OperationalError("the server is gone")


@pytest.fixture
def target(database_url: str, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database with a log, a table to write to, and two projections that stand at position 5 of the log."""
    append(database_url, traffic(1, 10))
    connection.execute("CREATE TABLE written (content text NOT NULL)")
    connection.execute(
        "INSERT INTO projections (name, version, position, event_id)"
        " SELECT name, 1, events.position, events.event_id FROM events, unnest(ARRAY['one', 'two']) AS name"
        " WHERE events.position = 5"
    )
    return connection


def state(connection: psycopg.Connection[Any]) -> tuple[int, list[int]]:
    """Rows that were written, and where the two projections stand."""
    written = connection.execute("SELECT count(*) FROM written").fetchone()
    positions = connection.execute("SELECT position FROM projections WHERE name IN ('one', 'two') ORDER BY name")
    assert written is not None
    return written[0], [position for (position,) in positions]


def test_a_batch_moves_rows_and_checkpoints_together(target: psycopg.Connection[Any]) -> None:
    """Of all projections of the group."""
    write_batch(target, [Writes("one", note), Writes("two", note)], [None, None], 5, 9)
    assert state(target) == (2, [9, 9])
    applied = target.execute(
        "SELECT count(*) FROM projections INNER JOIN events USING (position, event_id) WHERE name IN ('one', 'two')"
    )
    assert applied.fetchone() == (2,)


@pytest.mark.parametrize("refused", [break_constraint, break_type])
def test_what_the_database_refuses_is_named_and_undoes_the_batch(
    target: psycopg.Connection[Any], refused: Callable[[Connection], object]
) -> None:
    """Also what another projection of the group had written."""
    with pytest.raises(RebuildError, match="two cannot take in the events up to position 9: "):
        write_batch(target, [Writes("one", note), Writes("two", refused)], [None, None], 5, 9)
    assert state(target) == (0, [5, 5])


def test_what_passes_is_not_taken_for_a_poison_event(target: psycopg.Connection[Any]) -> None:
    """The error of the connection comes as it is."""
    with pytest.raises(psycopg.OperationalError, match="the server is gone"):
        write_batch(target, [Writes("one", note), Writes("two", lose_connection)], [None, None], 5, 9)
    assert state(target) == (0, [5, 5])


def test_a_checkpoint_that_somebody_else_moved_undoes_the_batch(target: psycopg.Connection[Any]) -> None:
    """The rows are those of another rebuild."""
    target.execute("UPDATE projections SET position = 6, event_id = NULL WHERE name = 'two'")
    with pytest.raises(RebuildError, match="The rebuild of two was changed by somebody else"):
        write_batch(target, [Writes("one", note), Writes("two", note)], [None, None], 5, 9)
    assert state(target) == (0, [5, 6])


def test_a_log_that_was_put_back_undoes_the_batch(target: psycopg.Connection[Any]) -> None:
    """The rows hold an event that the log no longer has: another one has its position."""
    target.execute("UPDATE projections SET event_id = gen_random_uuid() WHERE name = 'two'")
    with pytest.raises(RebuildError, match="The rebuild of two was changed by somebody else"):
        write_batch(target, [Writes("one", note), Writes("two", note)], [None, None], 5, 9)
    assert state(target) == (0, [5, 5])
