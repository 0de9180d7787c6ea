"""A TCP proxy that makes a server far away: `python -m benchmarks.proxy PORT TARGET_PORT MS`.

What a client sends arrives so many milliseconds later, in order; answers come back at once: so each
round trip takes that much longer, and a pipeline of many commands takes it once.
"""

from __future__ import annotations

import asyncio
import signal
import sys


class _Answers(asyncio.Protocol):
    """The side of the server: what comes goes back at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.close()


class _Requests(asyncio.Protocol):
    """The side of the client: what comes is handed on later."""

    def __init__(self, target_port: int, seconds: float) -> None:
        self._target_port = target_port
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Future[asyncio.Transport] = self._loop.create_future()
        self._client: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._client = transport
        transport.pause_reading()
        self._connecting = self._loop.create_task(self._connect(transport))

    async def _connect(self, client: asyncio.Transport) -> None:
        server, _ = await self._loop.create_connection(
            lambda: _Answers(client), "127.0.0.1", self._target_port
        )
        self._server.set_result(server)
        client.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._seconds, self._server.result().write, data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._server.done():
            self._loop.call_later(self._seconds, self._server.result().close)


async def serve(port: int, target_port: int, milliseconds: float) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(
        lambda: _Requests(target_port, milliseconds / 1000), "127.0.0.1", port
    )
    print("serving", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
