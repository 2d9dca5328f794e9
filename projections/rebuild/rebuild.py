"""Rebuilds projections from the log next to the live tables, compares, then swaps (docs/adr/0006-rebuild-beside-live.md).

The new tables have the same names in the schema ``rebuild``, where the search path of our sessions finds them first. They are filled
up to the position of the live projection. Then each projection is compared in one snapshot, in which both stand at the same
position; nobody waits for that. Last, a transaction locks the projector out, applies what came since, and swaps. The filled
tables survive the death of the process, and the next rebuild resumes there.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final, Protocol

import msgspec
import psycopg
import structlog
from psycopg import IsolationLevel
from psycopg.rows import class_row, scalar_row

from projections.projection import Connection, Projection
from projections.rebuild.comparison import Rebuilt, TableDifferences
from projections.rebuild.partitions import MANY_EVENTS, Shares, sharing, usual_shares
from projections.rebuild.pipeline import BATCH_EVENTS, Pipeline
from projections.rebuild.session import rebuild_session
from projections.runner import explain, read_events
from projections.stream_fold import COLLECT_AFTER, MAX_MESSAGES, Folder
from projections.writing import OnBatch, write
from tracker.errors import DatabaseUnavailableError, LogHeadMissingError, MigrationError, RebuildError
from tracker.garbage import rare_collections
from tracker.postgres.sql_files import query

_log = structlog.get_logger()

REBUILD_LOCK: Final = 0x7477_0003
"""Key of the advisory lock that one rebuild holds."""

LOCK_SECONDS: Final = 1.0
"""The session of a rebuild that has just ended, or was killed, may hold the lock for a moment yet."""

LOCK_PAUSE_SECONDS: Final = 0.05

NEAR_EVENTS: Final = 5_000
"""A rebuild that is so near the live projection leaves the rest to the switch, which takes it in within a fraction of a second."""

SWITCH_ATTEMPTS: Final = 30
"""How often a switch is tried that somebody's long reading keeps from the tables."""

SWITCH_PAUSE_SECONDS: Final = 0.5

OnProgress = Callable[[int, int, int], object]
"""Told how many events were taken in since the last time, the position of the projection that is furthest behind, and the last
position to be reached."""


class Taker(Protocol):
    """Takes a stretch of the log in: a ``Pipeline``, or several processes."""

    def take_in(self, group: Sequence[Projection[Any]], position: int, until: int, on_batch: OnBatch) -> None:
        """The events from the one after ``position`` to ``until``, or to the first gap, for projections that all stand at ``position``.
        Raises RebuildError."""
        ...


class Target(msgspec.Struct, frozen=True):
    """How far a rebuild goes."""

    position: int
    live_version: int | None
    live_position: int | None
    comparable: bool
    """Whether the live projection is of the program's version, goes on, and stands at an event of the log."""


