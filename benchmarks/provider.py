"""A model provider of the OpenAI protocol that costs next to no CPU and takes a settable time.

Run as a process of its own: `python -m benchmarks.provider PORT [--p50-ms X] [--sigma S]`. It
speaks just enough HTTP/1.1 (keep-alive, Content-Length) for clients that do so too. Its latency is
fixed, or log-normal around its median; the numbers come from a seed, so that both sides of a pair
wait for the same. Vectors are unit vectors made from a digest of the text.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
import random
import signal

import numpy as np
import orjson

DIMENSION = 384
MODEL = "bench-model"
EMBEDDING_MODEL = "bench-embedding"
KEY = "bench-key-not-a-secret"
TAIL_SIGMA = math.log(10) / 2.326
"""Log-normal with a 99th percentile of ten times the median (2.326: its normal quantile)."""


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """A unit vector that depends on nothing but the text."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    vector = np.random.default_rng(seed).standard_normal(dimension)
    numbers: list[float] = (vector / np.linalg.norm(vector)).astype(np.float32).tolist()
    return numbers


def environment(port: int) -> dict[str, str]:
    """Settings that make the services ask this provider."""
    return {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": KEY,
        "OPENAI_MODEL": MODEL,
        "OPENAI_EMBEDDING_MODEL": EMBEDDING_MODEL,
        "VECTOR_DIMENSION": str(DIMENSION),
    }


def chat_body(answer: str) -> bytes:
    """What the protocol's chat endpoint answers."""
    return orjson.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 90,
                "completion_tokens": 12,
                "total_tokens": 102,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }
    )


class Provider(asyncio.Protocol):
    """One connection; requests on it are answered in turn."""

    def __init__(self, seconds: list[float], counter: list[int]) -> None:
        self._seconds = seconds
        self._counter = counter
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/embeddings"):
            asked = orjson.loads(body)["input"]
            texts = asked if isinstance(asked, list) else [asked]
            data = [
                {"object": "embedding", "index": index, "embedding": vector_of(text)}
                for index, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": 8 * len(texts), "total_tokens": 8 * len(texts)}
            self._write(
                orjson.dumps(
                    {"object": "list", "model": EMBEDDING_MODEL, "data": data, "usage": usage}
                )
            )
            return
        number = self._counter[0]
        self._counter[0] += 1
        seconds = self._seconds[number % len(self._seconds)]
        reply = chat_body("positive")
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._write, reply)
        else:
            self._write(reply)

    def _write(self, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )


async def serve(port: int, latencies_seconds: list[float]) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    counter = [0]
    server = await loop.create_server(
        lambda: Provider(latencies_seconds, counter), "127.0.0.1", port, backlog=4096
    )
    print("serving", flush=True)
    await stop.wait()
    server.close()


def latencies(p50_ms: float, sigma: float, count: int = 10_007) -> list[float]:
    """Seconds that the calls take, one after the other, in the same order with each start."""
    if not sigma:
        return [p50_ms / 1000]
    source = random.Random(7)
    return [p50_ms / 1000 * math.exp(sigma * source.gauss(0, 1)) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--p50-ms", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(serve(given.port, latencies(given.p50_ms, given.sigma)))


if __name__ == "__main__":
    main()
