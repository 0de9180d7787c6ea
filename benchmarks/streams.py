"""Streams and texts for benchmarks, and waiting until their events are answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

import orjson
from confluent_kafka import Producer

from benchmarks.parts import RedisServer
from eventstream.keys import Keys
from eventstream.redis_client import connect
from eventstream.registry import Registry
from eventstream.results import read_counters
from eventstream.spec import StreamSpec

KEYS = Keys()
LONGEST_SECONDS = 180.0
_OPENINGS = (
    "The parcel came",
    "My order arrived",
    "Delivery was",
    "The package turned up",
    "It reached my café",
)
_MIDDLES = (
    "two days late",
    "in perfect shape",
    "with a broken lid",
    "without the receipt",
    "on Sunday",
)
_ENDINGS = (
    "and nobody at the shop answered my three mails about it.",
    "but the support was lovely and sent a new one at once.",
    "and Señor Ibáñez gave me my money back the same day.",
)


def texts(count: int, first: int = 0) -> list[str]:
    """So many texts of about 100 characters, no two of them alike."""
    made = []
    for number in range(first, first + count):
        opening = _OPENINGS[number % 5]
        middle = _MIDDLES[number // 5 % 5]
        ending = _ENDINGS[number // 25 % 3]
        made.append(f"{opening} {middle} (order {number:07d}) {ending}")
    return made


async def register(state: RedisServer, **streams: StreamSpec) -> None:
    """Write streams into the registry."""
    client = connect(state.url(2), timeout_seconds=10)
    try:
        await Registry(client, KEYS).write(streams)
    finally:
        await client.aclose()


class Answers:
    """How many events of a stream are answered."""

    def __init__(self, state: RedisServer, stream: str) -> None:
        self._client = state.client(2)
        self._key = KEYS.counters(stream)

    def count(self) -> int:
        """Events answered so far; raises when one has failed."""
        answered, failed = self._client.hmget(self._key, "answered", "failed")
        if failed:
            raise RuntimeError(f"{int(failed)} events failed: this is no figure")
        return int(answered or 0)

    def sources(self) -> str:
        """Where the answers came from."""
        counters = read_counters(cast(dict[bytes, bytes], self._client.hgetall(self._key)))
        return (
            f"{counters.hits_exact} exact, {counters.hits_semantic} semantic,"
            f" {counters.hits_flight} in flight, {counters.misses} from the model"
        )

    def wait_for(self, count: int) -> float:
        """Returns the time (perf_counter) at which so many were answered."""
        give_up = time.monotonic() + LONGEST_SECONDS
        while (answered := self.count()) < count:
            if time.monotonic() > give_up:
                raise RuntimeError(f"only {answered} of {count} events were answered in time")
            time.sleep(0.005)
        return time.perf_counter()


def produce(producer: Producer, topic: str, values: Sequence[str], tag: str) -> None:
    """Write one record a text, acknowledged, each with an id of its own."""
    for number, text in enumerate(values):
        value = orjson.dumps(
            {
                "event_id": f"{tag}-{number}",
                "text": text,
                "task_type": "sentiment_analysis",
                "metadata": {"shop": "north"},
            }
        )
        while True:
            try:
                producer.produce(topic, value)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(30)
