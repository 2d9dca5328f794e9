"""Clients that do what they should not, on sockets of their own."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.support.events import message_sid
from tests.support.serving import FORM, PATH, Tracker, callback, sign

HALF_A_HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Ty".encode()
HALF_A_BODY = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 60000\r\n\r\nMessageSid=".encode()
NOTHING = b""


def allow_descriptors() -> None:
    """As many connections as the machine lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def connections(tracker: Tracker, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has sent these bytes and then nothing."""
    allow_descriptors()
    with ExitStack() as stack:
        found: list[socket.socket] = []
        for _ in range(number):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", tracker.port), timeout=30))
            each.sendall(sent)
            found.append(each)
        yield found


def request(tracker: Tracker, status: str, number: int) -> bytes:
    """The bytes of a good callback."""
    params = callback(status, message_sid(number))
    body = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in params.items())
    signature = sign(tracker.webhook_url, list(params.items()))
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{tracker.port}\r\nContent-Type: {FORM}\r\nX-Twilio-Signature: {signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(client: socket.socket) -> bytes:
    """What comes, up to the end of an answer without a body of its own, or of the connection; empty: it was closed."""
    received = b""
    while not received.endswith((b"<Response/>", b"}")):
        try:
            data = client.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            break
        received += data
    return received


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection by now. Takes what it sent."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def worker(tracker: Tracker) -> psutil.Process:
    """The server's only web worker."""
    (found,) = tracker.children("tracker.web.worker")
    return found


def unread_bytes(tracker: Tracker, client: socket.socket) -> int:
    """What the server's end of this connection holds and the server has not read yet (proc_pid_net(5), tcp: rx_queue)."""
    ends = f"{tracker.port:04X}", f"{client.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local.rpartition(":")[2], remote.rpartition(":")[2]) == ends:
            return int(queues.rpartition(":")[2], 16)
    raise AssertionError("there is no such connection")
