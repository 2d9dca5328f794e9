"""Several web processes append at once while readers poll."""

import threading

import psycopg

from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.support.database import PostgresForTests
from tests.support.serving import running_tracker
from tests.support.waiting import wait_until

READERS = 3
WORKERS = 4
EVENTS = 3000


class NaiveReader:
    """Reads on from the greatest position it has seen, and trusts that nothing comes below it. Whatever became visible late, it has
    missed for ever, so what it has seen shows whether that ever happened."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._stop = threading.Event()
        self.polls: list[list[int]] = []
        """The positions that each poll brought, as they came; polls that brought nothing are left out."""
        self.empty_polls = 0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def seen(self) -> int:
        """The greatest position so far."""
        return self.polls[-1][-1] if self.polls else 0

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.is_set():
                rows = connection.execute(
                    "SELECT position FROM events WHERE position > %s ORDER BY position", [self.seen]
                ).fetchall()
                if rows:
                    self.polls.append([row[0] for row in rows])
                else:
                    self.empty_polls += 1


def test_no_position_ever_appears_below_one_that_was_seen(postgres: PostgresForTests, figures: Figures) -> None:
    """Four workers append, three readers poll as fast as they can: each poll goes on where the last one ended, without a gap."""
    with postgres.database() as database_url, running_tracker(database_url, TRACKER_WORKERS=str(WORKERS)) as tracker:
        readers = [NaiveReader(database_url) for _ in range(READERS)]
        try:
            with under_load(tracker, 128) as load:
                load.wait_for(EVENTS)
            tracker.wait_drained()
            wait_until(
                lambda: all(reader.seen >= len(load.acknowledged) for reader in readers), "the readers to catch up"
            )
        finally:
            for reader in readers:
                reader.stop()
        for reader in readers:
            after = 0
            for poll in reader.polls:
                assert poll == list(range(after + 1, after + len(poll) + 1))
                after = poll[-1]
            assert after == len(load.acknowledged)
        settle(tracker, load, database_url)
        assert load.refused == 0
        polls = ", ".join(str(len(reader.polls)) for reader in readers)
        batches = tracker.metric("tracker_append_batch_events_count")
        figures("events in a batch, 128 connections", f"{len(load.acknowledged) / batches:.1f} on average")
        figures(f"{WORKERS} workers and {READERS} readers", f"{load.summary()}; polls that brought something: {polls}")
