"""``/metrics`` costs the event loop nothing: rendered on a thread, at most once per second, shared."""

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from tracker.web.telemetry.metrics_rendering import MetricsFormat, SharedRendering, choose_format, encode_metrics

pytestmark = pytest.mark.anyio


class Renderer:
    """Renders when the test allows it, and counts."""

    def __init__(self) -> None:
        self.now = 100.0
        self.renderings: list[MetricsFormat] = []
        self.may_finish = asyncio.Event()
        self.error: Exception | None = None
        self.shared = SharedRendering(self._render, lambda: self.now)

    async def _render(self, wanted: MetricsFormat) -> bytes:
        self.renderings.append(wanted)
        number = len(self.renderings)
        await self.may_finish.wait()
        if self.error is not None:
            raise self.error
        return b"%d" % number


async def test_concurrent_scrapes_share_one_rendering() -> None:
    """However many come while it runs, and however long it takes; one that goes away does not end it for the others."""
    renderer = Renderer()
    scrapes = [asyncio.ensure_future(renderer.shared.get("text")) for _ in range(100)]
    await asyncio.sleep(0)
    renderer.now += 5
    scrapes += [asyncio.ensure_future(renderer.shared.get("text")) for _ in range(100)]
    await asyncio.sleep(0)
    scrapes.pop(0).cancel()
    renderer.may_finish.set()
    assert set(await asyncio.gather(*scrapes)) == {b"1"}
    assert renderer.renderings == ["text"]


async def test_a_rendering_is_shared_for_one_second_after_its_start() -> None:
    """Just below and just above."""
    renderer = Renderer()
    renderer.may_finish.set()
    assert await renderer.shared.get("text") == b"1"
    renderer.now += 0.999
    assert await renderer.shared.get("text") == b"1"
    renderer.now += 0.001
    assert await renderer.shared.get("text") == b"2"


async def test_each_format_has_a_rendering_of_its_own() -> None:
    """There are two, whatever clients ask for."""
    renderer = Renderer()
    renderer.may_finish.set()
    assert [await renderer.shared.get(wanted) for wanted in ("text", "openmetrics", "text")] == [b"1", b"2", b"1"]


async def test_a_rendering_that_failed_is_tried_again() -> None:
    """At once: an error is shared by those who waited for it only."""
    renderer = Renderer()
    renderer.may_finish.set()
    renderer.error = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        await renderer.shared.get("text")
    renderer.error = None
    assert await renderer.shared.get("text") == b"2"


ACCEPTS: dict[str, MetricsFormat] = {
    "": "text",
    "*/*": "text",
    "text/plain": "text",
    "text/plain;version=1.0.0": "text",
    "application/openmetrics-text": "openmetrics",
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain": "openmetrics",
    "application/openmetrics-text; Version=1.0.0; escaping=allow-utf-8": "openmetrics",
    "text/plain;q=0.5, APPLICATION/OPENMETRICS-TEXT": "openmetrics",
    "application/openmetrics-text;version=0.0.1": "text",
    "application/openmetrics-text;version=abc": "text",
    "application/openmetrics-text;version=9.9.9": "text",
    ",;=,;,": "text",
}


@pytest.mark.parametrize(("accept", "expected"), ACCEPTS.items())
async def test_the_format_that_a_client_accepts(accept: str, expected: MetricsFormat) -> None:
    """Whatever the header is, it is one of two."""
    assert choose_format(accept) == expected


class Gauge(Collector):
    """One gauge; it notes on which thread it is read."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.threads: set[int] = set()

    def describe(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(self.name, "A gauge.")

    def collect(self) -> Iterator[Metric]:
        self.threads.add(threading.get_ident())
        gauge = GaugeMetricFamily(self.name, "A gauge.")
        gauge.add_metric([], 1)
        yield gauge
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("wanted", ["text", "openmetrics"])
async def test_a_collector_that_raises_hides_no_other(wanted: MetricsFormat) -> None:
    """It is left out whole, and logged."""
    with capture_logs() as logs:
        content = encode_metrics([Gauge("a"), Gauge("b", ValueError("broken")), Gauge("c")], wanted).decode()
    assert "a 1.0" in content and "c 1.0" in content
    assert "b 1.0" not in content
    assert [line["event"] for line in logs] == ["metrics.collector_failed"]
    if wanted == "openmetrics":
        assert [family.name for family in text_string_to_metric_families(content)] == ["a", "c"]
