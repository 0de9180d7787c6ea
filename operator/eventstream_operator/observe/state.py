"""Everything that the state Redis says, of all streams, in one round trip a pass.

Reading only: what the replies mean is told by the module of each signal. Heartbeats are asked for
by the names of the pass before (a new worker is seen one pass later), and buckets by what its
heartbeats said, so that one round trip does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from eventstream.heartbeat import WorkerHeartbeat
from eventstream.kafka_lag import PartitionLag
from eventstream.keys import INBOX_GROUP, Keys, queues_of
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.results import StreamCounters, read_counters
from eventstream_operator.observe.backlog import add_queue, depth_of
from eventstream_operator.observe.heartbeats import read_heartbeats
from eventstream_operator.observe.kafka_lag import read_figures
from eventstream_operator.observe.observation import InboxDepth
from eventstream_operator.observe.usage import DayUsage, read_usage

_QUEUE_REPLIES = 4


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream's part."""

    inbox: InboxDepth
    counters: StreamCounters
    lags: Mapping[str, PartitionLag]
    """`topic:partition` -> what the consumer that holds it last said."""
    usage: DayUsage


@dataclass(frozen=True, slots=True)
class State:
    """One reading."""

    unix_now: float
    """Redis' own clock."""
    streams: Mapping[str, StreamState]
    heartbeats: tuple[WorkerHeartbeat, ...]
    buckets: Mapping[str, Mapping[bytes, bytes]]
    """Bucket of limits -> its hash; empty: nothing was counted or said lately."""


class StateReader:
    """Reads the state Redis. Raises StoreUnavailable."""

    def __init__(self, redis: AsyncRedis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._workers: tuple[str, ...] = ()

    async def read(
        self, streams: tuple[str, ...], *, unix_now: float, buckets: tuple[str, ...] = ()
    ) -> State:
        """The state of `streams`, and of the buckets of limits.

        `unix_now` says which UTC day's usage is asked for.
        """
        day = datetime.fromtimestamp(unix_now, UTC).strftime("%Y-%m-%d")
        keys = self._keys
        workers = self._workers
        async with reading_or_writing("observing the streams"):
            pipe = self._redis.pipeline(transaction=False)
            pipe.time()
            pipe.zrange(keys.workers, 0, -1)
            if workers:
                pipe.mget([keys.worker(name) for name in workers])
            else:
                pipe.echo("")
            for stream in streams:
                for queue in queues_of(stream):
                    add_queue(pipe, keys, queue, INBOX_GROUP)
                pipe.hgetall(keys.counters(stream))
                pipe.hgetall(keys.kafka_lag(stream))
                pipe.hgetall(keys.usage(stream, day))
            for bucket in buckets:
                pipe.hgetall(keys.limit(bucket))
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            # An inbox that nobody has claimed from yet has no group: nothing is pending there.
            if isinstance(reply, Exception) and "NOGROUP" not in str(reply):
                async with reading_or_writing("observing the streams"):
                    raise reply
        seconds, microseconds = replies[0]
        redis_now = seconds + microseconds / 1_000_000
        self._workers = tuple(name.decode() for name in cast(list[bytes], replies[1]))
        beats = cast(list[bytes | None], replies[2]) if workers else []
        if self._workers and not workers:
            # The first look knew no names to ask about, and figures without workers mislead.
            async with reading_or_writing("observing the workers"):
                found_now = await self._redis.mget([keys.worker(name) for name in self._workers])
            beats = cast(list[bytes | None], found_now)
        found = {}
        rest = iter(replies[3:])
        for stream in streams:
            queues = [[next(rest) for _ in range(_QUEUE_REPLIES)] for _ in queues_of(stream)]
            found[stream] = _stream_state(queues, [next(rest) for _ in range(3)], redis_now)
        return State(
            redis_now, found, read_heartbeats(beats), dict(zip(buckets, rest, strict=True))
        )


def _stream_state(queues: list[list[Any]], hashes: list[Any], redis_now: float) -> StreamState:
    counters, lags, usage = hashes
    return StreamState(
        inbox=depth_of(queues, redis_now),
        counters=read_counters(counters),
        lags=read_figures(lags),
        usage=read_usage(usage),
    )
