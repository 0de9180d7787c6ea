"""A TCP proxy between a service and what it needs, that can spoil the link on purpose.

It passes bytes on, later (`delay`), not at all (`hang`), or for a while only: after so many bytes
of an answer the connection is cut (`cut_answers`), which is how a link breaks in the middle of a
reply. `refuse` answers no connection, `reset` breaks those that are there, `forget` leaves them
silent for good, as a firewall does or a host that is gone. It knows no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.support.redis_server import free_port

CHUNK_BYTES = 65_536


@dataclass(eq=False)
class _Link:
    """One connection through the proxy; `answered`: bytes that came back on it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    answered: int = 0
    forgotten: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Proxy:
    """Listens on a port of its own for one address behind it; a context manager with a thread."""

    def __init__(self, port_behind: int, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self._behind = port_behind
        self._delay_seconds = 0.0
        self._cut_after: int | None = None
        self._cuts_left = 0
        self._refusing = False
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flowing: asyncio.Event
        self.connections = 0
        """How many were made through it so far."""
        self.cuts = 0
        """How many it has cut in the middle of an answer."""
        self.held = 0
        """How many pieces of data it holds back now."""

    def redis_url(self, database: int) -> str:
        """A Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    # -- what a test does to the link ------------------------------------------------------

    def delay(self, seconds: float) -> None:
        """Bytes take so much longer, each way; 0: none."""
        self._delay_seconds = seconds

    def cut_answers(self, after_bytes: int, *, times: int) -> None:
        """Cut the next `times` connections once `after_bytes` of answers have come through."""

        async def set_up() -> None:
            self._cut_after, self._cuts_left = after_bytes, times
            for link in self._links:
                link.answered = 0

        self._do(set_up())

    def hang(self) -> None:
        """Half open: connections stay, and nothing comes through any more."""
        self._do(self._set_flowing(False))

    def refuse(self) -> None:
        """Refuse connections, and break those that are there."""

        async def close() -> None:
            self._refusing = True
            if self._server is not None:
                self._server.close()
            self._break_links()

        self._do(close())

    def reset(self) -> None:
        """Break the connections that are there; new ones are welcome."""

        async def break_links() -> None:
            self._break_links()

        self._do(break_links())

    def forget(self) -> None:
        """Nothing comes through on the connections that are there, ever; new ones are welcome."""

        async def forget_links() -> None:
            for link in self._links:
                link.forgotten = True

        self._do(forget_links())

    def mend(self) -> None:
        """Everything as it should be, but for what was forgotten; what hung comes through now."""

        async def open_again() -> None:
            self._delay_seconds, self._cut_after, self._cuts_left = 0.0, None, 0
            if self._refusing:
                self._refusing = False
                self._server = await self._listen()

        self._do(open_again())
        self._do(self._set_flowing(True))

    # -- inside ----------------------------------------------------------------------------

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._behind)
        except (OSError, asyncio.CancelledError):
            _reset(client)
            return
        link = _Link(client, server)
        self._links.add(link)
        link.tasks = {
            asyncio.create_task(self._pass(link, reader, server, answers=False)),
            asyncio.create_task(self._pass(link, answers, client, answers=True)),
        }
        try:
            await asyncio.wait(link.tasks)
        finally:
            self._links.discard(link)
            for writer in (client, server):
                if self._refusing:
                    # Nobody will flush what it still holds, so it would never be closed.
                    writer.transport.abort()
                else:
                    writer.close()

    async def _pass(
        self,
        link: _Link,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                self.held += 1
                try:
                    if self._delay_seconds:
                        await asyncio.sleep(self._delay_seconds)
                    await self._flowing.wait()
                finally:
                    self.held -= 1
                if link.forgotten:
                    continue
                if answers and self._cut_after is not None and self._cuts_left > 0:
                    rest = self._cut_after - link.answered
                    link.answered += len(data)
                    if rest < len(data):
                        sink.write(data[: max(0, rest)])
                        await sink.drain()
                        self._cuts_left -= 1
                        self.cuts += 1
                        self._break(link)
                        return
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

    def _break_links(self) -> None:
        for link in list(self._links):
            self._break(link)

    def _break(self, link: _Link) -> None:
        _reset(link.client)
        _reset(link.server)
        for task in link.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Proxy:
        self._thread.start()

        async def begin() -> None:
            self._flowing = asyncio.Event()
            self._flowing.set()
            self._server = await self._listen()

        self._do(begin())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()

        async def let_end() -> None:
            for _ in range(5):
                # A connection that was accepted just now has begun then, and is closed at its end.
                await asyncio.sleep(0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # what was closed is closed one turn later

        self._do(let_end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, as a broken link does: no end of file is sent."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
