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
    LEAST_FREEZE_SECONDS,
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
    """What the provider holds back now, with its numbers; None: nothing.

    A refused key is none of it: waiting does not help (`provider_refusal`).
    """
    if use is None:
        return None
    frozen = use.frozen
    if (
        frozen is not None
        and frozen.everything
        and frozen.cause == "rate_limited"
        and frozen.seconds >= LEAST_FREEZE_SECONDS
    ):
        return f"{frozen.model} answered 429 and is left alone for {frozen.seconds:.0f} s"
    for name, allowance in _allowances(use):
        if allowance.used >= NEARLY_ALL * allowance.limit:
            if allowance.said_by_provider:
                allowed = f"the {allowance.limit:.0f} {name} that the provider allows"
            else:
                allowed = f"{allowance.limit:.0f} {name} a minute"
            return f"{allowance.used:.0f} of {allowed} are used"
    if use.throttled > (1 - NEARLY_ALL) * (use.calls + use.throttled):
        return f"{use.throttled} calls were held back or answered 429 in the last minute"
    if use.put_back:
        return f"{use.put_back} events were put back, and no worker has said yet what limits them"
    return None


def provider_refusal(use: ProviderUse | None) -> str | None:
    """Who refuses all calls of the stream until a person does something; None: nobody."""
    frozen = use.frozen if use is not None else None
    if frozen is None or frozen.cause == "rate_limited" or not frozen.everything:
        return None
    if frozen.cause == "key_refused":
        return f"{frozen.model} refuses the key"
    return f"the account at {frozen.model} is spent"


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
    pressure, refusal = provider_pressure(use), provider_refusal(use)
    finished = finished_per_second(memory.samples)
    if pressure is not None or refusal is not None:
        workers = current
        if capacity and finished is not None:
            # What is let through, done by workers that are not quite full.
            workers = min(current, max(1, math.ceil(finished / capacity / (1 - TOLERANCE))))
        if refusal is not None:
            found.append(Ceiling(workers, Outcome.PROVIDER_REFUSES, refusal))
        elif pressure is not None:
            found.append(Ceiling(workers, Outcome.RATE_LIMITED, pressure))
    elif use is not None and capacity and finished:
        found += _ahead(use, capacity, finished, current)
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


def _ahead(use: ProviderUse, capacity: float, finished: float, current: int) -> Iterator[Ceiling]:
    """Where a limit that is not reached yet would stop more workers."""
    for name, allowance in _allowances(use):
        own = allowance.used if allowance.own is None else allowance.own
        if own <= 0:
            continue
        a_second = allowance.limit / 60 if allowance.per_second is None else allowance.per_second
        # What others use of a shared account is not there for this stream. (What the provider's
        # headers say is used is a level, not a minute's use: it tells nothing of others.)
        others = 0.0 if allowance.said_by_provider else max(0.0, allowance.used - own)
        # workers = limit a second / (calls an event x events a second of one worker)
        calls_per_event = own / (finished * 60)
        left = max(0.0, a_second - others / 60)
        by_a_worker = calls_per_event * capacity
        reached_by = left / by_a_worker if by_a_worker else math.inf
        if math.isinf(reached_by):
            continue  # So little is used that no number of workers would reach the limit.
        workers = max(1, math.ceil(reached_by))
        why = f"{workers} workers use all of {a_second * 60:.0f} {name} a minute"
        if others:
            why += f", of which others use {others:.0f}"
        # The formula may guess too low: it stops additions and takes nothing back.
        yield Ceiling(max(workers, current), Outcome.RATE_LIMITED, why)


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
    # A power of some thousand is no float any more.
    pause = min(INEFFECTIVE_SECONDS * 2 ** min(times - 1, 30), INEFFECTIVE_MOST_SECONDS)
    cause = (
        f"{after.ready} workers finished {after.per_second:.1f} events/s where {before.ready}"
        f" finished {before.per_second:.1f}: {_suspect(observation)}"
    )
    failed = Ineffective(min(enough, after.ready - 1), now + pause, times, cause)
    return replace(memory, ineffective=failed, level=None)


def _suspect(observation: Observation) -> str:
    use = fresh(observation.provider)
    limit = provider_refusal(use) or provider_pressure(use)
    if limit is not None:
        return f"the provider is the limit ({limit})"
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
