"""A connection that breaks between COMMIT and its answer: the commit is done, and nobody was told."""

from tests.database import PostgresForTests
from tests.durability.load import assert_nothing_lost, under_load
from tests.durability.proxy import cutting_proxy
from tests.serving import running_tracker, wait_until

CUTS = 5


def test_an_answer_lost_after_its_commit_is_neither_lost_nor_doubled(postgres: PostgresForTests) -> None:
    """The batch is tried again, finds itself stored, and every callback of it is in the log exactly once."""
    with (
        postgres.database() as database_url,
        cutting_proxy(database_url) as proxy,
        running_tracker(proxy.url) as tracker,
        under_load(tracker) as load,
    ):
        for cut in range(1, CUTS + 1):
            load.wait_for(30)
            proxy.arm()
            wait_until(lambda cut=cut: proxy.cuts == cut, "an answer to be cut")
        load.wait_for(30)
        load.stop()
        tracker.wait_drained()
        tracker.wait_projected()
        assert_nothing_lost(load, database_url)
