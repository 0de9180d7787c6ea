"""A stream's lag, for whoever decides about the number of workers.

Lag is the end of a partition less the position up to which everything is safe: what lies in Kafka
and in no inbox yet. The end is asked of the broker each time: what a client remembers of it does
not move while its partitions are paused, which is just when it matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from eventstream.keys import SCHEMA, Keys
from eventstream.metrics import KAFKA_LAG
from eventstream.redis_client import AsyncRedis, reading_or_writing

KEEP_SECONDS: Final = 60
"""Figures of consumers that are gone vanish; `measured_at` says how old one is before that."""
LAG_FRESH_SECONDS: Final = 15.0
"""Consumers measure every second; older than this, nobody measures."""


class PartitionLag(BaseModel):
    """One field of the hash `kafka_lag:{stream}`, named `topic:partition`."""

    model_config = ConfigDict(frozen=True)

    schema_number: int = SCHEMA
    lag: int
    end: int
    position: int
    measured_at: float
    """Seconds since the epoch."""


def lags(
    positions: Mapping[int, int], ends: Mapping[int, int], measured_at: float
) -> dict[int, PartitionLag]:
    """Partition -> lag, of the partitions that both sides know.

    An end below zero is none: no leader told it. A lag is never below zero: a broker may state an
    end that is behind what it has given already.
    """
    return {
        partition: PartitionLag(
            lag=max(0, ends[partition] - position),
            end=ends[partition],
            position=position,
            measured_at=measured_at,
        )
        for partition, position in positions.items()
        if ends.get(partition, -1) >= 0
    }


async def publish(
    redis: AsyncRedis, keys: Keys, stream: str, topic: str, measured: Mapping[int, PartitionLag]
) -> None:
    """Write the figures where others look for them. Raises StoreUnavailable."""
    for partition, figure in measured.items():
        KAFKA_LAG.labels(stream, topic, str(partition)).set(figure.lag)
    if not measured:
        return
    key = keys.kafka_lag(stream)
    fields = {
        f"{topic}:{partition}": each.model_dump_json() for partition, each in measured.items()
    }
    async with reading_or_writing("publishing Kafka lag"):
        pipe = redis.pipeline(transaction=False)
        pipe.hset(key, mapping=fields)  # type: ignore[arg-type]
        pipe.expire(key, KEEP_SECONDS)
        await pipe.execute()


def read_figures(stored: Mapping[bytes, bytes]) -> dict[str, PartitionLag]:
    """A `kafka_lag:{stream}` hash; figures that can't be read (a newer version's) are left out."""
    found = {}
    for name, packed in stored.items():
        try:
            found[name.decode()] = PartitionLag.model_validate_json(packed)
        except ValueError:  # a name that is no text, or what pydantic refuses
            continue
    return found


def total_lag(fields: Mapping[bytes, bytes], topic: str, now: float) -> int | None:
    """The sum over the topic's partitions; None unless each of them is measured now.

    A partition that nobody measures may hide any amount: a sum of the others would count it as 0.
    """
    total = None
    for name, stored in fields.items():
        if name.rpartition(b":")[0] != topic.encode():
            continue  # Of the topic that the stream read before.
        try:
            partition = PartitionLag.model_validate_json(stored)
        except ValidationError:
            return None  # Written by a newer consumer, in a form that is not known here.
        if now - partition.measured_at > LAG_FRESH_SECONDS:
            return None
        total = (total or 0) + partition.lag
    return total


async def read(redis: AsyncRedis, keys: Keys, stream: str) -> dict[str, PartitionLag]:
    """`topic:partition` -> the last figure of whichever consumer holds it, where it can be read.

    Raises StoreUnavailable.
    """
    async with reading_or_writing("reading Kafka lag"):
        stored = cast(dict[bytes, bytes], await redis.hgetall(keys.kafka_lag(stream)))
    return read_figures(stored)


def forget(stream: str, topic: str, partitions: Iterable[int]) -> None:
    """Drop the metric of partitions that this process does not hold any more."""
    for partition in partitions:
        KAFKA_LAG.remove(stream, topic, str(partition))
