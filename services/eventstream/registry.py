"""Which streams exist: the hash `streams` in the results Redis.

`eventstream up` writes it from files, the operator from resources; API, consumer and worker read it
through a short cache and go on with the last one known while Redis is away. A deleted stream stays
as a tombstone: its own workers may be gone with it, so those of every other stream serve its queue
until what waits there has failed with `stream_deleted` and what was to be removed is (`settled`).

How long ago a stream was deleted is measured by Redis' own clock: who deletes it and who settles it
are different machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

import orjson
from pydantic import BaseModel, ValidationError

from eventstream import lua
from eventstream.errors import StoreUnavailable
from eventstream.keys import DEFAULT_STREAM, SCHEMA, Keys, queues_of
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, default_stream

log = get_logger(__name__)

FRESH_SECONDS: Final = 5.0
"""Who accepts events goes by streams no older than this: a deleted stream is served to its end, but
not for ever."""


class RegisteredStream(BaseModel):
    """One field of the hash."""

    schema_number: int = SCHEMA
    generation: int = 1
    owner: str = ""
    """Which installation wrote it and keeps it as it is; empty: nobody in particular, as what the
    services, `eventstream streams apply` and earlier versions write."""
    deleted: bool = False
    deleted_at: float = 0.0
    """Unix seconds of Redis' clock."""
    settled: bool = False
    """A deleted stream of which nothing is left to do."""
    spec: StreamSpec = field(default_factory=StreamSpec)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    streams: Mapping[str, RegisteredStream]
    read_at: float
    looked_at: float
    """The same, or when reading failed last."""


