"""HTTP on the wire: uvicorn's protocol over the parser in C, held to stricter rules.

One write an answer: uvicorn hands head and body to the transport one after the other, and each
becomes a system call (and often a packet); here what is written in one turn of the event loop goes
out together. What is not HTTP never reaches the application, but is answered with a problem
document like every other mistake. And what the parser itself leaves open is closed here: how long a
head and the framing of a body may be, how long a head may take, one Host a request, trailers that
are no headers, bodies of requests that would rather speak another protocol, how many requests may
wait for the answer to an earlier one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from eventstream.api.problems import HttpReason, Problem, reply_of

PIECE_BYTES: Final = 8 * 1024
HEAD_BYTES: Final = 32 * 1024
"""How much of a request's head may come after the piece that it begins in; and how much the framing
of a body (chunk sizes, extensions, trailers) may be beyond FRAMING_A_BYTE for each byte of it."""
FRAMING_A_BYTE: Final = 16
HEAD_SECONDS: Final = 20.0
"""How long a head may take, from its first byte."""
LINGER_SECONDS: Final = 1.0
LAST_ANSWER_SECONDS: Final = 5.0
"""How long who sends no more is still answered: time for all but a long poll. One who only closed
its sending half looks like one who left, and nobody waits for a result who has left."""
REQUESTS_WAITING: Final = 64
"""Requests on one connection that may wait for the answers to earlier ones."""
VERSIONS: Final = frozenset({"1.0", "1.1"})
WARNING: Final = "Invalid HTTP request received."


class Unacceptable(Exception):
    """Something that the parser lets pass. Its text says what, for the answer."""


def _not_http(what: str) -> bytes:
    problem = Problem(HttpReason.INVALID_HTTP, f"The request is not valid HTTP/1.1: {what}")
    reply = reply_of(problem, {"path": ""}, "")
    head = b"".join(b"%s: %s\r\n" % pair for pair in reply.raw_headers)
    return b"HTTP/1.1 400 Bad Request\r\n%sconnection: close\r\n\r\n%s" % (head, reply.body)


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

    def write_eof(self) -> None:
        """Send what was gathered, then the end; what comes in is still read."""
        self._send()
        self._transport.write_eof()

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


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol over a corked transport; see the module."""

    head_seconds = HEAD_SECONDS
    last_answer_seconds = LAST_ANSWER_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._begin_parsing()
        self._running: RequestResponseCycle | None = None
        self._heads = 0
        self._in_head = True
        self._wants_other_protocol = False
        self._hosts = 0
        self._framing_bytes = 0
        self._body_bytes = 0
        self._refusal: bytes | None = None
        self._input_ended = False
        self._head_timer: asyncio.TimerHandle | None = None

    def _begin_parsing(self) -> None:
        # The parser's strictest: uvicorn lets more come after a request that ends the connection.
        self.parser = httptools.HttpRequestParser(self)

    # -- the connection ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CorkedTransport(transport, self.loop))
        # Who connects and says nothing is let go like who has no more to ask.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of this connection, not the last alone."""
        self._stop_waiting()
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more comes: what was asked for whole is answered, then the connection closed."""
        running = self._running
        if running is None or running.response_complete or running.more_body:
            self.transport.close()
        elif not self._input_ended:
            self._input_ended = True
            self.loop.call_later(self.last_answer_seconds, self.transport.close)
        return self._input_ended

    def data_received(self, data: bytes) -> None:
        """Feed the parser, in pieces that are held to the bounds."""
        self._unset_keepalive_if_required()
        if len(data) <= PIECE_BYTES:
            self._take(data)
        else:
            for start in range(0, len(data), PIECE_BYTES):
                self._take(data[start : start + PIECE_BYTES])

    def _take(self, piece: bytes) -> None:
        if self._refusal is not None:
            return  # What follows nonsense is not read.
        heads, body_bytes = self._heads, self._body_bytes
        try:
            self._feed(piece)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(str(cause if isinstance(cause, Unacceptable) else error))
            return
        awaits_head = self._in_head
        if heads == self._heads:
            self._framing_bytes += len(piece) - (self._body_bytes - body_bytes)
            if self._framing_bytes > HEAD_BYTES + FRAMING_A_BYTE * self._body_bytes:
                self._refuse(f"its {'head' if self._in_head else 'framing'} is too long")
                return
            # Between requests there may be empty lines, which are no reason to stay.
            awaits_head = awaits_head or self._answered
        if awaits_head and self._head_timer is None:
            self._await_head()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._begin_parsing()
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """The head of a request that would rather speak another protocol, as one that would not.

        No other is spoken here, and a server may ignore the wish. But the parser takes such a
        request to have no body, and would read its body as the next request.
        """
        headers = [pair for pair in self.headers if pair[0] != b"upgrade"]
        lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        method, version = self.scope["method"].encode(), self.scope["http_version"].encode()
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, lines)

    # -- what the parser finds -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if len(self.pipeline) >= REQUESTS_WAITING:
            raise Unacceptable(f"more than {REQUESTS_WAITING} requests wait for earlier answers")
        self._heads += 1
        self._in_head = True
        self._hosts = self._framing_bytes = self._body_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what stands after a chunked body and is none."""
        if not self._in_head:
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise Unacceptable("its Transfer-Encoding is not chunked")
        # Blanks around a value are not part of it (RFC 9110, 5.5); the parser leaves those behind.
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """A head is whole."""
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise Unacceptable(f"its version is {version}")
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise Unacceptable(f"it has {self._hosts} Host headers")
        method = self.parser.get_method()
        if method == b"CONNECT" or not self.url.startswith(b"/") or not self.url.isascii():
            raise Unacceptable("its target is not a path")
        self._wants_other_protocol = self.parser.should_upgrade()
        if self._wants_other_protocol:
            self.scope["method"] = method.decode("ascii")
            self.scope["http_version"] = version
            return  # It is read once more, without that wish.
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole, with its body."""
        if not self._wants_other_protocol:
            super().on_message_complete()

    # -- answers -------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is whole: on with the next request, or with what could not be read."""
        if not self.pipeline and not self.transport.is_closing():
            if self._refusal is not None:
                self._hang_up(self._refusal)
            elif self._input_ended:
                self.transport.close()
        super().on_response_complete()

    def _refuse(self, what: str) -> None:
        """Answer what can't be read as HTTP, after the requests before it, and hang up."""
        self.logger.warning(WARNING)
        self._stop_waiting()
        self._refusal = _not_http(what)
        unread = self.cycle
        if unread is not None and unread.more_body:
            if self.pipeline and self.pipeline[0][0] is unread:
                self.pipeline.popleft()  # It waited, and has no whole body: it is what is refused.
            elif not unread.response_complete:
                if unread.response_started:
                    self.transport.close()
                else:
                    # The application is told, and what it still says goes nowhere.
                    unread.disconnected = True
                    unread.waiting_for_100_continue = False
                    unread.message_event.set()
                    self._hang_up(self._refusal)
                return
        if self._answered:
            self._hang_up(self._refusal)

    def _hang_up(self, refusal: bytes) -> None:
        """Answer, and read what still comes for a moment: closed at once, unread bytes would make
        the kernel reset the connection, and the client lose the answer.
        """
        self.transport.write(refusal)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _answered(self) -> bool:
        return self._running is None or self._running.response_complete

    # -- a head's time -------------------------------------------------------------------------

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._answered:
            self._await_head()  # While an answer is under way, little is read.
        elif not (self._heads and self._in_head):
            self.transport.close()  # No head was begun, so there is nothing to refuse.
        elif not self.transport.is_closing():
            self._refuse(f"its head was not whole after {self.head_seconds:g} seconds")
