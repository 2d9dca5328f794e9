"""Keeps the projections: reads the log, folds, and writes rows and checkpoints in one transaction.

One runner is active at a time; an advisory lock sees to that, and the others wait for it. Projections that stand at the same
position are taken on together, in one transaction. One that has fallen behind is taken on by itself until it has caught up.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast
from uuid import UUID

import psycopg
import structlog
from psycopg.rows import TupleRow

from projections.fold.message import Key, Said
from projections.fold.transitions import Messages
from projections.projection import Projection
from tracker.logging_setup import mask
from tracker.postgres.binary_arrays import pack_text, register_packed_arrays
from tracker.postgres.sql_files import query

_log = structlog.get_logger()

RUNNER_LOCK = 0x7477_0002
"""Key of the advisory lock that the active runner holds."""

BATCH_EVENTS = 5_000
"""Events in one transaction at most."""

HISTORY_ROWS = 5_000
"""Earlier events in memory at a time."""

_NEW_SAID = cast("Callable[[Sequence[Any]], Said]", partial(tuple.__new__, Said))


class CheckpointMovedError(Exception):
    """A checkpoint that this runner stands on is no longer valid, and it must start anew: another runner has moved it, which takes the
    lock to be lost, or the log was put back to an earlier state."""


class Runner:
    """The projections on one connection, which this runner owns."""

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        projections: Sequence[Projection[Any]],
        batch_events: int = BATCH_EVENTS,
    ) -> None:
        """connection: in autocommit mode, as a role that may write the projections' tables."""
        register_packed_arrays(connection)
        self._connection = connection
        self._projections = {projection.name: projection for projection in projections}
        self._batch_events = batch_events
        self._positions: dict[str, int] = {}
        self._messages: dict[int, Messages] = {}

    def try_to_start(self, instance_id: UUID) -> bool:
        """Become the active runner, unless there is one. From then on projections that had stopped try again."""
        row = self._connection.execute(query("try_runner_lock"), {"key": RUNNER_LOCK}).fetchone()
        if row is None or not row[0]:
            return False
        with self._connection.transaction():
            self._connection.execute(query("announce_runner"), {"instance_id": instance_id})
            for projection in self._projections.values():
                self._connection.execute(
                    query("register_projection"), {"name": projection.name, "version": projection.version}
                )
            # In the same transaction, so that nobody sees a projection go on that is stopped again at once.
            self._positions = self._read_checkpoints()
        self._connection.execute(query("listen_to_log"))
        _log.info("runner.started", positions=self._positions)
        return True

    def run_once(self) -> int:
        """Take every projection on by one batch; how many events were read in all. 0: all of them have what there is.

        Raises CheckpointMovedError, and psycopg.Error when the database went away; the runner is of no further use then.
        """
        if len(self._positions) < len(self._projections):
            self._resume_stopped()
        groups: defaultdict[int, list[Projection[Any]]] = defaultdict(list)
        # By name, because a rebuild locks their tables in that order.
        for name, position in sorted(self._positions.items()):
            groups[position].append(self._projections[name])
        self._messages = {position: known for position, known in self._messages.items() if position in groups}
        events = sum(self._advance(position, group) for position, group in sorted(groups.items()))
        if events == 0:
            self._check_checkpoints()
        return events

    def wait(self, seconds: float) -> None:
        """Wait until something is appended, for so long at most: a notification is a hint, and may be missed."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            pass

    def _resume_stopped(self) -> None:
        """Go on with projections that had stopped and have been rebuilt since, from where the rebuild left off."""
        rows = self._connection.execute(query("read_checkpoints"))
        for name, version, position, failed_position, _, is_rewound in rows:
            projection = self._projections.get(name)
            if (
                projection is None
                or name in self._positions
                or failed_position is not None
                or is_rewound
                or projection.version != version
            ):
                continue
            self._positions[name] = position
            _log.info("projection.resumed", projection=name, position=position)

    def _read_checkpoints(self) -> dict[str, int]:
        positions: dict[str, int] = {}
        for name, version, position, _, _, is_rewound in self._connection.execute(query("read_checkpoints")).fetchall():
            projection = self._projections.get(name)
            if projection is None:
                continue
            if is_rewound:
                reason = (
                    f"the log was put back to an earlier state and does not have the event at position {position} that was"
                    f" applied last: tracker rebuild {name}"
                )
                _log.error("projection.stopped", projection=name, position=position, reason=reason)
                self._stop_projection(projection, position, reason)
                continue
            if projection.version != version:
                reason = (
                    f"its rows are of version {version}, the program's is {projection.version}: tracker rebuild {name}"
                )
                self._stop_projection(projection, position, reason)
                continue
            positions[name] = position
        return positions

    def _check_checkpoints(self) -> None:
        """Raises CheckpointMovedError when the log no longer has the event of a checkpoint: a new start then stops that projection.

        Writing checks the same; this finds it while nothing is appended, or not yet enough to reach the checkpoint.
        """
        for name, _, position, _, _, is_rewound in self._connection.execute(query("read_checkpoints")):
            if is_rewound and name in self._positions:
                raise CheckpointMovedError(
                    f"the log no longer has the event at position {position}, where {name} stands"
                )

    def _advance(self, position: int, group: Sequence[Projection[Any]]) -> int:
        events = read_events(self._connection, position, self._batch_events)
        if not events:
            return 0
        messages = self._messages.pop(position, None) or Messages(position, self._load_history)
        try:
            failed = self._take_in(messages, group, events)
        except Exception as error:
            if not is_poison(error):
                raise
            # In the shared fold or in what was to be written: found and reported event by event below.
            failed = list(group)
        else:
            self._messages[messages.position] = messages
        for projection in failed:
            self._advance_to_poison(projection, position, events)
        return len(events)

    def _take_in(
        self, messages: Messages, group: Sequence[Projection[Any]], events: Sequence[Said]
    ) -> list[Projection[Any]]:
        """Fold and write the events for each projection of the group; those whose fold raised, whose tables are untouched."""
        before = messages.position
        failed: list[Projection[Any]] = []
        with self._connection.transaction():
            batch = messages.advance(events)
            for projection in group:
                try:
                    changes = projection.fold(batch)
                except Exception:  # noqa: BLE001  # whatever a fold raises stops this projection and no other
                    failed.append(projection)
                    continue
                projection.write(self._connection, changes)
                self._move_checkpoint(projection, before, messages.position)
        for projection in group:
            if projection not in failed:
                self._positions[projection.name] = messages.position
        return failed

    def _advance_to_poison(self, projection: Projection[Any], position: int, events: Sequence[Said]) -> None:
        """Take a batch in that did not fold as a whole, one event at a time, and stop at the event that cannot be folded."""
        messages = Messages(position, self._load_history)
        for said in events:
            before = messages.position
            try:
                changes = projection.fold(messages.advance([said]))
                with self._connection.transaction():
                    projection.write(self._connection, changes)
                    self._move_checkpoint(projection, before, messages.position)
            except Exception as error:
                if not is_poison(error):
                    raise
                self._stop_projection(projection, said.position, explain(error))
                _log.exception(
                    "projection.stopped",
                    projection=projection.name,
                    position=said.position,
                    account_sid=said.account_sid,
                    message_sid=said.message_sid,
                )
                return
            self._positions[projection.name] = messages.position

    def _move_checkpoint(self, projection: Projection[Any], before: int, after: int) -> None:
        checkpoint = {"name": projection.name, "version": projection.version, "from": before, "to": after}
        if self._connection.execute(query("move_checkpoint"), checkpoint).fetchone() is None:
            raise CheckpointMovedError(
                f"{projection.name} no longer stands at {before} with version {projection.version}, or the log has another"
                " event there"
            )

    def _stop_projection(self, projection: Projection[Any], position: int, reason: str) -> None:
        self._positions.pop(projection.name, None)
        self._connection.execute(
            query("stop_projection"), {"name": projection.name, "position": position, "reason": reason[:1000]}
        )

    def _load_history(self, keys: Sequence[Key], until: int) -> Iterator[Said]:
        return read_earlier_events(self._connection, keys, until)


def explain(error: Exception) -> str:
    """What went wrong, for operators, in one line. What the database says below its first line quotes rows, and those are left out."""
    return mask(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


def is_poison(error: Exception) -> bool:
    """Whether it is an event that cannot be taken in: a fold raises, or the database refuses what it gave. Everything else passes
    when the runner starts anew."""
    if isinstance(error, CheckpointMovedError):
        return False
    return not isinstance(error, psycopg.Error) or isinstance(error, psycopg.DataError | psycopg.IntegrityError)


def read_events(connection: psycopg.Connection[TupleRow], after: int, limit: int) -> list[Said]:
    """What follows a position in the log, so many events at most, up to the first gap: a gap means wait."""
    return contiguous(_select(connection, "read_log", {"after": after, "limit": limit}), after)


def read_share(connection: psycopg.Connection[TupleRow], after: int, until: int, share: int, shares: int) -> list[Said]:
    """The events of a range of positions, its last one included, that concern one share of the messages. A gap is not seen here."""
    return _select(connection, "read_log_share", {"after": after, "until": until, "share": share, "shares": shares})


def read_earlier_events(connection: psycopg.Connection[TupleRow], keys: Sequence[Key], until: int) -> Iterator[Said]:
    """Reads the events of some messages up to and including a position, in log order.

    A message may have any number of events, so no more than HISTORY_ROWS are in memory at a time. The connection runs nothing else
    until the last one has been read.
    """
    wanted = set(keys)
    parameters = {"message_sids": pack_text(sorted({message_sid for _, message_sid in keys})), "until": until}
    cursor = connection.cursor(row_factory=_said_row)
    for said in cursor.stream(query("read_earlier_events"), parameters, binary=True, size=HISTORY_ROWS):
        # Another account may have a message with this SID.
        if (said.account_sid or "", said.message_sid) in wanted:
            yield said


def contiguous(events: list[Said], after: int) -> list[Said]:
    """The events up to the first gap in the positions that follow ``after``."""
    if not events or events[-1].position == after + len(events):
        return events
    for offset, said in enumerate(events, start=1):
        if said.position != after + offset:
            return events[: offset - 1]
    return events


def _select(connection: psycopg.Connection[TupleRow], name: str, parameters: dict[str, object]) -> list[Said]:
    cursor = connection.cursor(binary=True, row_factory=_said_row)
    return cursor.execute(query(name), parameters, prepare=True).fetchall()


def _said_row(_: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Said]:
    """Makes a row as ``Said._make`` does, in C alone: the query's columns are those of Said."""
    return _NEW_SAID
