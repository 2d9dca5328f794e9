"""Several web processes append at once while readers poll."""

import threading

import psycopg

from projections.message import Said
from projections.runner import contiguous
from tests.database import PostgresForTests
from tests.durability.load import assert_nothing_lost, under_load
from tests.serving import running_tracker, wait_until
from tracker.database.queries import query

READERS = 3


class Reader:
    """Reads the log on and on, as a projector does: the contiguous prefix after what it has."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._stop = threading.Event()
        self.positions: list[int] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.is_set():
                after = self.positions[-1] if self.positions else 0
                rows = connection.execute(query("read_log"), {"after": after, "limit": 100}).fetchall()
                self.positions += [said.position for said in contiguous([Said._make(row) for row in rows], after)]


def test_no_reader_ever_misses_an_event(postgres: PostgresForTests) -> None:
    """Three workers append, three readers poll as fast as they can: each reader sees 1, 2, 3 … to the end."""
    with postgres.database() as database_url, running_tracker(database_url, TRACKER_WORKERS="3") as tracker:
        readers = [Reader(database_url) for _ in range(READERS)]
        try:
            with under_load(tracker, threads=8) as load:
                load.wait_for(600)
            wait_until(
                lambda: all(len(reader.positions) >= len(load.acknowledged) for reader in readers),
                "the readers to catch up",
            )
        finally:
            for reader in readers:
                reader.stop()
        for reader in readers:
            assert reader.positions == list(range(1, len(load.acknowledged) + 1))
        tracker.wait_projected()
        assert_nothing_lost(load, database_url)
