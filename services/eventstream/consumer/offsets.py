"""The offsets of the partitions that are held: where each is safe, and what is committed with it.

The polling thread looks up, stores and commits; who measures lag or looks for gaps does so from
another thread, so everything here is under one lock. Knows no client and no clock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import TopicPartition

from eventstream.kafka_gap import Progress

TELL_PROGRESS_SECONDS: Final = 5.0
"""How often what is finished is committed, also where no new offset is."""


class Offsets:
    """Of one topic's partitions; safe from any thread."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._lock = threading.Lock()
        self._positions: dict[int, int] = {}
        self._carried: dict[int, tuple[int, Progress | None]] = {}
        self._progress: dict[int, Progress] = {}
        self._acknowledged: dict[tuple[int, int], int] = {}
        self._tell_progress_at = 0.0

    def positions(self) -> dict[int, int]:
        """Partition -> the offset up to which everything is safe, of the partitions held now."""
        with self._lock:
            return dict(self._positions)

    def carried(self) -> dict[int, tuple[int, Progress | None]]:
        """Partition -> the offset that was committed when it came to us, and what came with it."""
        with self._lock:
            return dict(self._carried)

    def carry(self, progress: Mapping[int, Progress]) -> None:
        """What is to be committed with the partitions' offsets from now on."""
        marks = {number: each.mark for number, each in progress.items()}
        with self._lock:
            if marks != {number: each.mark for number, each in self._progress.items()}:
                self._tell_progress_at = 0.0  # at once: another Redis, or another partition
            self._progress = dict(progress)

    def unknown(self, partitions: Iterable[int]) -> list[int]:
        """Those of `partitions` of which nobody has looked up yet where they begin."""
        with self._lock:
            return [number for number in partitions if number not in self._carried]

    def begin(self, carried: Mapping[int, tuple[int, Progress | None]]) -> None:
        """Take in where partitions begin; one that has gone on since stays where it is."""
        with self._lock:
            begins = {number: offset for number, (offset, _) in carried.items()}
            self._positions = begins | self._positions
            self._carried |= carried

    def to_store(
        self, acknowledged: Mapping[tuple[int, int], int], assignments: Mapping[int, int]
    ) -> list[TopicPartition]:
        """What was acknowledged, of partitions that are still held as they were then.

        `acknowledged`: (partition, assignment) -> offset. Not before it is known what was committed
        with the offset that they begin from: that would be overwritten unread.
        """
        with self._lock:
            both = {**self._acknowledged, **acknowledged}
            still = {
                (partition, assignment): offset
                for (partition, assignment), offset in both.items()
                if assignments.get(partition) == assignment
            }
            known = self._carried.keys()
            self._acknowledged = {
                held: offset for held, offset in still.items() if held[0] not in known
            }
            return [
                self._place(partition, offset)
                for (partition, _), offset in still.items()
                if partition in known
            ]

    def stored(self, places: Sequence[TopicPartition]) -> None:
        """`places` will be committed: up to there everything is safe."""
        with self._lock:
            self._positions.update({each.partition: each.offset for each in places})

    def to_tell(self, now: float) -> list[TopicPartition]:
        """What is finished, now and then: where nothing new comes, no offset would tell."""
        with self._lock:
            if now < self._tell_progress_at:
                return []
            self._tell_progress_at = now + TELL_PROGRESS_SECONDS
            return [
                self._place(number, self._positions[number])
                for number in self._progress
                if number in self._carried and number in self._positions
            ]

    def forget(self, partitions: Iterable[int]) -> None:
        """They are not held any more."""
        with self._lock:
            for number in partitions:
                self._positions.pop(number, None)
                self._carried.pop(number, None)
                self._progress.pop(number, None)

    def _place(self, partition: int, offset: int) -> TopicPartition:
        """An offset to commit, with what is finished; under the lock."""
        _, carried = self._carried[partition]
        progress = self._progress.get(partition, carried)
        if progress is None:
            return TopicPartition(self._topic, partition, offset)
        return TopicPartition(self._topic, partition, offset, metadata=progress.pack())
