"""Rates out of counters: events in a second, and what one worker does.

A counter below an earlier one was counted anew (a store that lost its data, workers whose
heartbeats were folded afresh): that interval says nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from eventstream_operator.decide.memory import Level, Memory, Rate, Sample
from eventstream_operator.decide.tuning import (
    CAPACITY_REMEMBERED_SECONDS,
    LEAST_RATE_SECONDS,
    LEVEL_REMEMBERED_SECONDS,
    LEVEL_SECONDS,
    RATE_WINDOW_SECONDS,
    SAMPLE_SECONDS,
    TRIAL_EVENTS,
)


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened between two samples."""

    seconds: float
    arrived: int
    finished: int
    busy_worker_seconds: float
    ready: int
    full: bool
    """Work waited, and no limit held it back: it shows what the workers can do."""


def intervals(samples: Iterable[Sample]) -> Iterator[Interval]:
    """Between neighbours; pairs with a counter that went back are left out."""
    for before, after in pairwise(samples):
        seconds = after.at - before.at
        finished = after.finished - before.finished
        busy = after.busy_worker_seconds - before.busy_worker_seconds
        accepted = after.accepted - before.accepted
        if seconds <= 0 or min(finished, busy, accepted) < 0:
            continue
        yield Interval(
            seconds=seconds,
            # What Kafka still holds has arrived too: else a stream whose inbox is full would
            # seem to get no more than it finishes. Lag and counter are not read at the same
            # instant, so that one interval may come out below zero; the window's sum does not.
            # What came while it was not known is missing, until a consumer moves it.
            arrived=accepted + _growth(before.lag, after.lag),
            finished=finished,
            busy_worker_seconds=busy,
            ready=min(before.ready, after.ready),
            full=before.waiting and not before.limited and not after.limited,
        )


def _growth(before: int | None, after: int | None) -> int:
    return 0 if before is None or after is None else after - before


def forget_samples(memory: Memory, now: float) -> Memory:
    """The memory without what has left the window, also where no sample comes after it."""
    kept = tuple(old for old in memory.samples if now - old.at <= RATE_WINDOW_SECONDS)
    return memory if len(kept) == len(memory.samples) else replace(memory, samples=kept)


def remember_sample(memory: Memory, sample: Sample) -> Memory:
    """The memory with one more sample."""
    if memory.samples and sample.at - memory.samples[-1].at < SAMPLE_SECONDS:
        return memory
    return replace(memory, samples=(*memory.samples, sample))


def with_known_lag(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The newest ones, as far back as each has its lag."""
    unknown = [at for at, sample in enumerate(samples) if sample.lag is None]
    return samples[unknown[-1] + 1 :] if unknown else samples


def arrivals_per_second(samples: Sequence[Sample]) -> float | None:
    """Mean over the window; None before there is one."""
    seconds, arrived = 0.0, 0
    for interval in intervals(samples):
        seconds += interval.seconds
        arrived += interval.arrived
    return max(0, arrived) / seconds if seconds >= LEAST_RATE_SECONDS else None


def finished_per_second(samples: Sequence[Sample]) -> float | None:
    """Mean over the window; None before there is one."""
    seconds, finished = 0.0, 0
    for interval in intervals(samples):
        seconds += interval.seconds
        finished += interval.finished
    return finished / seconds if seconds >= LEAST_RATE_SECONDS else None


def measured_capacity(samples: Sequence[Sample], *, full_only: bool) -> float | None:
    """Events a second of one worker that has work in hand; None before there is such a rate."""
    busy, finished = 0.0, 0
    for interval in intervals(samples):
        if interval.full or not full_only:
            busy += interval.busy_worker_seconds
            finished += interval.finished
    # capacity = events finished / busy worker-seconds over the window
    return finished / busy if busy >= LEAST_RATE_SECONDS and finished else None


def remember_capacity(memory: Memory, now: float) -> Memory:
    """The memory with the capacity of full workers, if the window has seen any."""
    full = measured_capacity(memory.samples, full_only=True)
    if full is not None:
        return replace(memory, capacity=Rate(now, full))
    if memory.capacity and now - memory.capacity.at > CAPACITY_REMEMBERED_SECONDS:
        return replace(memory, capacity=None)
    return memory


def capacity_per_second(memory: Memory) -> float | None:
    """Events a second of one worker.

    While work waits every worker is full and shows what it can do. One that is not full shows
    less, so then the last capacity seen counts, and what is measured now only where it is more.
    """
    measured = measured_capacity(memory.samples, full_only=False)
    if memory.capacity is None:
        return measured
    return max(memory.capacity.per_second, measured or 0.0)


def full_level(samples: Sequence[Sample], *, least_seconds: float) -> Level | None:
    """Throughput since the number of ready workers last changed, if all were full since then."""
    seconds, finished = 0.0, 0
    latest: Interval | None = None
    for interval in reversed(list(intervals(samples))):
        if latest is not None and interval.ready != latest.ready:
            break
        if not interval.full:
            break
        latest = latest or interval
        seconds += interval.seconds
        finished += interval.finished
    if latest is None or seconds < least_seconds or finished < TRIAL_EVENTS or latest.ready == 0:
        return None
    return Level(samples[-1].at, latest.ready, finished / seconds)


def remember_level(memory: Memory, now: float) -> Memory:
    """The memory with the throughput of the workers that are there before more are ready."""
    level = full_level(memory.samples, least_seconds=LEVEL_SECONDS)
    known = memory.level
    if known and now - known.at > LEVEL_REMEMBERED_SECONDS:
        known = None
    # Only the same number of workers, or fewer, replaces it: the measure of an addition is what
    # was before all of it.
    if level and (known is None or level.ready <= known.ready):
        known = level
    return memory if known == memory.level else replace(memory, level=known)
