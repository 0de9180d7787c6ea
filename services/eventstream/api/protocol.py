"""HTTP on the wire: uvicorn's protocol, with two things changed.

One write an answer: uvicorn hands head and body to the transport one after the other, and each
becomes a system call (and often a packet); here what is written in one turn of the event loop goes
out together. And what is not HTTP at all never reaches the application, but is answered with a
problem document like every other mistake.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from eventstream.api.problems import HttpReason, Problem, reply_of


def _not_http() -> bytes:
    problem = Problem(
        HttpReason.INVALID_HTTP, "The request, its head or its framing is not valid HTTP/1.1"
    )
    reply = reply_of(problem, {"path": ""}, "")
    head = b"".join(b"%s: %s\r\n" % pair for pair in reply.raw_headers)
    return b"HTTP/1.1 400 Bad Request\r\n%sconnection: close\r\n\r\n%s" % (head, reply.body)


NOT_HTTP: Final = _not_http()


class CorkedTransport(asyncio.Transport):
    """Gathers writes until the end of the loop's turn; everything else is the real transport's."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take data; it is sent when the loop's turn ends."""
        if not data:
            return
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(data)

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered and not self._transport.is_closing():
            self._transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def close(self) -> None:
        """Send what was gathered, then close."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        self._gathered.clear()
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol over a corked transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CorkedTransport(transport, self.loop))

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be read as HTTP, unless an answer is on its way, and hang up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(NOT_HTTP)
        self.transport.close()
