"""What a message's history costs, by the size of the log it is in."""

import http.client
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from tests.bench.account import API_TOKEN
from tests.bench.progress import Progress
from tests.bench.results import History
from tests.bench.seed import SeededLog
from tests.bench.servers import running_tracker
from tests.bench.wrk import BenchError

WARM_UP: Final = 50
"""Questions that are asked first and not counted, about other messages."""

EACH: Final = 9
"""One question in so many is for the warm-up."""


def measure_history(log: SeededLog, directory: Path, progress: Progress) -> History:
    """Ask a server for histories of messages all over the log, one after the other."""
    # Each its own directory: the server's data directory may still be held by one that is just ending.
    place = directory / f"history-{log.size}"
    place.mkdir()
    with (
        progress.task(f"histories among {log.size:,} events"),
        running_tracker(place, "--no-projector", database_url=log.url) as tracker,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", tracker.port, timeout=30)
        message_sids = log.message_sids(WARM_UP * EACH)
        for message_sid in message_sids[::EACH]:
            _ask(connection, message_sid)
        seconds = [_ask(connection, message_sid) for number, message_sid in enumerate(message_sids) if number % EACH]
        connection.close()
    return History(log.size, len(seconds), median(seconds) * 1000, quantiles(seconds, n=100)[98] * 1000)


def _ask(connection: http.client.HTTPConnection, message_sid: str) -> float:
    """Seconds until the history is there. Raises BenchError when it is not."""
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    connection.request("GET", f"/api/messages/{message_sid}/events", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - started
    if answer.status != http.client.OK or message_sid.encode() not in body:
        raise BenchError(f"the history of {message_sid} was answered with {answer.status}")
    return seconds
