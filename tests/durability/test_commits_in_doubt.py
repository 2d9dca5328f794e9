"""A connection that breaks between COMMIT and its answer: the commit is done, and nobody was told."""

from pathlib import Path

import httpx
import psycopg

from tests.durability.figures import Figures
from tests.durability.load import settle, under_load
from tests.durability.proxy import CuttingProxy, cutting_proxy
from tests.durability.spool_files import fill, log_size, numbered, stored, voice_callback
from tests.support.database import PostgresForTests
from tests.support.events import new_events
from tests.support.serving import running_tracker
from tests.support.waiting import wait_until

CUTS = 3


def wait_for_cut(proxy: CuttingProxy, cut: int) -> None:
    """Until so many answers have been swallowed."""
    wait_until(lambda: proxy.cuts == cut, "an answer to be cut")


def test_an_answer_lost_after_its_commit_is_neither_lost_nor_doubled(
    postgres: PostgresForTests, figures: Figures
) -> None:
    """The batch is tried again, finds itself stored, and every callback of it is answered 200 and in the log exactly once."""
    with (
        postgres.database() as database_url,
        cutting_proxy(database_url) as proxy,
        running_tracker(proxy.url) as tracker,
        under_load(tracker) as load,
    ):
        for cut in range(1, CUTS + 1):
            load.wait_for(100)
            proxy.arm()
            wait_for_cut(proxy, cut)
        load.wait_for(100)
        settle(tracker, load, database_url)
        figures(f"{CUTS} answers to appends cut", load.summary())
        assert load.refused == 0


def test_the_drain_whose_answer_is_lost_stores_nothing_twice(postgres: PostgresForTests, tmp_path: Path) -> None:
    """What it appended is still in the journal, is appended again, and is in the log once, in the journal's order."""
    events = new_events(15_000)
    fill(tmp_path / "spool" / "worker-0.sqlite", events)
    with (
        postgres.database() as database_url,
        cutting_proxy(database_url) as proxy,
        running_tracker(proxy.url, data_dir=tmp_path) as tracker,
    ):
        seen = 0
        for cut in range(1, CUTS + 1):
            wait_until(lambda seen=seen: log_size(database_url) > seen, "the drain to go on")
            proxy.arm(b"tracker-drain")
            wait_for_cut(proxy, cut)
            # The commit whose answer was cut is there, whatever the drain knows.
            seen = log_size(database_url)
            assert seen < len(events), "the drain was over before it was cut"
        tracker.wait_drained()
        assert stored(database_url) == numbered(events)


def test_a_callback_that_was_set_aside_without_an_answer_is_set_aside_once(postgres: PostgresForTests) -> None:
    """It is answered 200, spooled, and finds itself in the quarantine."""
    with (
        postgres.database() as database_url,
        cutting_proxy(database_url) as proxy,
        running_tracker(proxy.url) as tracker,
    ):
        for cut in range(1, CUTS + 1):
            # Only what goes to the database at once can be cut.
            tracker.wait_drained()
            proxy.arm()
            answer = tracker.post(voice_callback(), i_twilio_idempotency_token=f"token {cut}")
            assert answer.status_code == httpx.codes.OK
            wait_for_cut(proxy, cut)
        tracker.wait_drained()
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("SELECT idempotency_token FROM quarantined_callbacks ORDER BY 1").fetchall()
        assert rows == [(f"token {cut}",) for cut in range(1, CUTS + 1)]
