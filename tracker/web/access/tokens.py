"""Access to everything but the webhook, ``/livez`` and the status in ``/readyz``.

With an API token, requests need it. Without one the server answers requests from this machine only (``tracker.web.access.loopback``).
"""

import binascii
from base64 import b64decode
from hmac import compare_digest
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard
from pydantic import SecretStr

from tracker.web.access.loopback import is_local_request

_DETAIL = "Send the token of TRACKER_API_TOKEN as “Authorization: Bearer …”"
_BEARER = 'Bearer realm="tracker"'
_BASIC = 'Basic realm="tracker (the token is the password)", charset="UTF-8"'

LOCAL_ONLY: Final = (
    "Without an API token this server answers on this machine only, by its loopback address and not through a proxy or a tunnel. "
    "Set TRACKER_API_TOKEN, or PUBLIC_BASE_URL for a token that is made at the start."
)
"""Detail of the 403 for requests from elsewhere."""

Connection = ASGIConnection[Any, Any, Any, Any]


def token_guards(token: SecretStr | None, *, browser: bool = False) -> list[Guard]:
    """The guards of routes that need the token, or, when there is none, a request from this machine.

    browser: a person may open them, so the token is also accepted as the password of HTTP Basic (any user name), and a
    browser asks for it. Not for routes that change anything: a browser sends a password along with requests that other
    sites cause.
    """
    if token is None:
        return [_check_local]
    challenge = f"{_BASIC}, {_BEARER}" if browser else _BEARER
    detail = f"{_DETAIL}, or as the password of HTTP Basic." if browser else f"{_DETAIL}."

    def check_token(connection: Connection, _: BaseRouteHandler) -> None:
        if not _has_token(connection, token, browser=browser):
            raise NotAuthorizedException(detail=detail, headers={"WWW-Authenticate": challenge})

    return [check_token]


def has_access(connection: Connection, token: SecretStr | None) -> bool:
    """Whether a request may see details: it has the token (Bearer or Basic), or there is none and it is from this machine."""
    if token is None:
        return is_local_request(connection.scope["headers"])
    return _has_token(connection, token, browser=True)


def _check_local(connection: Connection, _: BaseRouteHandler) -> None:
    if not is_local_request(connection.scope["headers"]):
        raise PermissionDeniedException(detail=LOCAL_ONLY)


def _has_token(connection: Connection, token: SecretStr, *, browser: bool) -> bool:
    secret = token.get_secret_value().encode()
    presented = _presented(connection.headers.get("authorization", ""), browser=browser)
    # An empty token is a mistake in the settings and opens nothing.
    return bool(secret) and compare_digest(presented, secret)


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
