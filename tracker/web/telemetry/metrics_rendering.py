"""Rendering of ``/metrics``: off the event loop, and at most once per second per format, shared by all scrapes of that second.

A rendering of thousands of series takes up to some 0.2 s of one core. On the event loop it would delay callbacks, and a client that
scrapes in a loop would delay all of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Final, Literal

import structlog
from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

_log = structlog.get_logger()

MetricsFormat = Literal["text", "openmetrics"]

SHARED_SECONDS: Final = 1.0
"""Scrapes that come within this time after the start of a rendering share it."""

MEDIA_TYPES: Final[dict[MetricsFormat, str]] = {
    "text": exposition.CONTENT_TYPE_PLAIN_0_0_4,
    "openmetrics": openmetrics.CONTENT_TYPE_LATEST,
}

_ENCODERS: Final[dict[MetricsFormat, Callable[["_Families"], bytes]]] = {
    "text": exposition.generate_latest,  # pyright: ignore[reportAssignmentType]  # it only calls collect()
    "openmetrics": partial(openmetrics.generate_latest, escaping=openmetrics.UNDERSCORES, version="1.0.0"),
}
"""Two formats. Versions and escapings of the Accept header are ignored: a client could invent any number, each with a rendering."""


def choose_format(accept: str) -> MetricsFormat:
    """OpenMetrics 1.0 where the ``Accept`` header lists it, else Prometheus' text format 0.0.4."""
    for item in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        version = next((part[8:] for part in parameters if part.startswith("version=")), "1.0.0")
        if media_type == "application/openmetrics-text" and version == "1.0.0":
            return "openmetrics"
    return "text"


def encode_metrics(collectors: Iterable[Collector], wanted: MetricsFormat) -> bytes:
    """The families of all collectors in a format. A collector that raises is logged and left out. Blocks; for a thread."""
    return _ENCODERS[wanted](_Families(collectors))


class SharedRendering:
    """Renders at most once per SHARED_SECONDS and format. For one event loop."""

    def __init__(
        self, render: Callable[[MetricsFormat], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._render = render
        self._clock = clock
        self._renderings: dict[MetricsFormat, tuple[float, asyncio.Task[bytes]]] = {}
        """The last rendering of each format, with the time of its start."""

    async def get(self, wanted: MetricsFormat) -> bytes:
        """A rendering that is still running or began less than SHARED_SECONDS ago. Raises what rendering raised."""
        now = self._clock()
        started, task = self._renderings.get(wanted, (0.0, None))
        if task is None or (task.done() and (now - started >= SHARED_SECONDS or task.exception() is not None)):
            task = asyncio.get_running_loop().create_task(self._run(wanted))
            self._renderings[wanted] = (now, task)
        # A client that goes away must not cancel it for the others.
        return await asyncio.shield(task)

    async def _run(self, wanted: MetricsFormat) -> bytes:
        return await self._render(wanted)


class _Families:
    """A registry as the encoders use it."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        """The families of all collectors that do not raise."""
        for collector in self._collectors:
            try:
                families = list(collector.collect())
            except Exception:  # noqa: BLE001  # a bug of one collector must not hide the others' metrics
                _log.exception("metrics.collector_failed", collector=type(collector).__name__)
                continue
            for family in families:
                yield family
                # Gives up the GIL: a thread that computes holds it for 5 ms at a time (sys.getswitchinterval).
                time.sleep(0)