class Rebuild:
    """One rebuild of some projections. ``rebuilding`` makes it."""

    def __init__(
        self,
        connection: Connection,
        taker: Callable[[int], Taker],
        projections: Sequence[Projection[Any]],
        on_progress: OnProgress,
    ) -> None:
        """connection: a rebuild's session. taker: who takes in so many events."""
        self._connection = connection
        self._taker = taker
        # By name, as the runner does: so neither waits for the other in a circle.
        self._projections = sorted(projections, key=lambda projection: projection.name)
        self._positions: dict[str, int] = {}
        self._on_progress = on_progress
        self.filling_seconds = 0.0
        """How long events have been read, folded and written, before the new tables were indexed and compared."""

    def begin(self, *, restart: bool = False) -> int:
        """Create the tables, or find those of a rebuild that was interrupted, unless it is to restart. Returns the position from which
        it goes on."""
        for projection in self._projections:
            live_version = self._target(projection).live_version
            if live_version is not None and live_version > projection.version:
                raise RebuildError(
                    f"The rows of {projection.name} are of version {live_version}, this program's is {projection.version}: "
                    "rebuild with the program that made them, or a newer one."
                )
            if restart:
                self._call("discard_rebuild", projection)
            self._positions[projection.name] = self._call("begin_rebuild", projection)
        return min(self._positions.values())

    def fill(self) -> None:
        """Bring the new tables up to their targets, and index them. Raises RebuildError."""
        self._catch_up()
        for projection in self._projections:
            for table in projection.tables:
                self._connection.execute(query("finish_rebuilt_table"), {"table": table})
        self._catch_up()

    def compare(self, projection: Projection[Any]) -> Rebuilt:
        """Bring one projection's tables to the live one's position, in one snapshot, and compare."""
        self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            with self._connection.transaction():
                target = self._target(projection)
                self._take_in(projection, target.position)
                tables = [self._differences(table) for table in projection.tables]
        finally:
            self._connection.isolation_level = None
        position = self._positions[projection.name]
        return Rebuilt(
            projection.name,
            projection.version,
            target.live_version,
            position,
            target.live_position,
            tables,
            switched=False,
        )

    def switch(self, projection: Projection[Any]) -> None:
        """Take in what came since, and put the new tables in the place of the live ones. Raises RebuildError."""
        for attempt in range(1, SWITCH_ATTEMPTS + 1):
            before = self._positions[projection.name]
            try:
                with self._connection.transaction():
                    self._call("lock_live_projection", projection)
                    self._take_in(projection, self._target(projection).position)
                    self._call("switch_projection", projection)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                self._positions[projection.name] = before
                _log.warning(
                    "rebuild.delayed", projection=projection.name, attempt=attempt, reason=str(error).splitlines()[0]
                )
                time.sleep(SWITCH_PAUSE_SECONDS)
            else:
                _log.info("rebuild.switched", projection=projection.name, position=self._positions[projection.name])
                return
        raise RebuildError(
            f"{projection.name} could not be switched, because somebody keeps reading its tables; "
            "look for long transactions in pg_stat_activity, then run the rebuild again: it goes on from here."
        )

    def discard(self) -> None:
        """Throw the new tables away."""
        for projection in self._projections:
            self._call("discard_rebuild", projection)

    def _catch_up(self) -> None:
        """Take everything in, until each projection is near its target, which moves. The rest is for the comparison and the switch."""
        near = 0
        while self._reach_targets(near):
            near = NEAR_EVENTS

    def _reach_targets(self, near: int) -> bool:
        """Bring each projection to where its target is now, together as far as they stand together. False: all are that near already."""
        targets = {projection.name: self._target(projection).position for projection in self._projections}
        if all(targets[name] - position <= near for name, position in self._positions.items()):
            return False
        while behind := {name: position for name, position in self._positions.items() if position < targets[name]}:
            start = min(behind.values())
            group = [each for each in self._projections if behind.get(each.name) == start]
            # No further than where the next one waits, to go on with it.
            stops = [targets[each.name] for each in group] + [
                position for position in behind.values() if position > start
            ]
            self._advance(group, start, min(stops), max(targets.values()))
        return True

    def _advance(self, group: Sequence[Projection[Any]], start: int, until: int, last: int) -> None:
        def on_batch(events: int, position: int) -> None:
            for projection in group:
                self._positions[projection.name] = position
            self._on_progress(events, position, last)

        taker = self._taker(until - start)
        started = time.monotonic()
        taker.take_in(group, start, until, on_batch)
        self.filling_seconds += time.monotonic() - started
        if self._positions[group[0].name] < until:
            raise _gap(self._positions[group[0].name])

    def _take_in(self, projection: Projection[Any], until: int) -> None:
        """Bring one projection to a position inside the open transaction: what came during the last seconds. Raises RebuildError."""
        folder = Folder(self._connection, self._positions[projection.name])
        while folder.position < until:
            before = folder.position
            events = read_events(self._connection, before, min(BATCH_EVENTS, until - before))
            if not events:
                raise _gap(before)
            changes = folder.fold([projection], events, events[-1].position)
            write(self._connection, projection, changes[0], before, folder.position)
            self._on_progress(len(events), folder.position, until)
        self._positions[projection.name] = folder.position

    def _target(self, projection: Projection[Any]) -> Target:
        cursor = self._connection.cursor(row_factory=class_row(Target))
        cursor.execute(query("read_rebuild_target"), {"name": projection.name, "version": projection.version})
        target = cursor.fetchone()
        if target is None:
            raise LogHeadMissingError
        return target

    def _differences(self, table: str) -> TableDifferences:
        cursor = self._connection.cursor(row_factory=scalar_row)
        found: dict[str, Any] = dict(cursor.execute(query("compare_rebuilt_table"), {"table": table}).fetchone() or {})
        found["columns"] = {name: rows for name, rows in found["columns"].items() if rows}
        return msgspec.convert({"table": table, **found}, TableDifferences)

    def _call(self, name: str, projection: Projection[Any]) -> Any:
        """The one value that a statement about a projection returns."""
        parameters = {"name": projection.name, "version": projection.version, "tables": list(projection.tables)}
        cursor = self._connection.cursor(row_factory=scalar_row)
        return cursor.execute(query(name), parameters).fetchone()


