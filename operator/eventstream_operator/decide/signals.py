"""Which signals can be relied on in this pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from eventstream.spec import StreamSpec
from eventstream_operator.decide.tuning import CPU_STALE_SECONDS, SIGNAL_STALE_SECONDS
from eventstream_operator.observe.observation import Measured, Observation

T = TypeVar("T")


def fresh(signal: Measured[T] | None, *, stale_seconds: float = SIGNAL_STALE_SECONDS) -> T | None:
    """The value, if it is there and not too old."""
    if signal is None or signal.age_seconds > stale_seconds:
        return None
    return signal.value


@dataclass(frozen=True, slots=True)
class Problem:
    """A signal that can't be relied on."""

    text: str
    missing: bool
    """It was never there; else it is too old."""


def problems(spec: StreamSpec, observation: Observation) -> tuple[Problem, ...]:
    """One for every signal that this stream should have and has not."""
    expected: list[tuple[str, Measured[object] | None, float]] = [
        ("the inbox's length", observation.inbox, SIGNAL_STALE_SECONDS),
        ("the events' counters", observation.counts, SIGNAL_STALE_SECONDS),
        ("the workers' heartbeats", observation.worker_time, SIGNAL_STALE_SECONDS),
        ("the workers' Deployment", observation.workers, SIGNAL_STALE_SECONDS),
    ]
    if spec.source is not None:
        expected.append(("the Kafka lag", observation.kafka, SIGNAL_STALE_SECONDS))
        expected.append(("the consumers' Deployment", observation.consumers, SIGNAL_STALE_SECONDS))
    if spec.scaling.api is not None and observation.conflicts.api_owner == observation.stream:
        expected.append(("the API's Deployment", observation.api, SIGNAL_STALE_SECONDS))
        expected.append(("the API's CPU", observation.api_cpu, CPU_STALE_SECONDS))
    return tuple(
        Problem(f"{name} (missing)", missing=True)
        if signal is None
        else Problem(f"{name} ({signal.age_seconds:.0f} s old)", missing=False)
        for name, signal, stale_seconds in expected
        if fresh(signal, stale_seconds=stale_seconds) is None
    )
