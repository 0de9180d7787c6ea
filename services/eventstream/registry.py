"""Which streams exist: the hash `streams` in the results Redis.

`eventstream up` writes it from files, the operator from resources; API, consumer and worker read it
through a short cache and go on with the last one known while Redis is away. A deleted stream stays
as a tombstone: its own workers may be gone with it, so those of every other stream serve its queue
until what waits there has failed with `stream_deleted` and what was to be removed is (`settled`).

How long ago a stream was deleted is measured by Redis' own clock: who deletes it and who settles it
are different machines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from pydantic import BaseModel, ValidationError
from redis.exceptions import WatchError

from eventstream.errors import StoreUnavailable, StreamBeingRemoved
from eventstream.keys import DEFAULT_STREAM, SCHEMA, Keys, queues_of
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, default_stream

log = get_logger(__name__)

FRESH_SECONDS: Final = 5.0
"""Who accepts events goes by streams no older than this: a deleted stream is served to its end, but
not for ever."""
SETTLING_SECONDS: Final = 60.0
"""As long at most, from when it begins, one process removes what a deleted stream leaves."""
_LOOKS_AGAIN_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0)


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
    settling_until: float = 0.0
    """Until then of Redis' clock what a deleted stream leaves may be removed at any moment."""
    spec: StreamSpec = field(default_factory=StreamSpec)

    def is_being_removed(self, now: float) -> bool:
        """Whether somebody removes what it leaves. A clock that went back far is not waited for."""
        return 0 < self.settling_until - now <= SETTLING_SECONDS

    @property
    def topics_to_delete(self) -> tuple[str, ...]:
        """The topics that go with the stream, but for those that other streams name."""
        return self.spec.topics if self.spec.on_delete.topics == "Delete" else ()


