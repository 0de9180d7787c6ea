"""Reading a part of a topic by oneself: for the command line, in no group, committing nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from eventstream.kafka.config import Config
from eventstream.kafka.errors import KafkaUnavailable, TopicMissing, reason_of
from eventstream.kafka.records import SourceRecord, record_from

REQUEST_SECONDS: Final = 5.0
NO_PROGRESS_SECONDS: Final = 15.0
FETCH_SECONDS: Final = 0.1
LAST_LOOK_SECONDS: Final = 0.3
LAST_LOOKS_SECONDS: Final = 2.0
BATCH_RECORDS: Final = 500


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets from `first` up to and without `end`, of one partition."""

    first: int
    end: int


class RangeReader:
    """Reads ranges of one topic; an async context manager.

    Raises KafkaUnavailable, TopicMissing.
    """

    def __init__(self, config: Config, topic: str) -> None:
        self._topic = topic
        self._where = config["bootstrap.servers"]
        self._consumer = Consumer(config | {"enable.partition.eof": True})

    async def __aenter__(self) -> RangeReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._consumer.close)

    async def whole(self) -> dict[int, Range]:
        """Partition -> everything that the topic holds now."""
        return await asyncio.to_thread(self._whole)

    async def since(self, timestamp_ms: int) -> dict[int, Range]:
        """Partition -> everything from the first record that is not older than the time."""
        return await asyncio.to_thread(self._since, timestamp_ms)

    async def read(self, ranges: Mapping[int, Range]) -> AsyncIterator[list[SourceRecord]]:
        """The records of `ranges` in batches, each partition in order.

        May bring records that were written meanwhile: a broker may state an end that is behind what
        it holds, so the last looks take what is there. A topic that is being written to has no end,
        and the times of its records say nothing about ours: the looks are over when their time is.
        """
        places = {number: each for number, each in ranges.items() if each.first < each.end}
        if not places:
            return
        self._consumer.assign(
            [TopicPartition(self._topic, number, each.first) for number, each in places.items()]
        )
        unfinished = set(places)
        progress_at = time.monotonic()
        while unfinished:
            messages = await asyncio.to_thread(self._consume, FETCH_SECONDS)
            if not messages and time.monotonic() - progress_at > NO_PROGRESS_SECONDS:
                raise KafkaUnavailable(
                    f"Kafka at {self._where} stopped giving records of {self._topic!r}"
                )
            batch = self._sort(messages, places, unfinished)
            if batch:
                progress_at = time.monotonic()
                yield batch
        looking_since = time.monotonic()
        while rest := self._sort(
            await asyncio.to_thread(self._consume, LAST_LOOK_SECONDS), places, set()
        ):
            yield rest
            if time.monotonic() - looking_since > LAST_LOOKS_SECONDS:
                return

    def _sort(
        self,
        messages: list[SourceRecord | int],
        places: Mapping[int, Range],
        unfinished: set[int],
    ) -> list[SourceRecord]:
        batch = []
        for message in messages:
            if isinstance(message, int):
                unfinished.discard(message)
                continue
            batch.append(message)
            number = message.source.partition
            if message.source.offset + 1 >= places[number].end:
                unfinished.discard(number)
        return batch

    # -- blocking, one at a time ------------------------------------------------------------

    def _whole(self) -> dict[int, Range]:
        try:
            return {number: Range(*self._watermarks(number)) for number in self._partitions()}
        except KafkaException as error:
            raise self._unavailable(error) from error

    def _since(self, timestamp_ms: int) -> dict[int, Range]:
        try:
            wanted = [
                TopicPartition(self._topic, number, timestamp_ms) for number in self._partitions()
            ]
            found = self._consumer.offsets_for_times(wanted, REQUEST_SECONDS)
            ranges = {}
            for place in found:
                _, end = self._watermarks(place.partition)
                first = end if place.offset in (OFFSET_END, -1) else place.offset
                ranges[place.partition] = Range(first, end)
        except KafkaException as error:
            raise self._unavailable(error) from error
        return ranges

    def _partitions(self) -> list[int]:
        topic = self._consumer.list_topics(self._topic, REQUEST_SECONDS).topics[self._topic]
        if topic.error is not None:
            if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise TopicMissing(f"there is no topic {self._topic!r}")
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def _watermarks(self, partition: int) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), REQUEST_SECONDS
        )

    def _consume(self, seconds: float) -> list[SourceRecord | int]:
        """Records, and the numbers of partitions whose end was reached."""
        found: list[SourceRecord | int] = []
        for message in self._consumer.consume(BATCH_RECORDS, timeout=seconds):
            error = message.error()
            if error is None:
                found.append(record_from(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                found.append(message.partition() or 0)
            elif not error.retriable() and error.code() not in (
                KafkaError._TRANSPORT,
                KafkaError._ALL_BROKERS_DOWN,
            ):
                raise self._unavailable(KafkaException(error))
        return found

    def _unavailable(self, error: KafkaException) -> KafkaUnavailable:
        return KafkaUnavailable(
            f"Kafka at {self._where} did not give {self._topic!r}: {reason_of(error)}"
        )
