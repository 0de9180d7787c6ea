"""HTTP on the wire: uvicorn's protocol over the parser in C, with three things changed.

One write an answer: uvicorn hands head and body to the transport one after the other, and each
becomes a system call (and often a packet); here what is written in one turn of the event loop goes
out together. A request's head has a bound, which the parser itself does not have. And what is not
HTTP at all never reaches the application, but is answered with a problem document like every other
mistake.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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


HEAD_BYTES: Final = 32 * 1024
"""How much of a request's head may come, after its first piece, before it is whole."""


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol over a corked transport."""

    _heads_begun = 0
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CorkedTransport(transport, self.loop))
        # A request with two lengths is refused by the edge, which says so and hangs up.
        self.parser.set_dangerous_leniencies(
            lenient_data_after_close=True, lenient_chunked_length=True
        )

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that does not end is ended here."""
        begun = self._heads_begun
        super().data_received(data)
        if not self._in_head or begun != self._heads_begun:
            return  # What a head begins with is at most one read of the socket.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._heads_begun += 1
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be read as HTTP, unless an answer is on its way, and hang up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(NOT_HTTP)
        self.transport.close()
