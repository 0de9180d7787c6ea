"""Everything that the state Redis says, of all streams, in one round trip a pass.

Reading only: what the replies mean is told by the module of each signal. A stream whose keys hold
what can't be read is left out, so that the others have theirs. Heartbeats are asked for
by the names of the pass before (a new worker is seen one pass later), and buckets by what its
heartbeats said, so that one round trip does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from eventstream.heartbeat import WorkerHeartbeat
from eventstream.kafka_lag import PartitionLag, read_figures
from eventstream.keys import INBOX_GROUP, Keys, queues_of
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.results import StreamCounters, read_counters
from eventstream_operator.observe.backlog import add_queue, depth_of
from eventstream_operator.observe.heartbeats import read_heartbeats
from eventstream_operator.observe.observation import InboxDepth
from eventstream_operator.observe.usage import DayUsage, read_usage

_COMMON_REPLIES = 3
_QUEUE_REPLIES = 5
_HASH_REPLIES = 3

log = get_logger(__name__)


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
        self._unreadable: set[str] = set()

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
        for reply in replies[:_COMMON_REPLIES]:
            if isinstance(reply, Exception):
                async with reading_or_writing("observing the streams"):
                    raise reply
        seconds, microseconds = replies[0]
        redis_now = seconds + microseconds / 1_000_000
        names = cast(list[bytes], replies[1])
        self._workers = tuple(name.decode("utf-8", "replace") for name in names)
        beats = cast(list[bytes | None], replies[2]) if workers else []
        if self._workers and not workers:
            # The first look knew no names to ask about, and figures without workers mislead.
            async with reading_or_writing("observing the workers"):
                found_now = await self._redis.mget([keys.worker(name) for name in self._workers])
            beats = cast(list[bytes | None], found_now)
        found = {}
        problem: Exception | None = None
        rest = iter(replies[_COMMON_REPLIES:])
        for stream in streams:
            queues = [[next(rest) for _ in range(_QUEUE_REPLIES)] for _ in queues_of(stream)]
            hashes = [next(rest) for _ in range(_HASH_REPLIES)]
            try:
                found[stream] = _stream_state(queues, hashes, redis_now)
            except Exception as error:  # whatever somebody wrote there
                if stream not in self._unreadable:
                    log.error("stream_unreadable", stream=stream, exc_info=error)
                self._unreadable.add(stream)
                problem = error
        self._unreadable -= found.keys()
        if problem is not None and not found:
            # It is not the one stream: what all of them can't be asked for, Redis refuses.
            async with reading_or_writing("observing the streams"):
                raise problem
        return State(redis_now, found, read_heartbeats(beats), _hashes(buckets, rest))


def _hashes(buckets: tuple[str, ...], replies: Iterator[Any]) -> dict[str, Mapping[bytes, bytes]]:
    """One that is no hash says nothing, as one that is not there."""
    return {
        bucket: {} if isinstance(reply, Exception) else reply
        for bucket, reply in zip(buckets, replies, strict=True)
    }


def _stream_state(queues: list[list[Any]], hashes: list[Any], redis_now: float) -> StreamState:
    for reply in (*hashes, *(reply for queue in queues for reply in queue)):
        # An inbox that nobody has claimed from yet has no group: nothing is pending there.
        if isinstance(reply, Exception) and "NOGROUP" not in str(reply):
            raise reply
    counters, lags, usage = hashes
    return StreamState(
        inbox=depth_of(queues, redis_now),
        counters=read_counters(counters),
        lags=read_figures(lags),
        usage=read_usage(usage),
    )
