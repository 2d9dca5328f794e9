"""Clients on the loopback address, for servers that run in the test's own event loop."""

import asyncio
import socket
import struct


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is reset when it is aborted: a plain close looks like a client that still reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: socket.socket = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return reader, writer
