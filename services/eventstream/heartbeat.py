"""Workers' heartbeats in Redis: what `GET /workers` shows, without asking a worker anything."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ValidationError

from eventstream.keys import SCHEMA, Keys
from eventstream.redis_client import AsyncRedis, reading_or_writing


class ModelInUse(BaseModel):
    """A model that a worker may ask for a stream, and the shared bucket that limits it."""

    name: str
    """Provider and model, for people."""
    bucket: str
    """Its name in Redis. A digest stands in it for the account, never the key."""
    requests: int | None = None
    """The limit that the worker keeps to; None: the provider's own word rules."""
    requests_period_seconds: float = 60.0
    tokens: int | None = None
    """A minute."""


class WorkerHeartbeat(BaseModel):
    """What a worker says of itself every few seconds."""

    schema_number: int = SCHEMA
    name: str
    pid: int
    started_at: float
    beat_at: float
    """Unix seconds."""
    concurrency: int
    queues: list[str]
    registered_tasks: list[str]
    active_tasks: list[dict[str, Any]] = []
    """One a pool process that works now: {id, name, queue, held, since}."""
    stats: dict[str, Any] = {}
    """total: events finished; busy_seconds; children: pids; ..."""
    stopping: bool = False
    models: dict[str, list[ModelInUse]] = {}
    """Stream -> the models behind a limit that its events may be asked of, the stream's own first.
    Nothing stands there for a stream that is not served, or by a worker that does not say yet."""


class Heartbeats:
    """Writes and reads heartbeats. Raises StoreUnavailable."""

    def __init__(self, redis: AsyncRedis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def beat(self, heartbeat: WorkerHeartbeat, ttl_seconds: int) -> None:
        """Write a heartbeat; it counts as gone after `ttl_seconds` without another."""
        async with reading_or_writing("writing a heartbeat"):
            pipe = self._redis.pipeline(transaction=False)
            pipe.set(self._keys.worker(heartbeat.name), heartbeat.model_dump_json(), ex=ttl_seconds)
            pipe.zadd(self._keys.workers, {heartbeat.name: heartbeat.beat_at})
            await pipe.execute()

    async def forget(self, name: str) -> None:
        """Remove a worker that has stopped."""
        async with reading_or_writing("removing a heartbeat"):
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(self._keys.worker(name))
            pipe.zrem(self._keys.workers, name)
            await pipe.execute()

    async def alive(self) -> list[WorkerHeartbeat]:
        """The workers that have a heartbeat, by name."""
        async with reading_or_writing("reading heartbeats"):
            names = sorted(cast(list[bytes], await self._redis.zrange(self._keys.workers, 0, -1)))
            if not names:
                return []
            stored = await self._redis.mget([self._keys.worker(name.decode()) for name in names])
            gone = [name for name, beat in zip(names, stored, strict=True) if beat is None]
            if gone:
                await self._redis.zrem(self._keys.workers, *gone)
        heartbeats = []
        for beat in stored:
            if beat is None:
                continue
            try:
                heartbeats.append(WorkerHeartbeat.model_validate_json(beat))
            except ValidationError:
                continue  # A newer worker's heartbeat that this process can't read yet.
        return heartbeats
