"""The board: a page of memory that a worker's parent and its pool processes share across the fork.

The parent writes two things (stop, and from when on events may be taken over), each process its own
row (what it holds, what it has done). It needs no lock, because every field has one writer, and no
file, because it lives as long as they do.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import Final

_HEAD_BYTES: Final = 16
_TAKEOVER: Final = struct.Struct("=d")
_TAKEOVER_AT: Final = 8
# pid, events held, events finished, busy seconds, busy since (unix seconds; 0: idle)
_ROW: Final = struct.Struct("=QQQdd")


@dataclass(frozen=True, slots=True)
class Row:
    """What one pool process says of itself."""

    slot: int
    pid: int
    held: int
    finished: int
    busy_seconds: float
    busy_since: float


class Board:
    """Shared memory for `slots` pool processes (slot numbers begin at 0)."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, _HEAD_BYTES + slots * _ROW.size)

    def stop(self) -> None:
        """Tell every process to finish what it holds and take no more."""
        self._memory[0] = 1

    @property
    def stopping(self) -> bool:
        """Whether the worker is on its way down."""
        return self._memory[0] == 1

    def take_over_from(self, at: float) -> None:
        """Tell every process to take over no events before `at` (seconds of the monotonic clock,
        which all processes of a machine share)."""
        _TAKEOVER.pack_into(self._memory, _TAKEOVER_AT, at)

    @property
    def takes_over_from(self) -> float:
        """When events may be taken over; 0 unless it was told."""
        (at,) = _TAKEOVER.unpack_from(self._memory, _TAKEOVER_AT)
        return float(at)

    def write(
        self, slot: int, *, held: int, finished: int, busy_seconds: float, busy_since: float
    ) -> None:
        """Write this process's row."""
        if slot < self._slots:
            _ROW.pack_into(
                self._memory,
                _HEAD_BYTES + slot * _ROW.size,
                os.getpid(),
                held,
                finished,
                busy_seconds,
                busy_since,
            )

    def finished_before(self, slot: int) -> tuple[int, float]:
        """(events finished, busy seconds) of this slot so far, for a successor to count on from."""
        row = self.row(slot)
        return row.finished, row.busy_seconds

    def row(self, slot: int) -> Row:
        """One process's row; a row never written has pid 0."""
        if slot >= self._slots:
            return Row(slot, 0, 0, 0, 0.0, 0.0)
        return Row(slot, *_ROW.unpack_from(self._memory, _HEAD_BYTES + slot * _ROW.size))

    def rows(self) -> list[Row]:
        """The rows of the processes that have started."""
        return [row for slot in range(self._slots) if (row := self.row(slot)).pid]
