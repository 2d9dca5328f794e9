"""A log of any size, fast: some thousand realistic events, multiplied by the database under other message SIDs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg

from tests.bench.account import ACCOUNT_SID, SIGNED_URL
from tests.bench.load import forms
from tests.bench.progress import Progress
from tests.bench.rivals import SQL
from tracker.postgres.embedded.server import EmbeddedServer
from tracker.postgres.migrations import migrate
from tracker.simulate.traffic.callbacks import encode_form
from tracker.twilio.callback import Callback, read_callback
from tracker.twilio.form import first_values

SEED_EVENTS: Final = 20_000

CHUNK_EVENTS: Final = 100_000
"""Events in one transaction."""

SECONDS_OF_SEED: Final = 60
"""Over which the seed's events arrive; the next copy's arrive in the next minute (multiply_seed.sql)."""


class SeededLog:
    """A PostgreSQL of its own with a log that is made as large as wanted."""

    def __init__(self, url: str) -> None:
        self.url = url
        """As the superuser."""
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute((SQL / "create_seed.sql").read_bytes())
        with self._connection.cursor().copy((SQL / "copy_seed.sql").read_bytes()) as copy:
            for row in _seed_rows():
                copy.write_row(row)
        self._connection.execute("ANALYZE seed")
        self.size = 0
        """Events in the log."""

    def grow(self, size: int, progress: Progress) -> None:
        """Add events until there are so many. The table is then as tidy as autovacuum keeps it."""
        multiply = (SQL / "multiply_seed.sql").read_bytes()
        while self.size < size:
            last = min(self.size + CHUNK_EVENTS, size)
            with progress.task(f"seeding: {last:,} events"), self._connection.transaction():
                self._connection.execute(multiply, {"first": self.size + 1, "last": last, "size": SEED_EVENTS})
                self._connection.execute("UPDATE log_head SET position = %s", [last])
            self.size = last
        with progress.task("tidying"):
            self.settle()

    def settle(self) -> None:
        """Let nothing be left to tidy up or to be written."""
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")

    def message_sids(self, count: int) -> list[str]:
        """SIDs of messages all over the log, the same way for every size."""
        positions = [self.size * number // count + 1 for number in range(count)]
        rows = self._connection.execute(
            "SELECT message_sid FROM events WHERE position = ANY(%s)", [positions]
        ).fetchall()
        return [row[0] for row in rows]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def seeded_log(directory: Path) -> Iterator[SeededLog]:
    """An empty log on an embedded server, as it is shipped."""
    data_dir = directory / "seeded"
    server = EmbeddedServer.start(data_dir)
    try:
        migrate(server.url)
        log = SeededLog(server.url)
        try:
            yield log
        finally:
            log.close()
    finally:
        server.stop()


def _seed_rows() -> Iterator[tuple[object, ...]]:
    start = datetime.now(UTC) - timedelta(days=30)
    for number, form in enumerate(islice(forms(seed=0), SEED_EVENTS)):
        body = encode_form(form)
        callback = read_callback(first_values(list(form.items())))
        assert isinstance(callback, Callback)
        yield (
            *(number, callback.account_sid, callback.message_sid, callback.status, callback.error_code),
            *(callback.raw_dlr_done_date, callback.channel, callback.from_address, callback.to_address),
            *(callback.messaging_service_sid, start + timedelta(seconds=SECONDS_OF_SEED * number / SEED_EVENTS)),
            *(SIGNED_URL, body.decode("ascii"), "x" * 28, f"{number:032x}", f"{ACCOUNT_SID}/00000000"),
        )
