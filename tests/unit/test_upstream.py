"""uvicorn's methods that tracker.web copies, overrides or relies on are those that were read when the code was written."""

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn.server
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tracker.http.fast_path import ShortcutProtocol
from tracker.http.protocol import WatchedProtocol
from tracker.http.request_reader import RequestReader
from tracker.http.server import Server

HASHES = {
    "FlowControl.pause_reading": "0c34066c765b8da2",
    "FlowControl.pause_writing": "08ac31e05b0c3042",
    "FlowControl.resume_reading": "06e36d83841b63db",
    "FlowControl.resume_writing": "b90334273c65c613",
    "HttpToolsProtocol.__init__": "264f2f06759670d4",
    "HttpToolsProtocol._start_asgi_task": "2ab8b185c1a9b25b",
    "HttpToolsProtocol.connection_lost": "21bb5222b35990e7",
    "HttpToolsProtocol.connection_made": "ba1915817ccf6c1b",
    "HttpToolsProtocol.data_received": "02c2572f1df55907",
    "HttpToolsProtocol.eof_received": "cf1db74cbefe2709",
    "HttpToolsProtocol.on_body": "415b4cef19fba083",
    "HttpToolsProtocol.on_header": "374f1e380c062750",
    "HttpToolsProtocol.on_headers_complete": "7e259152e5aade71",
    "HttpToolsProtocol.on_message_begin": "0efab6f9456c4987",
    "HttpToolsProtocol.on_message_complete": "377f9122ee6f3ab8",
    "HttpToolsProtocol.on_response_complete": "5684fd801d0683ac",
    "HttpToolsProtocol.pause_writing": "0d1d5ff822175905",
    "HttpToolsProtocol.resume_writing": "89f3ffd1fdaf75fc",
    "HttpToolsProtocol.shutdown": "4822ef10fa982b12",
    "RequestResponseCycle.__init__": "459bebd3022b64c2",
    "RequestResponseCycle.receive": "817bd782de41bd0a",
    "RequestResponseCycle.run_asgi": "c3a6430de81255c9",
    "RequestResponseCycle.send": "cfc84491029529db",
    "Server.__init__": "577a47d14dacbc1d",
    "Server.capture_signals": "85d29b580603d413",
    "Server.main_loop": "425d26add0e59678",
    "Server.on_tick": "371ccecb27e5e5d4",
    "Server.shutdown": "9f8a90ed456dcfee",
    "Server.startup": "61dd959a73fc3de8",
}
"""By qualified name: SHA-256 of the method's source, first 16 digits. To update one, read what changed upstream, apply it to our
copy or argue that it does not matter, and set the new hash."""

RELIED_ON: tuple[Callable[..., Any], ...] = (
    FlowControl.pause_reading,
    FlowControl.resume_reading,
    FlowControl.pause_writing,
    FlowControl.resume_writing,
    HttpToolsProtocol.__init__,
    HttpToolsProtocol.shutdown,
    RequestResponseCycle.__init__,
    RequestResponseCycle.run_asgi,
    RequestResponseCycle.send,
    RequestResponseCycle.receive,
    uvicorn.server.Server.main_loop,
)
"""Methods that are called as they are, and whose effects on the attributes of a connection our code knows."""


def methods() -> dict[str, Callable[..., Any]]:
    """uvicorn's methods that ours replace or extend, and those of RELIED_ON, by qualified name."""
    found = {method.__qualname__: method for method in RELIED_ON}
    for ours, theirs in (
        (RequestReader, HttpToolsProtocol),
        (WatchedProtocol, HttpToolsProtocol),
        (ShortcutProtocol, HttpToolsProtocol),
        (Server, uvicorn.server.Server),
    ):
        for name in vars(ours):
            method = vars(theirs).get(name)
            if inspect.isfunction(method):
                found[method.__qualname__] = inspect.unwrap(method)
    return found


def digest(method: Callable[..., Any]) -> str:
    """Hash of a method's source."""
    return hashlib.sha256(textwrap.dedent(inspect.getsource(method)).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", sorted(HASHES))
def test_an_upstream_method_is_unchanged(name: str) -> None:
    """A release that changes it needs a look at our copy before it is used."""
    assert digest(methods()[name]) == HASHES[name]


def test_every_replaced_method_is_watched() -> None:
    """A new override gets a hash, one that is gone loses it."""
    assert sorted(methods()) == sorted(HASHES)
