"""HEAD requests: answered as GET, without the body (RFC 9110, section 9.3.2)."""

from typing import cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """An application that also answers HEAD wherever it answers GET. Litestar's handlers answer only the methods that they name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = cast("Message", {**message, "body": b""})
            await send(message)

        # A copy: the server looks at its own scope to leave the body out.
        await self._app(cast("Scope", {**scope, "method": "GET"}), receive, send_without_body)
