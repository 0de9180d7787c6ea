"""Which streams exist: the hash `streams` in the results Redis.

`eventstream up` writes it from files, the operator from resources; API, consumer and worker read it
through a short cache and go on with the last one known while Redis is away. A deleted stream stays
as a tombstone: its own workers may be gone with it, so those of every other stream serve its queue
until what waits there has failed with `stream_deleted` and what was to be removed is (`settled`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from pydantic import BaseModel, ValidationError

from eventstream import lua
from eventstream.errors import StoreUnavailable
from eventstream.keys import DEFAULT_STREAM, SCHEMA, Keys, queues_of
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, default_stream

log = get_logger(__name__)


class RegisteredStream(BaseModel):
    """One field of the hash."""

    schema_number: int = SCHEMA
    generation: int = 1
    deleted: bool = False
    deleted_at: float = 0.0
    """Unix seconds."""
    settled: bool = False
    """A deleted stream of which nothing is left to do."""
    spec: StreamSpec = field(default_factory=StreamSpec)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    streams: Mapping[str, RegisteredStream]
    read_at: float


class Registry:
    """Reads and writes the hash; `clock` is monotonic seconds, `unix_clock` Unix seconds."""

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        max_age_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._unix_clock = unix_clock
        self._settle = redis.register_script(lua.source("settle"))
        self._snapshot: _Snapshot | None = None
        self._last_read: tuple[dict[bytes, bytes], dict[str, RegisteredStream]] = ({}, {})

    async def get(self, name: str) -> StreamSpec | None:
        """A stream's spec; None where there is none of that name (or it was deleted)."""
        stream = (await self._streams()).get(name)
        return stream.spec if stream and not stream.deleted else None

    async def last(self, name: str) -> StreamSpec | None:
        """The same, also of a deleted stream."""
        stream = (await self._streams()).get(name)
        return stream.spec if stream else None

    async def all(self) -> dict[str, StreamSpec]:
        """All streams that exist."""
        streams = await self._streams()
        return {name: stream.spec for name, stream in streams.items() if not stream.deleted}

    async def generation(self, name: str) -> int:
        """How often the stream was written; 0: never."""
        stream = (await self._streams()).get(name)
        return stream.generation if stream else 0

    async def tombstones(self) -> dict[str, RegisteredStream]:
        """Deleted streams of which something may be left to do."""
        streams = await self._streams()
        return {
            name: stream
            for name, stream in streams.items()
            if stream.deleted and not stream.settled
        }

    async def queues(self, only: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The queues of all streams (or of `only` these), HTTP first.

        Those of tombstones are always among them: who served them may have gone with the stream.
        """
        streams = await self._streams()
        names = [
            name
            for name, stream in streams.items()
            if (not stream.settled if stream.deleted else not only or name in only)
        ]
        # The default stream's HTTP queue is served first: somebody waits for the answer.
        names.sort(key=lambda name: (name != DEFAULT_STREAM, name))
        return tuple(queue for name in names for queue in queues_of(name))

    async def write(self, streams: Mapping[str, StreamSpec]) -> None:
        """Create or change streams; a generation goes up only when the spec changed."""
        known = await self._read()
        fields = {}
        for name, spec in streams.items():
            before = known.get(name)
            if before is not None and before.spec == spec and not before.deleted:
                continue
            generation = before.generation + 1 if before else 1
            fields[name] = _pack(RegisteredStream(generation=generation, spec=spec))
        if fields:
            async with reading_or_writing("writing streams"):
                await self._redis.hset(self._keys.streams, mapping=fields)  # type: ignore[arg-type]
        self._snapshot = None

    async def delete(self, name: str) -> bool:
        """Delete a stream: its waiting events fail with `stream_deleted`. False: there is none."""
        known = (await self._read()).get(name)
        if known is None or known.deleted:
            return False
        tombstone = known.model_copy(
            update={
                "deleted": True,
                "deleted_at": self._unix_clock(),
                "generation": known.generation + 1,
            }
        )
        async with reading_or_writing("deleting a stream"):
            await self._redis.hset(self._keys.streams, name, _pack(tombstone))
        self._snapshot = None
        return True

    async def settle(self, name: str, tombstone: RegisteredStream) -> bool:
        """Nothing is left to do about this tombstone. False: the stream is another one by now."""
        settled = tombstone.model_copy(update={"settled": True})
        async with reading_or_writing("settling a deleted stream"):
            done = await self._settle(
                keys=[self._keys.streams], args=[name, tombstone.generation, _pack(settled)]
            )
        self._snapshot = None
        return bool(done)

    async def ensure_default(self, settings: Settings) -> None:
        """Write the documented `default` stream where nobody has written one.

        One that was deleted stays so: somebody wanted that.
        """
        spec = spec_of_default(settings)
        async with reading_or_writing("writing the default stream"):
            await self._redis.hsetnx(
                self._keys.streams, DEFAULT_STREAM, _pack(RegisteredStream(spec=spec))
            )
        self._snapshot = None

    async def _streams(self) -> Mapping[str, RegisteredStream]:
        now = self._clock()
        last = self._snapshot
        if last is not None and now - last.read_at < self._max_age_seconds:
            return last.streams
        try:
            streams = await self._read()
            if last is not None:
                missing = {
                    name: stream for name, stream in last.streams.items() if name not in streams
                }
                # What can't be read any more is there still, so what it was before stays valid.
                stored = {name.decode("utf-8", "replace") for name in self._last_read[0]}
                lost = {name: stream for name, stream in missing.items() if name not in stored}
                if lost:
                    # An emptied Redis, not a deletion (that leaves a tombstone): write it again.
                    # Some may be there already: a process that started meanwhile wrote them.
                    log.warning("registry_restored", streams=sorted(lost))
                    await self._restore(lost)
                streams |= missing
        except StoreUnavailable:
            if last is None:
                raise
            streams = dict(last.streams)
        self._snapshot = _Snapshot(streams, now)
        return streams

    async def _restore(self, streams: Mapping[str, RegisteredStream]) -> None:
        async with reading_or_writing("restoring streams"):
            pipe = self._redis.pipeline(transaction=False)
            for name, stream in streams.items():
                pipe.hsetnx(self._keys.streams, name, _pack(stream))
            await pipe.execute()

    async def _read(self) -> dict[str, RegisteredStream]:
        async with reading_or_writing("reading streams"):
            stored = cast(dict[bytes, bytes], await self._redis.hgetall(self._keys.streams))
        before, read = self._last_read
        if stored == before:
            # The same objects as long as nothing changes: what is derived from a spec stays valid.
            return dict(read)
        streams: dict[str, RegisteredStream] = {}
        for name, packed in stored.items():
            try:
                streams[name.decode()] = RegisteredStream.model_validate_json(packed)
            except UnicodeDecodeError:
                # Nobody can ask for it; what else stands there must not suffer from it.
                log.error(
                    "stream_unreadable",
                    stream=name.decode("utf-8", "replace"),
                    problem="its name is not UTF-8",
                )
            except ValidationError as error:
                log.error(
                    "stream_unreadable",
                    stream=name.decode("utf-8", "replace"),
                    problem=error.errors(include_input=False, include_url=False)[0]["msg"],
                )
        self._last_read = (stored, dict(streams))
        return streams


def spec_of_default(settings: Settings) -> StreamSpec:
    """The stream `default` as the settings describe it."""
    return default_stream(
        topic=settings.kafka_topic_raw_data,
        processed_topic=settings.kafka_topic_processed,
        consumer_group=settings.kafka_consumer_group,
        cache_ttl_seconds=settings.cache_ttl,
    )


def _pack(stream: RegisteredStream) -> bytes:
    return stream.model_dump_json(by_alias=True, exclude_none=True).encode()
