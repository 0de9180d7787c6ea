"""What a decision remembers from pass to pass: windows and cooldowns, as plain values.

Times are seconds of a monotonic clock that the caller hands in. `persistence` puts a memory into
an EventStream's status and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

ScaledRole = Literal["workers", "consumers", "api"]
"""Whose replicas a decision is about."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one moment."""

    at: float
    accepted: int
    finished: int
    busy_worker_seconds: float
    lag: int | None
    """None: the stream has a source, and it was not known."""
    ready: int
    waiting: bool
    """Events waited that no worker had taken: every worker was full."""
    limited: bool
    """A provider's limit or a budget held work back: it is not the workers' speed that shows."""


@dataclass(frozen=True, slots=True)
class Want:
    """How many pods were right at one moment."""

    at: float
    pods: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second of one pod, and when that was seen."""

    at: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Level:
    """Throughput with this many workers, all of them full."""

    at: float
    ready: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Ineffective:
    """Additions above `workers` brought nothing; not tried again before `until`."""

    workers: int
    until: float
    times: int
    cause: str


@dataclass(frozen=True, slots=True)
class Memory:
    """One stream's. `persistence.from_status` makes one where this process has none yet."""

    started_at: float
    """When this process began to watch the stream, or went on after it could not: for one full
    window nothing scales in."""
    samples: tuple[Sample, ...] = ()
    worker_wants: tuple[Want, ...] = ()
    consumer_wants: tuple[Want, ...] = ()
    api_wants: tuple[Want, ...] = ()
    capacity: Rate | None = None
    """Of one worker, last seen while work waited."""
    consumer_capacity: Rate | None = None
    """Of one consumer, last seen while lag grew."""
    level: Level | None = None
    """The last throughput seen before workers were added."""
    ineffective: Ineffective | None = None
    scaled_out_at: float | None = None
    consumers_scaled_at: float | None = None
    trigger_answered_at: float | None = None
    """When workers were last added while the queue was longer than the trigger."""
    looked_at: float | None = None
    """When the last decision was made; None: not by this process."""
    starting_since: float | None = None
    """Since when the stream is being made; None: it has been whole, or had its time."""
    asleep_at: float | None = None
    """When the workers were last seen scaled to zero; None once one was ready after that."""


_OF_A_STEP: Final[Mapping[ScaledRole, tuple[str, ...]]] = {
    "workers": ("scaled_out_at", "trigger_answered_at"),
    "consumers": ("consumers_scaled_at",),
    "api": (),
}
SCALED_ROLES: Final = frozenset(_OF_A_STEP)


def without_steps(memory: Memory, before: Memory, undone: Iterable[ScaledRole]) -> Memory:
    """`memory`, as if these steps had not been decided: they were not made.

    What was seen stays, and how many pods were wanted for it: it is true all the same.
    """
    fields = [field for role in undone for field in _OF_A_STEP[role]]
    kept: dict[str, Any] = {field: getattr(before, field) for field in fields}
    return replace(memory, **kept)


def remember_want(
    wants: tuple[Want, ...], now: float, pods: int, window: float
) -> tuple[Want, ...]:
    """`wants` with one more, less those that can no longer be the window's highest.

    The result falls strictly from its first, so it has at most as many entries as pods.
    """
    kept = [want for want in wants if now - want.at <= window and want.pods > pods]
    return (*kept, Want(now, pods))
