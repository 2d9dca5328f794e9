"""Clients that scrape ``/metrics`` in a loop beside good callbacks."""

import threading

import httpx

from tests.durability.figures import Figures
from tests.durability.test_bad_clients import assert_answered, good_callbacks, latency_alone
from tests.support.serving import running_tracker
from tests.support.waiting import PATIENCE, wait_until

SCRAPERS = 8


def test_scrapes_in_a_loop_delay_no_callback(database_url: str, figures: Figures) -> None:
    """Eight clients that ask without a pause: good callbacks are answered about as fast as alone."""
    with running_tracker(database_url) as tracker:
        alone = latency_alone(tracker, database_url)
        stop = threading.Event()
        scrapes = [0] * SCRAPERS

        def scrape(number: int) -> None:
            with httpx.Client(base_url=tracker.base_url, timeout=PATIENCE) as client:
                while not stop.is_set():
                    assert client.get("/metrics").is_success
                    scrapes[number] += 1

        threads = [threading.Thread(target=scrape, args=[number]) for number in range(SCRAPERS)]
        for thread in threads:
            thread.start()
        try:
            with good_callbacks(tracker, database_url) as good:
                wait_until(lambda: min(scrapes) > 20, "scrapes")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        figures(f"good callbacks beside {sum(scrapes)} scrapes", good.latency())
        assert_answered(good, alone)
