"""Ceilings that the length of a queue knows nothing of: provider limits, budgets, no effect."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from eventstream.spec import StreamSpec
from eventstream_operator.decide.decision import Outcome
from eventstream_operator.decide.memory import Ineffective, Memory
from eventstream_operator.decide.rates import finished_per_second, full_level
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.tuning import (
    INEFFECTIVE_MOST_SECONDS,
    INEFFECTIVE_SECONDS,
    LEAST_GAIN,
    NEARLY_ALL,
    TOLERANCE,
    TRIAL_SECONDS,
)
from eventstream_operator.observe.observation import Allowance, Observation, ProviderUse


@dataclass(frozen=True, slots=True)
class Ceiling:
    """More workers than this bring nothing."""

    workers: int
    outcome: Outcome
    why: str
    """What limits, with its numbers."""
    takes_back: bool = False
    """Workers above it leave now, without waiting for the window."""


def provider_pressure(use: ProviderUse | None) -> str | None:
    """What the provider holds back now, with its numbers; None: nothing."""
    if use is None:
        return None
    if use.frozen_seconds > 0:
        return f"the provider asked to be left alone for {use.frozen_seconds:.0f} s"
    for name, allowance in _allowances(use):
        if allowance.used >= NEARLY_ALL * allowance.limit:
            return f"{allowance.used:.0f} of {allowance.limit:.0f} {name} a minute are used"
    if use.throttled:
        return f"{use.throttled} calls were held back or answered 429 in the last minute"
    return None


def budget_holds(spec: StreamSpec, observation: Observation) -> bool:
    """The day's budget is spent, and misses wait for the next day."""
    budget = fresh(observation.budget)
    limit = spec.limits.budget
    return bool(budget and budget.exhausted and limit and limit.on_exhausted == "Hold")


def ceilings(
    spec: StreamSpec,
    observation: Observation,
    memory: Memory,
    *,
    current: int,
    capacity: float | None,
    now: float,
) -> list[Ceiling]:
    """Every ceiling that holds now, however high."""
    found: list[Ceiling] = []
    use = fresh(observation.provider)
    pressure = provider_pressure(use)
    finished = finished_per_second(memory.samples)
    if pressure is not None:
        workers = current
        if capacity and finished is not None:
            # What is let through, done by workers that are not quite full.
            workers = min(current, max(1, math.ceil(finished / capacity / (1 - TOLERANCE))))
        found.append(Ceiling(workers, Outcome.RATE_LIMITED, pressure))
    elif use is not None and capacity and finished:
        for name, allowance in _allowances(use):
            if allowance.used <= 0:
                continue
            # workers = limit a second / (calls an event x events a second of one worker)
            calls_per_event = allowance.used / (finished * 60)
            workers = max(1, math.ceil(allowance.limit / 60 / (calls_per_event * capacity)))
            why = f"{workers} workers use all of {allowance.limit:.0f} {name} a minute"
            # The formula may guess too low: it stops additions and takes nothing back.
            found.append(Ceiling(max(workers, current), Outcome.RATE_LIMITED, why))
    if budget_holds(spec, observation):
        found.append(Ceiling(current, Outcome.BUDGET_EXHAUSTED, "today's budget is spent"))
    if memory.ineffective and now < memory.ineffective.until:
        found.append(
            Ceiling(
                memory.ineffective.workers,
                Outcome.INEFFECTIVE,
                memory.ineffective.cause,
                takes_back=True,
            )
        )
    return found


def judge_addition(memory: Memory, observation: Observation, *, current: int, now: float) -> Memory:
    """Once added workers have been full for a while: did they bring throughput?

    gain = (rate after / rate before - 1) / (workers after / workers before - 1)

    Below LEAST_GAIN they are taken back to what the throughput needs at the earlier speed, and
    not tried again for a time that doubles with each failure.
    """
    before = memory.level
    after = full_level(memory.samples, least_seconds=TRIAL_SECONDS)
    if before is None or after is None or after.ready <= before.ready or after.ready < current:
        return memory
    growth = after.ready / before.ready - 1
    gain = (after.per_second / before.per_second - 1) / growth
    if gain >= LEAST_GAIN:
        return replace(memory, level=after, ineffective=None)
    enough = math.ceil(before.ready * max(1.0, after.per_second / before.per_second) - 1e-9)
    times = memory.ineffective.times + 1 if memory.ineffective else 1
    pause = min(INEFFECTIVE_SECONDS * 2 ** (times - 1), INEFFECTIVE_MOST_SECONDS)
    cause = (
        f"{after.ready} workers finished {after.per_second:.1f} events/s where {before.ready}"
        f" finished {before.per_second:.1f}: {_suspect(observation)}"
    )
    failed = Ineffective(min(enough, after.ready - 1), now + pause, times, cause)
    return replace(memory, ineffective=failed, level=None)


def _suspect(observation: Observation) -> str:
    use = fresh(observation.provider)
    pressure = provider_pressure(use)
    if pressure is not None:
        return f"the provider is the limit ({pressure})"
    time = fresh(observation.worker_time)
    if time is not None and time.idle:
        return f"{time.idle} workers are idle while events wait, look at their logs"
    return (
        "each worker became slower, so what they share is the limit"
        " (the model's server, Redis or the node's CPU)"
    )


def _allowances(use: ProviderUse) -> Iterator[tuple[str, Allowance]]:
    if use.requests_per_minute is not None:
        yield "requests", use.requests_per_minute
    if use.tokens_per_minute is not None:
        yield "tokens", use.tokens_per_minute
