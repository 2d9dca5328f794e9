"""Projections of a new version, and those that had stopped, are brought up by a rebuild."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from projections.delivery_stats import DELIVERY_STATS
from projections.fold.transitions import Batch
from projections.message_state import MESSAGE_STATE
from projections.metric_counters import METRIC_COUNTERS
from projections.projection import Projection
from projections.rebuild.rebuild import rebuilding
from tests.support.events import append
from tests.support.projections.counting import assert_exact
from tests.support.projections.rebuilding import Poisoned, dump, live_projector, rebuild
from tests.support.projections.traffic import traffic
from tests.support.projector import lag, run, wait_projected
from tests.support.waiting import wait_until
from tracker.errors import RebuildError


class NewVersion:
    """``metric_counters`` as a later program would have it: it counts in dozens."""

    name = "metric_counters"
    version = METRIC_COUNTERS.version + 1
    tables = ("metric_counters",)

    def fold(self, batch: Batch) -> Any:
        """A twelfth of what the first version gives."""
        changes = METRIC_COUNTERS.fold(batch)
        for change in changes.values():
            change.amount /= 12
        return changes

    def merge(self, changes: Sequence[Any]) -> Any:
        """As the real one does."""
        return METRIC_COUNTERS.merge(changes)

    def write(self, connection: psycopg.Connection[Any], changes: Any) -> None:
        """As the first version does."""
        METRIC_COUNTERS.write(connection, changes)


NEW_PROGRAM: tuple[Projection[Any], ...] = (MESSAGE_STATE, NewVersion(), DELIVERY_STATS)


def events_counted(connection: psycopg.Connection[Any]) -> Any:
    """By the counters."""
    row = connection.execute(
        "SELECT sum(value) FROM metric_counters WHERE metric = 'twilio_status_events_total'"
    ).fetchone()
    assert row is not None
    return round(row[0], 6)


def test_a_new_version_is_brought_up_by_a_rebuild(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """The new program's runner stops the projection, and goes on with it by itself when it has been rebuilt."""
    with live_projector(as_projector, NEW_PROGRAM):
        reason = "SELECT failed_reason FROM projections WHERE name = 'metric_counters' AND failed_reason IS NOT NULL"
        wait_until(lambda: connection.execute(reason).fetchone(), "the projection to stop")
        append(projected, traffic(4, 20, 1001))
        [result] = rebuild(as_owner, [NewVersion()])
        assert (result.version, result.live_version) == (NewVersion.version, METRIC_COUNTERS.version)
        assert result.live_position != result.position
        assert result.rows > 0
        append(projected, traffic(4, 20, 2001))
        wait_projected(connection)
    assert connection.execute(
        "SELECT version, failed_reason FROM projections WHERE name = 'metric_counters'"
    ).fetchone() == (NewVersion.version, None)
    outbound = "SELECT count(*) FROM events WHERE status NOT IN ('receiving', 'received')"
    assert connection.execute(outbound).fetchone() == (round(events_counted(connection) * 12, 3),)


