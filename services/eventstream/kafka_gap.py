"""What a results Redis that lost its data has lost of Kafka: from which record to which.

Accepted events are in Redis only, so nothing in Redis can tell of them afterwards. What tells is
kept elsewhere: with each offset that a consumer commits goes the mark of the Redis that took the
records, and up to where their events were finished. Where Redis has another mark now, what lies
between the two is the gap. It is stated until `eventstream replay` has read it again; nothing here
reads a record.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from eventstream import lua
from eventstream.keys import SCHEMA, Keys
from eventstream.redis_client import AsyncRedis, reading_or_writing

MOST_SAMPLES: Final = 600


class EntryId(NamedTuple):
    """An inbox entry's id: two numbers that only ever grow."""

    milliseconds: int
    sequence: int

    @classmethod
    def read(cls, text: bytes) -> EntryId:
        """`1732000000000-3` as an EntryId."""
        milliseconds, _, sequence = text.partition(b"-")
        return cls(int(milliseconds), int(sequence))


@dataclass(frozen=True, slots=True)
class Progress:
    """What is committed with an offset: which Redis took the records, and what is finished."""

    mark: str
    finished: int
    """Every event of the partition before this offset is finished."""

    def pack(self) -> str:
        """As the metadata of a committed offset."""
        return f"{self.mark}:{self.finished}"

    @classmethod
    def unpack(cls, metadata: str | None) -> Progress | None:
        """What `pack` made; None for what somebody else committed."""
        mark, separator, finished = (metadata or "").rpartition(":")
        if not separator or not finished.isascii() or not finished.isdigit():
            return None
        return cls(mark, int(finished))


class Gap(BaseModel):
    """One field of the hash `kafka_gaps:{stream}`, named `topic:partition`."""

    model_config = ConfigDict(frozen=True)

    schema_number: int = SCHEMA
    stream: str
    topic: str
    partition: int
    first: int
    """Offset of the first record whose event may be lost."""
    end: int
    """Offset behind the last one."""
    since: float
    """Time of the first record, in seconds since the epoch: what `replay --since` wants."""
    noticed_at: float
    """Likewise."""

    @property
    def field(self) -> str:
        """Its field in the hash."""
        return f"{self.topic}:{self.partition}"

    @property
    def way_out(self) -> str:
        """The command that reads it again."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="milliseconds")
        return f"eventstream replay --topic {self.topic} --since {since} --stream {self.stream}"


class Finished:
    """Up to which offset each partition's events are finished, by what is seen now and then. Pure.

    A look gives the positions up to which records were accepted, and after that the id of the
    newest entry of the inbox. Once the oldest unfinished entry is newer than that id, everything
    before those positions is finished.
    """

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}
        self._samples: deque[tuple[EntryId, dict[int, int]]] = deque(maxlen=MOST_SAMPLES)

    @property
    def offsets(self) -> Mapping[int, int]:
        """Partition -> offset."""
        return self._offsets

    def begin(self, partition: int, offset: int) -> None:
        """The partition is held from now on; everything before `offset` is finished."""
        self._offsets[partition] = offset

    def keep(self, partitions: Collection[int]) -> None:
        """Forget all others: somebody else holds them."""
        self._offsets = {number: at for number, at in self._offsets.items() if number in partitions}
        for _, positions in self._samples:
            for number in positions.keys() - partitions:
                del positions[number]

    def look(
        self, positions: Mapping[int, int], newest: EntryId, oldest_unfinished: EntryId | None
    ) -> None:
        """Take in one look; `oldest_unfinished` None: all is finished."""
        self._samples.append((newest, dict(positions)))
        while self._samples:
            then, accepted = self._samples[0]
            if oldest_unfinished is not None and then >= oldest_unfinished:
                return
            for number, offset in accepted.items():
                if number in self._offsets:
                    self._offsets[number] = max(self._offsets[number], offset)
            self._samples.popleft()

    def forget_looks(self) -> None:
        """What was seen does not count any more: older records are being accepted again."""
        self._samples.clear()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the results Redis."""

    mark: str
    newest: EntryId
    oldest_unfinished: EntryId | None
    gaps: tuple[Gap, ...]


