"""Who may ask: whoever knows ``TRACKER_API_TOKEN``. The webhook, the metrics and the health checks do not use this."""

import binascii
from base64 import b64decode
from hmac import compare_digest
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard
from pydantic import SecretStr

_DETAIL = "Send the token of TRACKER_API_TOKEN as “Authorization: Bearer …”"
_BEARER = 'Bearer realm="tracker"'
_BASIC = 'Basic realm="tracker (the token is the password)", charset="UTF-8"'


def token_guards(token: SecretStr | None, *, browser: bool = False) -> list[Guard]:
    """The guards of routes that need the token; none when there is no token to be known.

    browser: a person may open them, so the token is also taken as the password of HTTP Basic (any user name), and a
    browser asks for it. Not for routes that change anything: a browser sends a password along with requests that other
    sites cause.
    """
    if token is None:
        return []
    secret = token.get_secret_value().encode()
    challenge = f"{_BASIC}, {_BEARER}" if browser else _BEARER
    detail = f"{_DETAIL}, or as the password of HTTP Basic." if browser else f"{_DETAIL}."

    def check_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        presented = _presented(connection.headers.get("authorization", ""), browser=browser)
        # An empty token is a mistake in the settings and opens nothing.
        if not secret or not compare_digest(presented, secret):
            raise NotAuthorizedException(detail=detail, headers={"WWW-Authenticate": challenge})

    return [check_token]


def _presented(authorization: str, *, browser: bool) -> bytes:
    """The token that a request presents, empty for none. Header values come as Latin-1."""
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "bearer":
        return given
    if browser and scheme.lower() == "basic":
        try:
            return b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
