"""Situations to decide in: what is seen, and what is remembered, in one line each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eventstream.spec import ApiScaling, Scaling, Source, StreamSpec, WorkerScaling
from eventstream_operator.decide import Memory
from eventstream_operator.decide.memory import Rate, Sample, Want
from eventstream_operator.observe.observation import (
    Conflicts,
    EventCounts,
    InboxDepth,
    KafkaBacklog,
    Measured,
    Observation,
    Replicas,
    WorkerTime,
)

NOW = 10_000.0
LONG_AGO = NOW - 3_000
NO_CONFLICT = Conflicts()


def spec(
    *,
    min: int = 1,
    max: int = 20,
    kafka: bool = False,
    api: ApiScaling | None = None,
    mode: str = "Auto",
) -> StreamSpec:
    """A stream with the documented triggers."""
    return StreamSpec(
        source=Source(topic="reviews.raw") if kafka else None,
        scaling=Scaling.model_validate(
            {"mode": mode, "workers": WorkerScaling(min=min, max=max), "api": api}
        ),
    )


def seen(
    *,
    queued: int = 0,
    in_flight: int = 0,
    deferred: int = 0,
    oldest: float = 0.0,
    workers: int = 3,
    ready: int | None = None,
    idle: int = 0,
    lag: int | None = None,
    partitions: int = 3,
    consumers: int = 1,
    accepted: int = 10_000,
    finished: int = 9_000,
    busy: float = 5_000.0,
    slots: int | None = 16,
    conflicts: Conflicts = NO_CONFLICT,
) -> Observation:
    """One pass's view with every signal fresh."""
    return Observation(
        stream="reviews",
        inbox=Measured(InboxDepth(queued, in_flight, deferred, oldest, oldest)),
        kafka=None if lag is None else Measured(KafkaBacklog(lag, partitions)),
        counts=Measured(EventCounts(accepted, finished)),
        worker_time=Measured(WorkerTime(busy, idle, slots)),
        workers=Measured(Replicas(workers, workers if ready is None else ready)),
        consumers=None if lag is None else Measured(Replicas(consumers, consumers)),
        conflicts=conflicts,
    )


def remembering(
    *,
    arrivals: float = 0.0,
    capacity: float | None = 8.0,
    wants: tuple[Want, ...] = (),
    started_at: float = LONG_AGO,
    lag: int = 0,
) -> Memory:
    """A memory of a minute in which `arrivals` came a second, and of the workers' speed.

    The counters meet those of `seen()` at NOW.
    """
    samples = tuple(
        Sample(
            at=NOW - ago,
            accepted=round(10_000 - arrivals * ago),
            finished=9_000,
            busy_worker_seconds=5_000.0,
            lag=lag,
            ready=3,
            waiting=False,
            limited=False,
        )
        for ago in range(60, 0, -2)
    )
    return Memory(
        started_at=started_at,
        samples=samples,
        worker_wants=wants,
        capacity=None if capacity is None else Rate(NOW - 30, capacity),
    )


def without(observation: Observation, signal: str) -> Observation:
    """The same, with one signal missing."""
    changed: dict[str, Any] = {signal: None}
    return replace(observation, **changed)


def aged(observation: Observation, signal: str, seconds: float) -> Observation:
    """The same, with one signal of some time ago."""
    changed: dict[str, Any] = {signal: replace(getattr(observation, signal), age_seconds=seconds)}
    return replace(observation, **changed)
