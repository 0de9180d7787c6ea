"""Offsets that a partition's records left out, kept until it is known why.

Retention deletes records that nobody has read yet, and the client goes on behind them without a
word. Compaction and transaction markers leave offsets out as well, and all the time. Where the
partition begins now tells them apart, but that is a question to the broker: jumps are gathered
here, and one answer settles all of a partition's. Knows no client and no clock.
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

ASK_AGAIN_SECONDS: Final = 10.0
"""How long a partition is not asked about again: on a transactional topic every batch jumps."""
MOST_JUMPS: Final = 10
"""So many a partition are kept, the widest: markers make many narrow ones between two answers."""


class Jump(NamedTuple):
    """The offset that should have come, and the one that came."""

    first: int
    end: int


class Jumps:
    """What comes next of each partition that is held, and where something else came."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._open: dict[int, list[tuple[int, Jump]]] = {}
        self._ask_at: dict[int, float] = {}

    def begin(self, partition: int, offset: int) -> None:
        """Reading begins at `offset`, unless it has begun already."""
        self._next.setdefault(partition, offset)

    def read(self, partition: int, offset: int) -> None:
        """A record was read: for every record, in order."""
        expected = self._next.get(partition, offset)
        self._next[partition] = offset + 1
        if offset > expected:
            kept = self._open.setdefault(partition, [])
            heapq.heappush(kept, (offset - expected, Jump(expected, offset)))
            if len(kept) > MOST_JUMPS:
                heapq.heappop(kept)

    def open(self, partition: int) -> bool:
        """Is there a jump that no answer has settled?"""
        return partition in self._open

    def due(self, now: float) -> int | None:
        """A partition to ask about now, if there is one. It comes again after a while only."""
        for partition in self._open:
            if self._ask_at.get(partition, now) <= now:
                self._ask_at[partition] = now + ASK_AGAIN_SECONDS
                return partition
        return None

    def settle(self, partition: int, low: int) -> list[Jump]:
        """What was deleted before it was read, where the partition begins at `low` now."""
        jumps = sorted(jump for _, jump in self._open.pop(partition, ()))
        # What lies behind a jump was read, though it may be deleted since.
        return [Jump(jump.first, min(jump.end, low)) for jump in jumps if jump.first < low]

    def forget(self, partition: int) -> None:
        """The partition is not held any more, or anew."""
        for each in (self._next, self._open, self._ask_at):
            each.pop(partition, None)
