"""Between a polling thread and the event loop: records one way, acknowledgements the other.

Bounded: the thread is told when there is no room. Knows nothing of Kafka's client or of Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from eventstream.kafka.records import SourceRecord

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""A batch is one Redis script call: this bounds what it holds up, whatever the records' size."""


@dataclass(frozen=True, slots=True)
class Polled:
    """A record and the number of the assignment under which it was read.

    A partition that went to another consumer and came back has another assignment: what was read
    under the old one is not ours to acknowledge.
    """

    record: SourceRecord
    assignment: int


class Handover:
    """Gathers up to `capacity` records (or MAX_BATCH_BYTES) until the loop takes them, all at once.

    Methods say which side calls them. One batch is in hand at a time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self._loop = loop
        self._capacity = capacity
        self._changed = threading.Condition()
        self._gathered: deque[Polled] = deque()
        self._gathered_bytes = 0
        self._in_hand: frozenset[int] = frozenset()
        self._acknowledged: dict[tuple[int, int], int] = {}
        self._closed = False
        self._something = asyncio.Event()

    # -- polling thread --------------------------------------------------------------------

    def room(self) -> int:
        """How many more records may be offered now."""
        with self._changed:
            return self._room()

    def wait_for_room(self, seconds: float) -> bool:
        """Wait until there is room, the handover is closed, or the time is over; is there room?"""
        with self._changed:
            self._changed.wait_for(lambda: self._room() > 0 or self._closed, seconds)
            return self._room() > 0

    def offer(self, polled: Sequence[Polled]) -> None:
        """Hand records over. Takes also what is beyond the capacity: nothing polled is dropped."""
        with self._changed:
            self._gathered.extend(polled)
            self._gathered_bytes += sum(each.record.size_bytes for each in polled)
        self._tell_loop()

    def withdraw(self, partitions: Iterable[int] | None = None) -> None:
        """Drop what the loop has not taken, of `partitions` or of all: others will read it."""
        with self._changed:
            gone = None if partitions is None else frozenset(partitions)
            kept = [
                polled
                for polled in self._gathered
                if gone is not None and polled.record.source.partition not in gone
            ]
            self._gathered = deque(kept)
            self._gathered_bytes = sum(each.record.size_bytes for each in kept)
            self._changed.notify_all()

    def wait_until_done(self, partitions: Iterable[int], seconds: float) -> bool:
        """Wait until the batch in hand has nothing of `partitions`; False: it took too long."""
        wanted = frozenset(partitions)
        with self._changed:
            return self._changed.wait_for(lambda: not self._in_hand & wanted, seconds)

    def acknowledged(self) -> dict[tuple[int, int], int]:
        """What was acknowledged since the last call: (partition, assignment) -> next offset."""
        with self._changed:
            done, self._acknowledged = self._acknowledged, {}
            return done

    # -- event loop ------------------------------------------------------------------------

    async def take(self) -> list[Polled]:
        """The next batch, in order, as soon as there is one; [] when closed.

        The batch is in hand until `acknowledge` or `let_go`.
        """
        while True:
            await self._something.wait()
            with self._changed:
                if self._closed:
                    return []
                batch = self._next_batch()
                if batch:
                    self._in_hand = frozenset(each.record.source.partition for each in batch)
                    self._changed.notify_all()
                    return batch
                self._something.clear()

    def acknowledge(self, batch: Sequence[Polled]) -> None:
        """Everything of the batch in hand is safe: its offsets may be stored."""
        with self._changed:
            for polled in batch:
                source = polled.record.source
                self._acknowledged[source.partition, polled.assignment] = source.offset + 1
            self._in_hand = frozenset()
            self._changed.notify_all()

    def close(self) -> None:
        """No more batches: `take` answers [] and the polling thread waits for nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._something.set()

    def _room(self) -> int:
        if self._gathered_bytes >= MAX_BATCH_BYTES:
            return 0
        return max(0, self._capacity - len(self._gathered))

    def _next_batch(self) -> list[Polled]:
        batch: list[Polled] = []
        size_bytes = 0
        while self._gathered and len(batch) < self._capacity:
            size_bytes += self._gathered[0].record.size_bytes
            if batch and size_bytes > MAX_BATCH_BYTES:
                break
            polled = self._gathered.popleft()
            self._gathered_bytes -= polled.record.size_bytes
            batch.append(polled)
        return batch

    def _tell_loop(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody will take
            self._loop.call_soon_threadsafe(self._something.set)