def test_rows_of_the_first_version_are_rebuilt_and_the_differences_listed(
    projected: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """Rows as the first version left them: without what it did not know, and one decided by its rule. The report has both kinds."""
    after = dump(connection)
    connection.execute(
        "UPDATE message_state SET has_conflict = FALSE, error_codes_seen = '{}', error_codes_truncated = FALSE, error_message = NULL,"
        " effects_seen = 0"
    )
    key = connection.execute(
        "UPDATE message_state SET status = 'undelivered', error_code = '1'"
        " WHERE (account_sid, message_sid) = (SELECT account_sid, message_sid FROM message_state"
        " WHERE status = 'delivered' AND NOT has_conflict ORDER BY 1, 2 LIMIT 1) RETURNING account_sid, message_sid"
    ).fetchone()
    connection.execute("UPDATE projections SET version = 1")
    [result, *_] = rebuild(as_owner)
    [table] = result.tables
    assert (result.version, result.live_version) == (MESSAGE_STATE.version, 1)
    assert table.different == table.columns["effects_seen"] == len(after["message_state"])
    assert table.columns["status"] == 1
    [rarest] = [kind for kind in table.kinds if "status" in kind.split(", ")]
    assert table.kinds[rarest] == 1
    [example] = [
        example for example in table.examples if tuple(example.key.values()) == key and "status" in (example.old or {})
    ]
    assert (example.old or {})["status"] == "undelivered"
    assert (example.new or {})["status"] == "delivered"
    assert dump(connection) == after


def test_an_interrupted_rebuild_of_another_version_begins_anew(
    projected: str, connection: psycopg.Connection[Any], as_owner: str
) -> None:
    """What one version filled is of no use to the next: it begins before the first event, with empty tables."""
    with rebuilding(as_owner, [METRIC_COUNTERS], lambda *_: None) as work:
        work.begin()
        work.fill()
        assert work.begin() > 0
    with rebuilding(as_owner, [NewVersion()], lambda *_: None) as work:
        assert work.begin() == 0
        assert connection.execute("SELECT count(*) FROM rebuild.metric_counters").fetchone() == (0,)
        assert connection.execute("SELECT version, position FROM rebuild.projections").fetchall() == [
            (NewVersion.version, 0)
        ]


def test_the_old_program_does_not_write_on_new_rows(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """It runs on while the new program rebuilds; then it starts anew and leaves the projection alone."""
    with live_projector(as_projector):
        wait_projected(connection)
        rebuild(as_owner, [NewVersion()])
        counted = events_counted(connection)
        append(projected, traffic(5, 20, 1001))
        stopped = "SELECT failed_reason FROM projections WHERE name = 'metric_counters' AND failed_reason IS NOT NULL"
        wait_until(lambda: connection.execute(stopped).fetchone(), "the old program to notice")
        wait_until(
            lambda: connection.execute(
                "SELECT 1 FROM projections, log_head WHERE name = 'message_state' AND projections.position = log_head.position"
            ).fetchone(),
            "the others to go on",
        )
    assert connection.execute(stopped).fetchone() == (
        f"its rows are of version {NewVersion.version}, the program's is {METRIC_COUNTERS.version}: tracker rebuild metric_counters",
    )
    assert events_counted(connection) == counted


def test_the_old_program_does_not_rebuild_new_rows(projected: str, as_owner: str) -> None:
    """That would be a way back, which nobody asked for."""
    rebuild(as_owner, [NewVersion()])
    with pytest.raises(
        RebuildError, match=f"of version {NewVersion.version}, this program's is {METRIC_COUNTERS.version}"
    ):
        rebuild(as_owner)


def test_a_projection_that_nobody_kept_yet(
    database_url: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """A rebuild fills it up to the end of the log; the runner goes on from there."""
    append(database_url, traffic(6, 50))
    results = rebuild(as_owner)
    assert {(result.live_version, result.live_position) for result in results} == {(None, None)}
    assert lag(connection) == 0
    append(database_url, traffic(6, 50, 1001))
    run(as_projector)
    assert_exact(connection)


def test_a_poison_event_ends_a_rebuild(projected: str, connection: psycopg.Connection[Any], as_owner: str) -> None:
    """With the projection, the position and the reason. The live tables stay, and after the fix it goes on."""
    before = dump(connection)
    with pytest.raises(
        RebuildError, match=r"metric_counters cannot take in the event at position 61: ValueError: to \+1415…"
    ):
        rebuild(as_owner, [MESSAGE_STATE, Poisoned()], batch_events=20)
    assert dump(connection) == before
    with rebuilding(as_owner, [MESSAGE_STATE, METRIC_COUNTERS], lambda *_: None) as work:
        assert work.begin() == 60
        work.fill()
        assert work.compare(METRIC_COUNTERS).rows == 0


def test_a_stopped_projection_is_brought_up(
    projected: str, connection: psycopg.Connection[Any], as_owner: str, as_projector: str
) -> None:
    """A rebuild with the fixed fold passes the event, and the runner goes on behind it without a new start."""
    connection.execute("DELETE FROM projections WHERE name = 'metric_counters'")
    connection.execute("DELETE FROM metric_counters")
    with live_projector(as_projector, (MESSAGE_STATE, Poisoned(), DELIVERY_STATS)):
        stopped = "SELECT 1 FROM projections WHERE name = 'metric_counters' AND failed_position = 61"
        wait_until(lambda: connection.execute(stopped).fetchone(), "the projection to stop")
        [result] = rebuild(as_owner, [METRIC_COUNTERS])
        assert (result.live_position, result.position > 61) == (60, True)
        append(projected, traffic(7, 20, 1001))
        wait_projected(connection)
    assert_exact(connection)
