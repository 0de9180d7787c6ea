"""What a decision remembers from pass to pass: windows and cooldowns, as plain values.

Times are seconds of a monotonic clock that the caller hands in. `status` cannot hold those (they
mean nothing in the next process), so serialising takes a wall clock too, for that alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """One stream's. A new one is made at the operator's start: `Memory(started_at=now)`."""

    started_at: float
    """When this process began to watch the stream: for one full window nothing scales in."""
