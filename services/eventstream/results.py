"""Answers and status: what `GET /task/{id}` reads, and what the counts say.

Reads only; the inbox's scripts write. Waiting is by notification: one subscription a process, held
only while somebody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from eventstream.errors import StoreUnavailable
from eventstream.events import Failure, Result, State, TaskStatus
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, own_reply, reading_or_writing
from eventstream.tasks import end


@dataclass(frozen=True, slots=True)
class StreamCounters:
    """What happened to the events of a stream: accepted = answered + failed + duplicates + open."""

    accepted: int = 0
    answered: int = 0
    failed: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late_answers: int = 0
    recovered: int = 0
    dead_lettered: int = 0
    hits_exact: int = 0
    hits_semantic: int = 0
    hits_flight: int = 0
    misses: int = 0
    tokens: int = 0
    cost_microdollars: int = 0
    tokens_saved: int = 0
    saved_microdollars: int = 0
    processing_us: int = 0
    failed_by_reason: Mapping[str, int] = field(default_factory=dict)
    latency_ms: Mapping[int, int] = field(default_factory=dict)
    """Histogram, acceptance to result: upper bound in ms (a power of two) -> events."""

    @property
    def open(self) -> int:
        """Accepted and not finished."""
        return self.accepted - self.answered - self.failed - self.duplicates

    @property
    def hits(self) -> int:
        """Answers that did not cost a model call of their own."""
        return self.hits_exact + self.hits_semantic + self.hits_flight

    @property
    def hit_rate(self) -> float:
        """Share of answers that came from the cache, 0 to 1; 0 before the first answer."""
        return self.hits / self.answered if self.answered else 0.0

    def latency_quantile_ms(self, share: float) -> int | None:
        """Upper bound of the latency that `share` (0 to 1) of the finished events kept."""
        total = sum(self.latency_ms.values())
        if not total:
            return None
        seen = 0
        for bound in sorted(self.latency_ms):
            seen += self.latency_ms[bound]
            if seen >= share * total:
                return bound
        return max(self.latency_ms)


def read_counters(stored: Mapping[bytes, bytes]) -> StreamCounters:
    """A `counters:{stream}` hash as StreamCounters; fields that it does not know are left alone."""
    numbers = {name.decode(): int(value) for name, value in stored.items()}
    return StreamCounters(
        **{
            name: numbers.get(name, 0)
            for name in (
                "accepted",
                "answered",
                "failed",
                "duplicates",
                "conflicts",
                "late_answers",
                "recovered",
                "dead_lettered",
                "tokens",
                "cost_microdollars",
                "tokens_saved",
                "saved_microdollars",
                "processing_us",
            )
        },
        hits_exact=numbers.get("source:exact", 0),
        hits_semantic=numbers.get("source:semantic", 0),
        hits_flight=numbers.get("source:flight", 0),
        misses=numbers.get("source:model", 0),
        failed_by_reason={
            name.removeprefix("failed:"): count
            for name, count in numbers.items()
            if name.startswith("failed:")
        },
        latency_ms={
            int(name.removeprefix("latency_ms_le:")): count
            for name, count in numbers.items()
            if name.startswith("latency_ms_le:")
        },
    )


class Results:
    """Status and answers by event id; counters by stream. Raises StoreUnavailable."""

    def __init__(self, redis: AsyncRedis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def status(self, event_id: str) -> TaskStatus | None:
        """Where the event stands; None: never accepted, or its time to live is over."""
        return (await self.statuses([event_id]))[0]

    async def statuses(self, event_ids: Sequence[str]) -> list[TaskStatus | None]:
        """`status` of many in one round trip, in order."""
        if not event_ids:
            return []
        async with reading_or_writing("reading results"):
            pipe = self._redis.pipeline(transaction=False)
            for event_id in event_ids:
                pipe.hgetall(self._keys.task_meta(event_id))
                pipe.get(self._keys.result(event_id))
            replies = [own_reply(reply) for reply in await pipe.execute(raise_on_error=False)]
        return [
            _status(event_id, replies[index * 2] or {}, replies[index * 2 + 1])
            for index, event_id in enumerate(event_ids)
        ]

    async def counters(self, streams: Sequence[str]) -> dict[str, StreamCounters]:
        """The counts of the named streams, in one round trip; what can't be read counts as none."""
        if not streams:
            return {}
        async with reading_or_writing("reading counters"):
            pipe = self._redis.pipeline(transaction=False)
            for stream in streams:
                pipe.hgetall(self._keys.counters(stream))
            replies = [own_reply(reply) for reply in await pipe.execute(raise_on_error=False)]
        return {
            stream: read_counters(reply or {})
            for stream, reply in zip(streams, replies, strict=True)
        }

    async def add_to_counter(self, stream: str, name: str, amount: int = 1) -> None:
        """Count something that no inbox script counts (`dead_lettered`)."""
        async with reading_or_writing("counting"):
            await self._redis.hincrby(self._keys.counters(stream), name, amount)


