"""Posts callbacks the way Twilio does, and says what came back."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from yarl import URL

from tracker.simulate.traffic.callbacks import Callback
from tracker.simulate.traffic.pace import Pace

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
"""Twilio's defaults for ``ct`` and ``tt``, as are the tries below, for connecting only:
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides"""

CONNECT_TRIES = 2

# Shorter than uvicorn's 5 s, so that no callback is written to a connection that the server is closing.
_IDLE_SECONDS = 2.0

Answer = int | Literal["unreachable", "no_answer"]
"""The HTTP status; or ``unreachable``: there was no connection, so nothing was sent; or ``no_answer``: the callback was
sent, or may have been, and then the connection ended or the time was over."""


@asynccontextmanager
async def open_sender(
    url: str, *, concurrency: int, pace: Pace, seconds: float = TOTAL_SECONDS
) -> "AsyncGenerator[Sender]":
    """A sender, whose connections are closed in the end.

    url: used as it is, without any re-encoding. concurrency: most requests at a time. seconds: for one callback, all
    tries together.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        skip_auto_headers=("Accept-Encoding",),
    ) as session:
        yield Sender(session, URL(url, encoded=True), pace, seconds)


class Sender:
    """Posts to one URL. ``post`` never raises for what a server or a network does."""

    def __init__(self, session: aiohttp.ClientSession, url: URL, pace: Pace, seconds: float) -> None:
        self._session = session
        self._url = url
        self._pace = pace
        self._seconds = seconds

    async def post(self, callback: Callback) -> tuple[Answer, float]:
        """Post one callback when its turn has come. Returns the answer and the seconds from first try to last byte."""
        await self._pace.turn()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._try_to_post(callback)
        except TimeoutError:
            answer = "no_answer"
        return answer, time.perf_counter() - started

    async def _try_to_post(self, callback: Callback) -> Answer:
        for _ in range(CONNECT_TRIES):
            try:
                return await self._post_once(callback)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
            except aiohttp.ClientError:
                return "no_answer"
        return "unreachable"

    async def _post_once(self, callback: Callback) -> int:
        async with self._session.post(
            self._url, data=callback.body, headers=callback.headers, allow_redirects=False
        ) as response:
            await response.read()
            return response.status