def _gap(position: int) -> RebuildError:
    return RebuildError(
        f"The log has a gap after position {position} that does not close; see what the log's readers may assume."
    )


@contextmanager
def rebuilding(
    conninfo: str,
    projections: Sequence[Projection[Any]],
    on_progress: OnProgress,
    *,
    batch_events: int = BATCH_EVENTS,
    max_messages: int = MAX_MESSAGES,
    processes: int | None = None,
    many_events: int = MANY_EVENTS,
) -> Iterator[Rebuild]:
    """A rebuild of these projections; the connections are closed when the block ends.

    conninfo: as the owner of the tables. processes: that fold stretches of many events; None for as many as there are processors, up to
    MAX_SHARES.

    Raises RebuildError when another rebuild is under way on this database, DatabaseUnavailableError when there is none, MigrationError
    when it lacks our tables.
    """
    count = usual_shares() if processes is None else processes
    with ExitStack() as stack, _explained():
        control = stack.enter_context(rebuild_session(conninfo, "on"))
        _be_the_only_one(control)
        writer = stack.enter_context(rebuild_session(conninfo, "off"))
        pipeline = Pipeline(
            stack.enter_context(rebuild_session(conninfo, "off")),
            writer,
            control,
            batch_events=batch_events,
            max_messages=max_messages,
        )
        stack.enter_context(rare_collections(COLLECT_AFTER))

        @cache
        def shares() -> Shares:
            return stack.enter_context(
                sharing(conninfo, count, writer, batch_events=batch_events, max_messages=max_messages)
            )

        def taker(events: int) -> Taker:
            return shares() if count > 1 and events >= many_events else pipeline

        yield Rebuild(control, taker, projections, on_progress)


def _be_the_only_one(connection: Connection) -> None:
    """Take the rebuild's lock, for as long as the connection lasts. Raises RebuildError when another rebuild has it."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        acquired = connection.execute(query("try_rebuild_lock"), {"key": REBUILD_LOCK}).fetchone()
        if acquired is not None and acquired[0]:
            return
        if time.monotonic() > deadline:
            raise RebuildError("Another rebuild is under way on this database: wait until it has finished.")
        time.sleep(LOCK_PAUSE_SECONDS)


@contextmanager
def _explained() -> Iterator[None]:
    """What an operator can mend, in words."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName) as error:
        raise MigrationError("The database's schema is not this program's: run `tracker migrate`.") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise RebuildError(
            f"{explain(error)}. A rebuild creates tables: DATABASE_URL must log in as their owner."
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise RebuildError(
            f"Somebody keeps a lock on a table of this rebuild ({explain(error)}): look for long transactions in "
            "pg_stat_activity, then run it again: it goes on from here."
        ) from error
    except BrokenProcessPool as error:
        raise RebuildError("A process of this rebuild was killed. Run it again: it goes on from here.") from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"No connection to the database: {error}") from error
