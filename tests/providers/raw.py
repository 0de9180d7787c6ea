"""A server that answers with given bytes, whole or not: what no well-behaved mock would send."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

Then = Literal["keep", "close", "reset", "hang"]


@dataclass
class RawRequest:
    """A request as it came: its first line, headers by lower-case name, body, and connection."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class RawServer:
    """Answers each request with `answer`, and then does `then` with the connection."""

    port: int = 0
    answer: bytes = b""
    first: list[bytes] = field(default_factory=list)
    """Answers that come before `answer`, one a request."""
    then: Then = "keep"
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.writers.add(writer)
        number = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append(RawRequest(first, headers, body, number))
                writer.write(self.first.pop(0) if self.first else self.answer)
                await writer.drain()
                if self.then == "reset":
                    # No lingering: closing sends a RST.
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                if self.then == "hang":
                    await reader.read()
                if self.then != "keep":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open -= 1
            self.writers.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def raw_server(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[RawServer]:
    """A server on this port (0: a free one) of this machine, until the end of the block."""
    server = RawServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in list(server.writers):
            writer.close()


def response(status: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer with its length; names of headers have _ for -."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body
