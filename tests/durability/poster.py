"""Callbacks as bytes, and connections that post them: little work for the client, so that the server is what is tested."""

import asyncio
import base64
import hmac
import re
from typing import cast
from urllib.parse import quote

from tests.durability.ledger import Saying
from tests.support.serving import ACCOUNT_SID, FORM, PATH, TOKEN, Tracker, sign

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class Requests:
    """Makes the requests for one server, signed as Twilio signs: URL, then names and values by name, HMAC-SHA1."""

    def __init__(self, tracker: Tracker, padding: str = "") -> None:
        """padding: a parameter more, to make bodies large."""
        self._url = tracker.webhook_url
        self._padding = {"Padding": padding} if padding else {}
        self._head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{tracker.port}\r\nContent-Type: {FORM}\r\n"
        pairs = self._parameters(Saying("SM" + "0" * 32, "sent"))
        assert self._signature(pairs) == sign(self._url, pairs), "Twilio's own library signs otherwise"

    def make(self, saying: Saying, token: str, signature: str | None = None) -> bytes:
        """The bytes of one callback. token: its idempotency token. signature: instead of the right one."""
        pairs = self._parameters(saying)
        body = "&".join(f"{name}={quote(value)}" for name, value in pairs)
        return (
            f"{self._head}X-Twilio-Signature: {signature or self._signature(pairs)}\r\nI-Twilio-Idempotency-Token: {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _parameters(self, saying: Saying) -> list[tuple[str, str]]:
        """By name, as they are signed. The recipient is of a country that the counts of tests know."""
        given = {
            "AccountSid": ACCOUNT_SID,
            "ApiVersion": "2010-04-01",
            "ErrorCode": saying.error_code,
            "From": "+14155550199",
            "MessageSid": saying.message_sid,
            "MessageStatus": saying.status,
            **self._padding,
            "RawDlrDoneDate": saying.done_date,
            "SmsSid": saying.message_sid,
            "SmsStatus": saying.status,
            "To": "+14155238886",
        }
        return [(name, value) for name, value in given.items() if value is not None]

    def _signature(self, pairs: list[tuple[str, str]]) -> str:
        signed = self._url + "".join(name + value for name, value in pairs)
        return base64.b64encode(hmac.digest(TOKEN.encode(), signed.encode(), "sha1")).decode()


class Poster(asyncio.Protocol):
    """One HTTP/1.1 connection with one request under way at most."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._lost = asyncio.Event()
        self.is_open = False
        """Whether the next request may go this way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """As in asyncio.Protocol."""
        self.is_open = False
        self._lost.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("no answer"))

    def data_received(self, data: bytes) -> None:
        """As in asyncio.Protocol."""
        self._received += data
        head, end, body = self._received.partition(_END_OF_HEAD)
        length = _LENGTH.search(head + b"\r\n")
        if not end or length is None or len(body) < int(length[1]):
            return
        if b"connection: close" in head.lower():
            self.is_open = False
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    async def post(self, request: bytes, seconds: float) -> int:
        """The answer's status code. Raises OSError when the connection breaks, TimeoutError when it takes too long."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(seconds):
            return await self._answer

    async def close(self) -> None:
        """Close the connection, at once and whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()


async def connect(port: int) -> Poster:
    """A connection to the server. Raises OSError."""
    _, poster = await asyncio.get_running_loop().create_connection(Poster, "127.0.0.1", port)
    return poster
