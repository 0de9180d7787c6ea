"""A load of HTTP requests over connections that stay open, at next to no CPU of its own.

Each connection sends its next request when the answer to the last has come. It reads answers that
have a Content-Length, which all servers here send.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.figures import quantile

FIRST_ANSWER_SECONDS = 30.0
"""A server that has just started may take its time for the first one."""
MOST_REFUSED = 0.01
"""A machine that is busy with other things makes a server refuse one now and then."""


@dataclass(slots=True)
class Load:
    """What a load met."""

    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return len(self.latencies_ms) / self.seconds

    def latency_ms(self, share: float) -> float:
        """The latency that `share` (0 to 1) of the requests kept."""
        return quantile(self.latencies_ms, share)


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Loading) -> None:
        self._load = load
        self._buffer = bytearray()
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        self._sent_at = time.perf_counter()
        self.transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        del self._buffer[: end + 4 + length]
        self._load.met((time.perf_counter() - self._sent_at) * 1000, head[9:10] == b"2")
        if not self._load.over:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()


class _Loading:
    def __init__(self, next_request: Callable[[], bytes]) -> None:
        self.next_request = next_request
        self.result = Load(0.0)
        self.over = False
        self.broken = 0

    def met(self, milliseconds: float, good: bool) -> None:
        if self.over:
            return
        self.result.latencies_ms.append(milliseconds)
        self.result.refused += not good

    def lost(self) -> None:
        self.broken += not self.over


async def load(
    port: int, next_request: Callable[[], bytes], *, connections: int, seconds: float
) -> Load:
    """Load a server for so long; raises when it refused more than a few or cut a connection."""
    loop = asyncio.get_running_loop()
    loading = _Loading(next_request)
    began = time.perf_counter()
    transports = [
        (await loop.create_connection(lambda: _Connection(loading), "127.0.0.1", port))[0]
        for _ in range(connections)
    ]
    await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
    while not loading.result.latencies_ms and time.perf_counter() - began < FIRST_ANSWER_SECONDS:
        await asyncio.sleep(0.05)
    loading.result.seconds = time.perf_counter() - began
    loading.over = True
    for transport in transports:
        transport.close()
    answers = len(loading.result.latencies_ms)
    if loading.broken or loading.result.refused > answers * MOST_REFUSED:
        raise RuntimeError(
            f"{loading.result.refused} requests were refused, {loading.broken} connections cut,"
            f" {answers} answers came: this is no figure"
        )
    return loading.result


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A POST request as it goes over the wire."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body