class Registry:
    """Reads and writes the hash; `clock` is monotonic seconds."""

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        max_age_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._settle = redis.register_script(lua.source("settle"))
        self._snapshot: _Snapshot | None = None
        self._last_read: tuple[dict[bytes, bytes], dict[str, RegisteredStream]] = ({}, {})
        self._newer: dict[str, RegisteredStream] = {}
        self._unreadable: set[str] = set()

    def look_again(self) -> None:
        """Redis is asked before the next answer.

        While it is away, and of what can't be read there, the last that is known goes on.
        """
        if self._snapshot is not None:
            self._snapshot = replace(self._snapshot, looked_at=float("-inf"))

    async def get(self, name: str) -> StreamSpec | None:
        """A stream's spec; None where there is none of that name (or it was deleted)."""
        stream = (await self._streams()).get(name)
        return stream.spec if stream and not stream.deleted else None

    async def get_to_accept(self, name: str) -> StreamSpec | None:
        """The same, for who accepts events by it: never from streams older than FRESH_SECONDS.

        A process that was held up may know a stream that is deleted and settled by now. Where the
        streams can't be read it raises StoreUnavailable: accepting needs the same Redis.
        """
        last = self._snapshot
        stream = last.streams.get(name) if last is not None and self._is_fresh(last) else None
        if stream is None or stream.deleted:
            stream = (await self._streams(only_fresh=True)).get(name)
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

    async def settled(self) -> dict[str, RegisteredStream]:
        """Deleted streams of which nothing was left to do."""
        streams = await self._streams()
        return {name: stream for name, stream in streams.items() if stream.settled}

    async def store_seconds(self) -> float:
        """Unix seconds of Redis' clock, which `deleted_at` goes by."""
        async with reading_or_writing("asking Redis for the time"):
            seconds, microseconds = await self._redis.time()
        return float(seconds) + microseconds / 1_000_000

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

    async def unknown(self) -> set[str]:
        """Streams that are there and can't be read, of which nothing earlier is known either."""
        streams = await self._streams()
        return self._unreadable - streams.keys()

    async def owners(self) -> dict[str, str]:
        """Who owns each stream that exists; streams that are nobody's are left out."""
        streams = {**await self._streams(), **self._newer}
        return {
            name: stream.owner
            for name, stream in streams.items()
            if stream.owner and not stream.deleted
        }

    async def write(self, streams: Mapping[str, StreamSpec], owner: str | None = None) -> None:
        """Create or change streams; a generation goes up only when the spec changed.

        `owner` makes them its own; None leaves them whose they are: who has an owner looks at
        `owners` first. Raises StoreUnavailable, also where a newer version wrote one of them (the
        others are written).
        """
        known = await self._read()
        fields = {}
        for name, spec in streams.items():
            if name in self._newer:
                continue
            before = known.get(name)
            there = before if before is not None and not before.deleted else None
            whose = (there.owner if there else "") if owner is None else owner
            generation = before.generation if before else 0
            if there is None or there.spec != spec:
                generation += 1
            elif there.owner == whose:
                continue
            stream = RegisteredStream(generation=generation, owner=whose, spec=spec)
            fields[name] = _pack(stream)
        if fields:
            async with reading_or_writing("writing streams"):
                await self._redis.hset(self._keys.streams, mapping=fields)  # type: ignore[arg-type]
        self.look_again()
        self._refuse_newer(streams)

    async def delete(self, name: str) -> bool:
        """Delete a stream: its waiting events fail with `stream_deleted`. False: there is none."""
        known = (await self._read()).get(name)
        self._refuse_newer([name])
        if known is None or known.deleted:
            return False
        tombstone = known.model_copy(
            update={
                "deleted": True,
                "deleted_at": await self.store_seconds(),
                "generation": known.generation + 1,
            }
        )
        async with reading_or_writing("deleting a stream"):
            await self._redis.hset(self._keys.streams, name, _pack(tombstone))
        self.look_again()
        return True

    def _refuse_newer(self, names: Iterable[str]) -> None:
        if newer := sorted(self._newer.keys() & set(names)):
            raise StoreUnavailable(
                f"a newer version wrote {', '.join(newer)} (schema {SCHEMA + 1} or higher):"
                " change that with the newer version"
            )

    async def settle(self, name: str, tombstone: RegisteredStream) -> bool:
        """Nothing is left to do about this tombstone. False: the stream is another one by now."""
        return await self._mark(name, tombstone, settled=True)

    async def unsettle(self, name: str, tombstone: RegisteredStream) -> bool:
        """Something is left to do after all. False: the stream is another one by now."""
        return await self._mark(name, tombstone, settled=False)

    async def _mark(self, name: str, tombstone: RegisteredStream, *, settled: bool) -> bool:
        marked = tombstone.model_copy(update={"settled": settled})
        async with reading_or_writing("settling a deleted stream"):
            done = await self._settle(
                keys=[self._keys.streams], args=[name, tombstone.generation, _pack(marked)]
            )
        self.look_again()
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
        self.look_again()

    def _is_fresh(self, snapshot: _Snapshot) -> bool:
        return self._clock() - snapshot.read_at <= FRESH_SECONDS

    async def _streams(self, *, only_fresh: bool = False) -> Mapping[str, RegisteredStream]:
        """`only_fresh`: what can't be read and is older than that raises StoreUnavailable."""
        now = self._clock()
        last = self._snapshot
        usable = last if last is not None and (not only_fresh or self._is_fresh(last)) else None
        if usable is not None and now - usable.looked_at < self._max_age_seconds:
            return usable.streams
        read_at = now
        try:
            streams = await self._read()
            if last is not None:
                missing = {
                    name: stream for name, stream in last.streams.items() if name not in streams
                }
                # What can't be read any more is there still, so what it was before stays valid.
                lost = {
                    name: stream for name, stream in missing.items() if name not in self._unreadable
                }
                if lost:
                    # An emptied Redis, not a deletion (that leaves a tombstone): write it again.
                    # Some may be there already: a process that started meanwhile wrote them.
                    log.warning("registry_restored", streams=sorted(lost))
                    await self._restore(lost)
                streams |= missing
        except StoreUnavailable:
            if usable is None:
                raise
            streams, read_at = dict(usable.streams), usable.read_at
        self._snapshot = _Snapshot(streams, read_at, now)
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
        self._newer = {}
        self._unreadable = set()
        for field_name, packed in stored.items():
            try:
                name = field_name.decode()
            except UnicodeDecodeError:
                # No stream has such a name, and nobody can ask for it: it is none that is unknown.
                _say_unreadable(field_name.decode("utf-8", "replace"), "its name is not UTF-8")
                continue
            try:
                if (newer := _of_newer_version(packed)) is None:
                    streams[name] = RegisteredStream.model_validate_json(packed)
                    continue
                # What is new in it would be left out: it stays what it was, for this process.
                self._newer[name] = newer
                problem = f"a newer version wrote it (schema {newer.schema_number})"
            except ValidationError as error:
                problem = error.errors(include_input=False, include_url=False)[0]["msg"]
            self._unreadable.add(name)
            _say_unreadable(name, problem)
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


def _say_unreadable(name: str, problem: str) -> None:
    log.error("stream_unreadable", stream=name, problem=problem)


def _pack(stream: RegisteredStream) -> bytes:
    return stream.model_dump_json(by_alias=True, exclude_none=True).encode()


def _of_newer_version(packed: bytes) -> RegisteredStream | None:
    """Of what a newer version wrote all that is certain: whose it is; None for anything else."""
    try:
        written = orjson.loads(packed)
        number = written.get("schema_number", SCHEMA)
        if number <= SCHEMA:
            return None
        return RegisteredStream(
            schema_number=number,
            owner=written.get("owner", ""),
            deleted=written.get("deleted", False),
        )
    except (ValueError, AttributeError, TypeError):  # no JSON, no object, no number
        return None