async def look(redis: AsyncRedis, keys: Keys, stream: str, queue: str) -> Look:
    """The mark (made where there is none), the inbox's ends, the open gaps; one round trip.

    Raises StoreUnavailable.
    """
    async with reading_or_writing("looking for lost data"):
        pipe = redis.pipeline(transaction=False)
        pipe.set(keys.store_mark, uuid.uuid4().hex, nx=True)
        pipe.get(keys.store_mark)
        pipe.eval(
            lua.source("oldest_open"),
            2,
            keys.inbox(queue),
            keys.again(queue),
            keys.task_meta(""),
        )
        pipe.hgetall(keys.kafka_gaps(stream))
        _, mark, ends, gaps = await pipe.execute()
        newest, oldest = cast(tuple[bytes, bytes | Exception], ends)
        if isinstance(oldest, Exception):
            # Another program's key hides what is unfinished: nothing may count as finished.
            raise oldest
    return Look(
        mark=(mark or b"").decode(),
        newest=EntryId.read(newest),
        oldest_unfinished=EntryId.read(oldest) if oldest else None,
        gaps=_unpacked(gaps),
    )


async def mark_of(redis: AsyncRedis, keys: Keys) -> str:
    """The mark that this Redis has; made where there is none. Raises StoreUnavailable."""
    async with reading_or_writing("looking for lost data"):
        pipe = redis.pipeline(transaction=False)
        pipe.set(keys.store_mark, uuid.uuid4().hex, nx=True)
        pipe.get(keys.store_mark)
        _, mark = await pipe.execute()
    return cast(bytes, mark or b"").decode()


async def state(redis: AsyncRedis, keys: Keys, stream: str, gaps: Sequence[Gap]) -> None:
    """Write gaps where health, `top` and `replay` look for them. Raises StoreUnavailable."""
    if not gaps:
        return
    async with reading_or_writing("stating a gap"):
        await redis.hset(
            keys.kafka_gaps(stream),
            mapping={gap.field: gap.model_dump_json() for gap in gaps},
        )


async def read(redis: AsyncRedis, keys: Keys, streams: Sequence[str]) -> tuple[Gap, ...]:
    """The open gaps of these streams, in one round trip. Raises StoreUnavailable."""
    if not streams:
        return ()
    async with reading_or_writing("reading gaps"):
        pipe = redis.pipeline(transaction=False)
        for stream in streams:
            pipe.hgetall(keys.kafka_gaps(stream))
        replies = await pipe.execute()
    return tuple(gap for fields in replies for gap in _unpacked(fields))


async def close(redis: AsyncRedis, keys: Keys, gaps: Sequence[Gap]) -> None:
    """These were read again. Raises StoreUnavailable."""
    async with reading_or_writing("closing a gap"):
        for gap in gaps:
            await redis.hdel(keys.kafka_gaps(gap.stream), gap.field)


def between(
    stream: str, topic: str, ranges: Mapping[int, tuple[int, int]], since: Mapping[int, float]
) -> list[Gap]:
    """`partition -> (first, end)` as gaps that are noticed now; empty ranges are none."""
    now = time.time()
    return [
        Gap(
            stream=stream,
            topic=topic,
            partition=partition,
            first=first,
            end=end,
            since=since[partition],
            noticed_at=now,
        )
        for partition, (first, end) in sorted(ranges.items())
        if first < end
    ]


def _unpacked(fields: Mapping[bytes, bytes]) -> tuple[Gap, ...]:
    gaps = []
    for packed in fields.values():
        try:
            gaps.append(Gap.model_validate_json(packed))
        except ValidationError:
            continue  # A newer consumer's, in a form that is not known here.
    return tuple(sorted(gaps, key=lambda gap: (gap.topic, gap.partition)))
