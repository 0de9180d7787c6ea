"""Hit rate and near misses of the last minutes, and the advice that workers keep in the cache.

Counters and the cache's own histogram only ever grow (the histogram: within an hour's hash), so a
window is a difference. It begins anew with the process: decisions ask for a number of look-ups, not
for a time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from redis.asyncio import RedisCluster

from eventstream.cache.keys import CacheKeys
from eventstream.cache.published import PublishedAdvice
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.results import StreamCounters
from eventstream.spec import BUILT_IN_TASK_TYPES, StreamSpec
from eventstream_operator.observe.observation import CacheWindow

WINDOW_SECONDS: Final = 300.0
_HOUR_SECONDS: Final = 3600
_NEAR_MISS: Final = "near_miss|"

NearMisses = Mapping[int, int]
"""Similarity in hundredths -> refused candidates."""


@dataclass(frozen=True, slots=True)
class CacheReading:
    """What the cache says of one stream. `advice`: None where workers have drawn none yet."""

    near_misses: NearMisses
    """Since this process began."""
    advice: PublishedAdvice | None


class CacheReader:
    """Reads the cache Redis, for all streams in one round trip. Raises StoreUnavailable."""

    def __init__(
        self, redis: AsyncRedis | RedisCluster, prefix: str, *, unix_clock: Callable[[], float]
    ) -> None:
        self._redis = redis
        self._keys = CacheKeys(prefix)
        self._unix_clock = unix_clock
        self._seen: dict[str, Counter[int]] = {}
        self._totals: dict[str, Counter[int]] = {}

    async def read(self, streams: Mapping[str, StreamSpec]) -> dict[str, CacheReading]:
        """One reading for each of `streams` that has a cache."""
        hour = int(self._unix_clock()) // _HOUR_SECONDS
        cached = {stream: spec for stream, spec in streams.items() if spec.cache.enabled}
        asked = [
            (stream, self._keys.similarities(stream, task, each))
            for stream, spec in cached.items()
            for task in dict.fromkeys((spec.task.type, *BUILT_IN_TASK_TYPES))
            # What was looked up just before the full hour is written just after it.
            for each in (hour - 1, hour)
        ]
        async with reading_or_writing("observing the cache"):
            pipe = self._redis.pipeline(transaction=False)
            for stream in cached:
                pipe.get(self._keys.advice(stream))
            for _, key in asked:
                pipe.hgetall(key)
            replies = await pipe.execute()
        seen = {}
        for (stream, key), reply in zip(asked, replies[len(cached) :], strict=True):
            counts = _near_misses(reply)
            seen[key] = counts
            # An hour that was not seen before counts in whole only once there is a last time.
            before = self._seen.get(key, Counter() if self._seen else counts)
            self._totals.setdefault(stream, Counter()).update(counts - before)
        self._seen = seen
        return {
            stream: CacheReading(dict(self._totals.get(stream, {})), PublishedAdvice.decode(advice))
            for stream, advice in zip(cached, replies, strict=False)
        }


class HitRate:
    """One stream's window."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int, NearMisses]] = deque()

    def add(self, now: float, counters: StreamCounters, near: NearMisses) -> CacheWindow:
        """The window that ends `now` (monotonic seconds)."""
        hits, look_ups = counters.hits, counters.hits + counters.misses
        if self._samples and look_ups < self._samples[-1][2]:
            self._samples.clear()  # Counted anew: the store lost its data.
        if not self._samples or now - self._samples[-1][0] >= 1:
            self._samples.append((now, hits, look_ups, near))
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()
        began, hits_then, look_ups_then, near_then = self._samples[0]
        refused = {
            bucket / 100: count - near_then.get(bucket, 0)
            for bucket, count in sorted(near.items())
            if count > near_then.get(bucket, 0)
        }
        return CacheWindow(
            seconds=now - began,
            look_ups=look_ups - look_ups_then,
            hits=hits - hits_then,
            near_misses=sum(refused.values()),
            near_misses_by_similarity=refused,
        )


def _near_misses(fields: Mapping[bytes, bytes]) -> Counter[int]:
    found: Counter[int] = Counter()
    for name, value in fields.items():
        text = name.decode("utf-8", "replace")
        if text.startswith(_NEAR_MISS) and text.removeprefix(_NEAR_MISS).isdecimal():
            found[int(text.removeprefix(_NEAR_MISS))] += int(value)
    return found