_Streams = dict[str, RegisteredStream]


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
        self._snapshot: _Snapshot | None = None
        self._last_read: tuple[dict[bytes, bytes], dict[str, RegisteredStream]] = ({}, {})

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

    async def owners(self) -> dict[str, str]:
        """Who owns each stream that exists; streams that are nobody's are left out."""
        streams = await self._streams()
        return {
            name: stream.owner
            for name, stream in streams.items()
            if stream.owner and not stream.deleted
        }

    async def write(self, streams: Mapping[str, StreamSpec], owner: str | None = None) -> None:
        """Create or change streams; a generation goes up only when the spec changed.

        `owner` makes them its own; None leaves them whose they are. Nothing is refused here: who
        has an owner looks at `owners` first. A stream whose namesake's leavings are being removed
        (or another's, with its topics among them) is written after that; raises StreamBeingRemoved
        where that takes long, with all others written.
        """
        for seconds in (*_LOOKS_AGAIN_SECONDS, None):
            streams = await self._write(streams, owner)
            if not streams:
                return
            if seconds is not None:
                await asyncio.sleep(seconds)
        raise StreamBeingRemoved(
            "what a deleted stream left is being removed just now, so"
            f" {', '.join(streams)} can't be written yet: try again in a minute"
        )

    async def _write(
        self, streams: Mapping[str, StreamSpec], owner: str | None
    ) -> dict[str, StreamSpec]:
        """Write all that can be written now; returns the others."""
        later: dict[str, StreamSpec] = {}

        def written(known: Mapping[str, RegisteredStream], now: float) -> _Streams:
            later.clear()
            removed = {name: each for name, each in known.items() if each.is_being_removed(now)}
            topics = {topic for each in removed.values() for topic in each.topics_to_delete}
            changed = {}
            for name, spec in streams.items():
                before = known.get(name)
                there = before if before is not None and not before.deleted else None
                whose = (there.owner if there else "") if owner is None else owner
                generation = before.generation if before else 0
                if there is None or there.spec != spec:
                    generation += 1
                elif there.owner == whose:
                    continue
                if name in removed or not topics.isdisjoint(spec.topics):
                    later[name] = spec
                else:
                    changed[name] = RegisteredStream(generation=generation, owner=whose, spec=spec)
            return changed

        await self._change("writing streams", written)
        return dict(later)

    async def delete(self, name: str) -> bool:
        """Delete a stream: its waiting events fail with `stream_deleted`. False: there is none."""

        def tombstone(known: Mapping[str, RegisteredStream], now: float) -> _Streams:
            stream = known.get(name)
            if stream is None or stream.deleted:
                return {}
            generation = stream.generation + 1
            changes = {"deleted": True, "deleted_at": now, "generation": generation}
            return {name: stream.model_copy(update=changes)}

        return bool(await self._change("deleting a stream", tombstone))

    async def begin_settling(
        self, name: str, tombstone: RegisteredStream
    ) -> tuple[RegisteredStream, set[str]] | None:
        """Keep everybody from writing the stream anew while what it leaves is removed.

        For SETTLING_SECONDS, or until `settle` or `give_up_settling` gets the tombstone that is
        returned; beside it stand the topics that streams name, none of which becomes one of those
        to be deleted meanwhile. None: it is another stream by now, or somebody else settles it.
        """
        named: set[str] = set()

        def begun(known: Mapping[str, RegisteredStream], now: float) -> _Streams:
            named.clear()
            named.update(
                topic for each in known.values() if not each.deleted for topic in each.spec.topics
            )
            if known.get(name) != tombstone or tombstone.is_being_removed(now):
                return {}
            return {name: tombstone.model_copy(update={"settling_until": now + SETTLING_SECONDS})}

        marked = (await self._change("settling a deleted stream", begun)).get(name)
        return None if marked is None else (marked, named)

    async def give_up_settling(self, name: str, tombstone: RegisteredStream) -> None:
        """Nothing of what it leaves is being removed any more; something is left to do."""
        await self._replace(name, tombstone, settling_until=0.0)

    async def settle(self, name: str, tombstone: RegisteredStream) -> bool:
        """Nothing is left to do about this tombstone. False: the stream is another one by now."""
        return await self._replace(name, tombstone, settled=True, settling_until=0.0)

    async def unsettle(self, name: str, tombstone: RegisteredStream) -> bool:
        """Something is left to do after all. False: the stream is another one by now."""
        return await self._replace(name, tombstone, settled=False)

    async def _replace(self, name: str, tombstone: RegisteredStream, **changes: object) -> bool:
        def replaced(known: Mapping[str, RegisteredStream], now: float) -> _Streams:
            if known.get(name) != tombstone:
                return {}
            return {name: tombstone.model_copy(update=changes)}

        return bool(await self._change("settling a deleted stream", replaced))

    async def _change(
        self, doing: str, decide: Callable[[Mapping[str, RegisteredStream], float], _Streams]
    ) -> _Streams:
        """Write what `decide` makes of the streams at a time of Redis' clock; returns it.

        Nobody writes in between: where somebody did, it is decided anew.
        """
        async with reading_or_writing(doing), self._redis.pipeline() as pipe:
            while True:
                await pipe.watch(self._keys.streams)
                stored = await cast(Awaitable[dict[bytes, bytes]], pipe.hgetall(self._keys.streams))
                seconds, microseconds = await pipe.time()
                changed = decide(self._parsed(stored), seconds + microseconds / 1_000_000)
                if changed:
                    pipe.multi()  # type: ignore[no-untyped-call]
                    packed = {name: _pack(stream) for name, stream in changed.items()}
                    pipe.hset(self._keys.streams, mapping=packed)  # type: ignore[arg-type]
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                self._snapshot = None
                return changed

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
                stored = {name.decode("utf-8", "replace") for name in self._last_read[0]}
                lost = {name: stream for name, stream in missing.items() if name not in stored}
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
        return self._parsed(stored)

    def _parsed(self, stored: dict[bytes, bytes]) -> dict[str, RegisteredStream]:
        before, read = self._last_read
        if stored == before:
            # The same objects as long as nothing changes: what is derived from a spec stays valid.
            return dict(read)
        streams: dict[str, RegisteredStream] = {}
        for name, packed in stored.items():
            try:
                stream = RegisteredStream.model_validate_json(packed)
                if stream.schema_number > SCHEMA:
                    # What is new in it would be left out: it stays what it was, for this process.
                    log.error(
                        "stream_unreadable",
                        stream=name.decode("utf-8", "replace"),
                        problem=f"a newer version wrote it (schema {stream.schema_number})",
                    )
                    continue
                streams[name.decode()] = stream
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
