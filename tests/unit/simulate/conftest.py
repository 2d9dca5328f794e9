"""A stub of the tracker on a free port of this machine, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from aiohttp import web

from tests.unit.simulate.stub_tracker import StubTracker
from tracker.simulate.target import CALLBACK_PATH


@pytest.fixture
def stub() -> Iterator[StubTracker]:
    """A stub that takes every callback."""
    tracker = StubTracker()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(tracker, started)))
    thread.start()
    loop, stopping = started.result(timeout=10)
    yield tracker
    loop.call_soon_threadsafe(stopping.set)
    thread.join(timeout=10)


async def _serve(tracker: StubTracker, started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
    application = web.Application()
    application.router.add_post(CALLBACK_PATH, tracker.take_callback)
    application.router.add_get("/api/messages/{sid}", tracker.tell_state)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    tracker.base_url = f"http://{host}:{port}"
    stopping = asyncio.Event()
    started.set_result((asyncio.get_running_loop(), stopping))
    await stopping.wait()
    await runner.cleanup()