def _status(event_id: str, meta: Mapping[bytes, bytes], result: bytes | None) -> TaskStatus | None:
    if not meta or b"forgotten" in meta:
        if result is None:
            return None
        # The metadata was lost with a store that lost its data; the answer is there.
        return TaskStatus(
            task_id=event_id, status=State.SUCCESS, result=Result.model_validate_json(result)
        )
    state = State(meta[b"status"].decode())
    failure = Failure.model_validate_json(meta[b"failure"]) if meta.get(b"failure") else None
    progress: dict[str, object] = (
        {
            "stream": meta[b"stream"].decode(),
            "queue": meta[b"queue"].decode(),
            "deliveries": int(meta.get(b"deliveries", b"0")),
        }
        if b"stream" in meta
        else {}
    )
    for name in ("accepted_at", "started_at", "finished_at"):
        stored = meta.get(f"{name}_ms".encode())
        if stored is not None:
            progress[name] = int(stored) / 1000
    due_at_ms = int(meta.get(b"due_at_ms", b"0"))
    # Begun since then: it is being tried again, and waits for nothing.
    if state is State.RETRY and due_at_ms > int(meta.get(b"started_at_ms", b"0")):
        progress["due_at"] = due_at_ms / 1000
    if state is State.RETRY and meta.get(b"waits_for"):
        # Of the last wait: while the event is tried again, nothing better is known.
        progress["reason"] = meta[b"waits_for"].decode()
        progress["detail"] = meta[b"waits_detail"].decode()
    if failure is not None:
        progress["reason"] = failure.reason.value
        if failure.history:
            progress["history"] = list(failure.history)
    return TaskStatus(
        task_id=event_id,
        status=state,
        result=Result.model_validate_json(result) if result is not None else None,
        error=failure.message if failure is not None else None,
        progress=progress,
    )


class FinishedListener:
    """Wakes whoever waits for an event: one subscription, held only while somebody waits.

    A subscription that was silent for `silent_seconds` is asked whether it is still there, and has
    as long to answer: on a link that a firewall forgot nothing would ever come, and no error.
    """

    def __init__(self, redis: AsyncRedis, keys: Keys, *, silent_seconds: float = 10.0) -> None:
        self._redis = redis
        self._silent_seconds = silent_seconds
        self._channel = keys.finished_channel
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None

    async def wait_for(self, results: Results, event_id: str, seconds: float) -> TaskStatus | None:
        """The event's status once it is finished, or as it stands after `seconds`."""
        finished = asyncio.Event()
        self._waiting[event_id].add(finished)
        try:
            await self._listen()
            # Read after subscribing: what finished before is seen here, the rest is told.
            status = await results.status(event_id)
            if status is None or status.status.finished:
                return status
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(finished.wait(), seconds)
            return await results.status(event_id)
        finally:
            self._waiting[event_id].discard(finished)
            if not self._waiting[event_id]:
                del self._waiting[event_id]

    @property
    def listening(self) -> bool:
        """Whether a subscription is held now."""
        return self._pubsub is not None

    async def aclose(self) -> None:
        """Wake everybody and end the subscription."""
        for events in list(self._waiting.values()):
            for event in events:
                event.set()
        await end(*(task for task in (self._opening, self._reader) if task is not None))
        await self._drop()

    async def _listen(self) -> None:
        # A reader that is on its way out has given up its subscription already.
        if self._reader is not None and not self._reader.done() and self._pubsub is not None:
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_look_at)
        # All who wait share one try: a Redis that hangs costs each of them one time-out.
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        async with reading_or_writing("subscribing to results"):
            pubsub = self._redis.pubsub()
            try:
                await pubsub.subscribe(self._channel)
            except BaseException:
                # It has taken a connection out of the pool, which is short by one otherwise.
                await _close(pubsub)
                raise
        self._pubsub = pubsub
        self._reader = asyncio.create_task(self._read(pubsub))

    async def _read(self, pubsub: PubSub) -> None:
        idle_rounds = 0
        heard_at, asked_at = time.monotonic(), 0.0
        try:
            while self._waiting or idle_rounds < 10:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                idle_rounds = 0 if self._waiting else idle_rounds + 1
                now = time.monotonic()
                if message is None:
                    if asked_at and now - asked_at > self._silent_seconds:
                        raise TimeoutError("the subscription does not answer")
                    if not asked_at and now - heard_at > self._silent_seconds:
                        await pubsub.ping()
                        asked_at = now
                    continue
                heard_at, asked_at = now, 0.0
                if message["type"] != "message":
                    continue
                for event_id in message["data"].decode().split("\n"):
                    for event in self._waiting.get(event_id, ()):
                        event.set()
        except (RedisError, OSError, StoreUnavailable):
            # The link broke: whoever waits looks again for itself and finds out what is so.
            for events in list(self._waiting.values()):
                for event in events:
                    event.set()
        finally:
            await self._drop()

    async def _drop(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await _close(pubsub)


def _look_at(task: asyncio.Task[None]) -> None:
    """All who waited for it may have left: nobody else asks what it ended with."""
    if not task.cancelled():
        task.exception()


async def _close(pubsub: PubSub) -> None:
    with contextlib.suppress(RedisError, OSError):
        await pubsub.aclose()  # type: ignore[no-untyped-call]
