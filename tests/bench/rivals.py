"""What the tracker is compared with: three applications on the same server, each with the webhook's path.

Run as ``python -m tests.bench.rivals NAME DESCRIPTOR [DATABASE_URL]``: serves one of them, on a socket that is
listening already, the way the tracker's own workers are served.
"""

import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uuid_utils
from litestar import Litestar, Request, asgi, post
from litestar.exceptions import PermissionDeniedException
from litestar.types import Receive, Scope, Send
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from twilio.request_validator import RequestValidator  # pyright: ignore[reportMissingTypeStubs]  # it has none

from tests.bench.account import ACCOUNT_SID, AUTH_TOKEN, SIGNED_URL
from tracker.http.responses import TAKEN
from tracker.web.webhook import PATH
from tracker.web.worker import serve

SQL: Final = Path(__file__).parent / "sql"

MAX_CONNECTIONS: Final = 10_000

Pool = AsyncConnectionPool[AsyncConnection[Any]]


def ceiling() -> Litestar:
    """A raw ASGI route that reads the body and answers: nothing in Litestar on this server is faster."""

    @asgi(PATH, copy_scope=False)
    async def take_callback(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        await TAKEN.send(send)

    return Litestar([take_callback], openapi_config=None, logging_config=None)


def doing_nothing() -> Litestar:
    """An ordinary handler that reads the body and answers."""

    @post(PATH, status_code=200, media_type="text/xml")
    async def take_callback(request: Request[Any, Any, Any]) -> str:
        await request.body()
        return "<Response/>"

    return Litestar([take_callback], openapi_config=None, logging_config=None)


def usual_way(database_url: str) -> Litestar:
    """An ordinary handler that verifies with twilio's own library and commits one INSERT a request, through a pool.

    Its table has the columns and the indexes of ``events``, and a sequence for positions. Nothing is projected.
    """
    validator = RequestValidator(AUTH_TOKEN)
    insert = (SQL / "insert_callback.sql").read_bytes()
    pool: Pool = AsyncConnectionPool(database_url, kwargs={"autocommit": True}, min_size=4, max_size=16, open=False)

    @post(PATH, status_code=200, media_type="text/xml")
    async def take_callback(request: Request[Any, Any, Any]) -> str:
        form = await request.form()
        signature = request.headers.get("x-twilio-signature", "")
        if not validator.validate(SIGNED_URL, form, signature):
            raise PermissionDeniedException
        async with pool.connection() as connection:
            await connection.execute(
                insert,
                {
                    "event_id": uuid_utils.uuid7().bytes.hex(),
                    "account_sid": form.get("AccountSid"),
                    "message_sid": form["MessageSid"],
                    "status": form["MessageStatus"],
                    "error_code": form.get("ErrorCode"),
                    "raw_dlr_done_date": form.get("RawDlrDoneDate"),
                    "channel": form.get("ChannelPrefix") or "sms",
                    "from_address": form.get("From"),
                    "to_address": form.get("To"),
                    "messaging_service_sid": form.get("MessagingServiceSid"),
                    "url": SIGNED_URL,
                    "body": await request.body(),
                    "signature": signature,
                    "idempotency_token": request.headers.get("i-twilio-idempotency-token"),
                    "key_id": ACCOUNT_SID,
                    "error_message": form.get("ErrorMessage"),
                },
            )
        return "<Response/>"

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with pool:
            yield

    return Litestar([take_callback], lifespan=[lifespan], openapi_config=None, logging_config=None)


RIVALS: Final[dict[str, Callable[..., Litestar]]] = {
    "ceiling": ceiling,
    "doing_nothing": doing_nothing,
    "usual_way": usual_way,
}
"""By name. ``usual_way`` takes the URL of a database that has its table."""


def main(name: str, descriptor: str, *arguments: str) -> None:
    """Serve until SIGTERM."""
    serve(RIVALS[name](*arguments), socket.socket(fileno=int(descriptor)), MAX_CONNECTIONS)


if __name__ == "__main__":
    main(*sys.argv[1:])
