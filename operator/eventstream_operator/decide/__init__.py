"""Pure decisions: (spec, observation, memory, now) -> Decision.

No input or output, no clock, no Kubernetes: the same four values always give the same answer, so
a pass can be repeated, tested in a table and run in a simulator (`benchmarks/autoscale`).
docs/scaling.md tells the whole of it for people who run it.
"""

from __future__ import annotations

from dataclasses import replace

from eventstream.spec import StreamSpec
from eventstream_operator.decide.api import decide_api
from eventstream_operator.decide.backlog import lag_of
from eventstream_operator.decide.ceilings import (
    budget_holds,
    judge_addition,
    provider_pressure,
    provider_refusal,
)
from eventstream_operator.decide.conditions import conditions_of, phase_of
from eventstream_operator.decide.consumers import decide_consumers
from eventstream_operator.decide.decision import (
    STARTING,
    Condition,
    Decision,
    Figures,
    Outcome,
    Phase,
    Verdict,
)
from eventstream_operator.decide.memory import (
    SCALED_ROLES,
    Memory,
    Sample,
    ScaledRole,
    without_steps,
)
from eventstream_operator.decide.persistence import from_status, to_status
from eventstream_operator.decide.rates import (
    forget_samples,
    remember_capacity,
    remember_level,
    remember_sample,
)
from eventstream_operator.decide.sentence import explain
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.starting import remember_start
from eventstream_operator.decide.tuning import HIT_RATE_STALE_SECONDS, SIGNAL_STALE_SECONDS
from eventstream_operator.decide.workers import decide_workers
from eventstream_operator.observe.observation import Observation


def decide(spec: StreamSpec, observation: Observation, memory: Memory, now: float) -> Decision:
    """What is right for one stream now.

    `now` is the monotonic clock that the memory's times are of. Apply the targets, store the
    memory, and hand it in again in the next pass.
    """
    if memory.looked_at is not None and now - memory.looked_at > SIGNAL_STALE_SECONDS:
        # The API server was away, or the process slept: what happened meanwhile nobody saw.
        memory = replace(memory, started_at=now)
    memory = replace(memory, looked_at=now)
    memory = remember_start(spec, observation, memory, now)
    memory = _remember(spec, observation, memory, now)
    decided = decide_workers(spec, observation, memory, now)
    consumers, memory = decide_consumers(spec, observation, decided.memory, now)
    api, memory = decide_api(spec, observation, memory, now)
    conflicts = observation.conflicts
    refused = observation.refused
    workers = _allowed(spec, decided.verdict, conflicts.workers_scaled_by, "workers" in refused)
    consumers = _allowed(spec, consumers, conflicts.consumers_scaled_by, "consumers" in refused)
    api = _allowed(spec, api, conflicts.api_scaled_by, "api" in refused)
    conditions = conditions_of(
        spec, observation, memory, workers=workers, api=api, why=decided.why, now=now
    )
    return Decision(
        workers=workers,
        consumers=consumers,
        api=api,
        sentence=explain(spec, observation, decided, workers),
        phase=phase_of(spec, observation, conditions),
        conditions=conditions,
        figures=replace(decided.figures, hit_rate_percent=_hit_rate(observation)),
        memory=memory,
    )


def _remember(spec: StreamSpec, observation: Observation, memory: Memory, now: float) -> Memory:
    """This pass's sample, if there is one, and what the window then says.

    A rate needs the counters; without the lag it is what comes into the inbox.
    """
    memory = forget_samples(memory, now)
    inbox = fresh(observation.inbox)
    counts = fresh(observation.counts)
    time = fresh(observation.worker_time)
    workers = fresh(observation.workers)
    lag = lag_of(observation, memory.samples, now)
    if inbox is None or counts is None or time is None or workers is None:
        return memory
    use = fresh(observation.provider)
    pressed = provider_pressure(use) is not None or provider_refusal(use) is not None
    sample = Sample(
        at=now,
        accepted=counts.accepted,
        finished=counts.finished,
        busy_worker_seconds=time.busy_worker_seconds,
        lag=lag.beside_inbox if lag else (None if spec.source else 0),
        ready=workers.ready,
        waiting=inbox.queued > 0,
        limited=pressed or budget_holds(spec, observation),
    )
    # What earlier passes saw decides; this pass's queue only decides how much there is to do.
    memory = remember_capacity(memory, now)
    memory = judge_addition(memory, observation, current=workers.desired, now=now)
    memory = remember_level(memory, now)
    return remember_sample(memory, sample)


def _allowed(spec: StreamSpec, verdict: Verdict, scaled_by: str | None, refused: bool) -> Verdict:
    """The verdict, as far as mode, other autoscalers and API server let it be carried out."""
    if spec.scaling.mode == "Paused":
        return replace(verdict, target=None, outcome=Outcome.PAUSED)
    if scaled_by is not None:
        return replace(verdict, target=None, outcome=Outcome.CONFLICT)
    if spec.scaling.mode == "Recommend" and verdict.target is not None:
        return replace(verdict, target=None, outcome=Outcome.RECOMMENDED)
    if refused and verdict.target is not None:
        return replace(verdict, target=None, outcome=Outcome.REFUSED)
    return verdict


def _hit_rate(observation: Observation) -> float | None:
    cache = fresh(observation.cache, stale_seconds=HIT_RATE_STALE_SECONDS)
    return 100 * cache.hits / cache.look_ups if cache and cache.look_ups else None


__all__ = [
    "SCALED_ROLES",
    "STARTING",
    "Condition",
    "Decision",
    "Figures",
    "Memory",
    "Outcome",
    "Phase",
    "ScaledRole",
    "Verdict",
    "decide",
    "fresh",
    "from_status",
    "to_status",
    "without_steps",
]
