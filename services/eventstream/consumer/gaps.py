"""Notices that the results Redis lost its data, and states what of a stream's source went with it.

Looks once a second, whenever the lag is published. What it goes by is in `kafka_gap`; what it
knows is committed by the polling thread with every offset, so that the next consumer of a partition
notices too, also when this process went down together with Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eventstream import kafka_gap
from eventstream.consumer.offsets import Offsets
from eventstream.kafka.config import reader_config
from eventstream.kafka.ranges import Range, RangeReader
from eventstream.kafka_gap import Finished, Gap, Look, Progress
from eventstream.keys import Keys, queue_for
from eventstream.logs import get_logger
from eventstream.metrics import KAFKA_GAP
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings


class GapWatch:
    """Of one stream's consumer. `taken`: partition -> the offset behind what was taken in hand."""

    def __init__(
        self,
        stream: str,
        topic: str,
        offsets: Offsets,
        taken: Callable[[], Mapping[int, int]],
        *,
        redis: AsyncRedis,
        keys: Keys,
        settings: Settings,
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._offsets = offsets
        self._taken = taken
        self._redis = redis
        self._keys = keys
        self._settings = settings
        self._finished = Finished()
        self._mark: str | None = None
        self._shown: set[int] = set()
        self._log = get_logger(__name__).bind(stream=stream, topic=topic)

    async def look(self) -> None:
        """Look once. Raises StoreUnavailable; the next look sees the same again."""
        positions = self._offsets.positions()
        carried = self._offsets.carried()
        held = positions.keys() & carried.keys()
        seen = await kafka_gap.look(
            self._redis, self._keys, self._stream, queue_for(self._stream, "kafka")
        )
        self._finished.keep(held)
        lost: dict[int, tuple[int, int]] = {}
        for number in held - self._finished.offsets.keys():
            offset, progress = carried[number]
            first = offset if progress is None else min(offset, progress.finished)
            if progress is not None and progress.mark != seen.mark:
                lost[number] = (first, max(offset, self._accepted_end(number, positions)))
        if self._mark not in (None, seen.mark):
            for number in held & self._finished.offsets.keys():
                end = self._accepted_end(number, positions)
                lost[number] = (self._finished.offsets[number], end)
        gaps = await self._state(lost)
        for number in held - self._finished.offsets.keys():
            offset, progress = carried[number]
            first = offset if progress is None else min(offset, progress.finished)
            self._finished.begin(number, first)
        self._mark = seen.mark
        self._take_in(seen, gaps, {number: positions[number] for number in held})

    def forget(self) -> None:
        """Drop the metrics: this process holds nothing any more."""
        self._show({})

    def _accepted_end(self, number: int, positions: Mapping[int, int]) -> int:
        """What was taken before Redis lost its data may have been accepted by the old one."""
        return max(positions[number], self._taken().get(number, 0))

    def _take_in(self, seen: Look, gaps: list[Gap], positions: Mapping[int, int]) -> None:
        opened = {
            gap.partition: gap
            for gap in [*seen.gaps, *gaps]
            if gap.topic == self._topic and gap.partition in positions
        }
        if opened:
            # Until they are read again they are not finished, whatever came after them is.
            for number, gap in opened.items():
                self._finished.begin(number, min(gap.first, self._finished.offsets[number]))
            self._finished.forget_looks()
        else:
            self._finished.look(positions, seen.newest, seen.oldest_unfinished)
        self._offsets.carry(
            {number: Progress(seen.mark, at) for number, at in self._finished.offsets.items()}
        )
        self._show(
            {
                number: opened[number].end - opened[number].first if number in opened else 0
                for number in positions
            }
        )

    def _show(self, records: Mapping[int, int]) -> None:
        for number, count in records.items():
            KAFKA_GAP.labels(self._stream, self._topic, str(number)).set(count)
        for number in self._shown - records.keys():
            KAFKA_GAP.remove(self._stream, self._topic, str(number))
        self._shown = set(records)

    async def _state(self, lost: Mapping[int, tuple[int, int]]) -> list[Gap]:
        ranges = {number: place for number, place in lost.items() if place[0] < place[1]}
        if lost and not ranges:
            self._log.warning("results_lost", records=0, why="the results Redis lost its data")
        if not ranges:
            return []
        since = await self._times({number: first for number, (first, _) in ranges.items()})
        gaps = kafka_gap.between(self._stream, self._topic, ranges, since)
        await kafka_gap.state(self._redis, self._keys, self._stream, gaps)
        for gap in gaps:
            self._log.error(
                "results_lost",
                partition=gap.partition,
                first_offset=gap.first,
                last_offset=gap.end - 1,
                records=gap.end - gap.first,
                why="the results Redis lost its data",
                way_out=gap.way_out,
            )
        return gaps

    async def _times(self, offsets: Mapping[int, int]) -> dict[int, float]:
        """Partition -> time of the record at the offset, or of the first one that is left.

        Where none is left, the beginning of time: a replay from there reads whatever there is.
        """
        times = dict.fromkeys(offsets, 0.0)
        async with RangeReader(reader_config(self._settings), self._topic) as reader:
            for number, offset in offsets.items():
                async for records in reader.read({number: Range(offset, offset + 1)}):
                    times[number] = records[0].source.timestamp_ms / 1000
                    break
        return times
