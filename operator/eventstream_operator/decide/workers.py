"""How many workers: backlog, rates, triggers, ceilings, and the window that scale-in waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from eventstream.spec import StreamSpec, WorkerScaling
from eventstream_operator.decide.backlog import Lag, lag_of
from eventstream_operator.decide.ceilings import Ceiling, budget_holds, ceilings
from eventstream_operator.decide.decision import Figures, Outcome, Verdict
from eventstream_operator.decide.memory import Memory, remember_want
from eventstream_operator.decide.rates import arrivals_per_second, capacity_per_second
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.tuning import (
    SCALE_IN_WINDOW_SECONDS,
    STEP_FACTOR,
    STEP_SECONDS,
    TOLERANCE,
)
from eventstream_operator.observe.observation import InboxDepth, Measured, Observation, Replicas


@dataclass(frozen=True, slots=True)
class WorkersDecision:
    """The verdict, and what explains it."""

    verdict: Verdict
    memory: Memory
    figures: Figures
    wanted: int | None
    """By the formula alone."""
    why: str
    """What stood between `wanted` and the verdict; empty: nothing."""


@dataclass(frozen=True, slots=True)
class _Load:
    """The numbers of one pass."""

    inbox: InboxDepth
    replicas: Replicas
    lag: Lag
    """Nothing where it is not known, as of a stream without a source."""
    lag_known: bool
    blind: bool
    """A signal is missing: nothing may scale in on what is left."""
    arrivals: float | None
    capacity: float | None
    need: float
    """Workers, not rounded."""
    need_at_most: float
    """If all of the measured lag still lies in Kafka: what scale-in goes by."""
    with_rate: bool

    @property
    def backlog(self) -> int:
        return self.inbox.queued + self.inbox.in_flight + self.lag.beside_inbox


def decide_workers(
    spec: StreamSpec, observation: Observation, memory: Memory, now: float
) -> WorkersDecision:
    """The workers' part of a decision; `memory` holds this pass's sample already."""
    bounds = spec.scaling.workers
    replicas = fresh(observation.workers)
    inbox = fresh(observation.inbox)
    if replicas is None:
        return _hold(observation, memory, None, now, "the workers' Deployment is not known")
    if inbox is None:
        clamped = _clamp(replicas.desired, bounds)
        if clamped != replicas.desired:
            return _outside(observation, memory, replicas, clamped, now)
        return _hold(observation, memory, replicas, now, "the inbox's length is not known")
    load = _load(spec, observation, memory, inbox, replicas, now)
    held = ceilings(
        spec,
        observation,
        memory,
        current=replicas.desired,
        capacity=load.capacity,
        now=now,
    )
    wanted = math.ceil(load.need - 1e-9)
    out = _scale_out(bounds, load, memory, held, wanted, now)
    if out is not None and out.target is not None:
        window = remember_want(memory.worker_wants, now, out.target, SCALE_IN_WINDOW_SECONDS)
        memory = replace(memory, worker_wants=window)
        if spec.scaling.mode == "Auto":
            answered = now if _trigger_crossed(bounds, load) else memory.trigger_answered_at
            memory = replace(memory, scaled_out_at=now, trigger_answered_at=answered)
        step = out
    else:
        step, memory = _scale_in(spec, observation, load, memory, held, out, now)
    return WorkersDecision(
        verdict=Verdict(step.target, step.outcome, _recommended(step, replicas)),
        memory=memory,
        figures=_figures(load),
        wanted=wanted,
        why=step.why,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    target: int | None
    outcome: Outcome
    why: str = ""


def _load(
    spec: StreamSpec,
    observation: Observation,
    memory: Memory,
    inbox: InboxDepth,
    replicas: Replicas,
    now: float,
) -> _Load:
    bounds = spec.scaling.workers
    known = lag_of(observation, memory.samples, now) if spec.source else None
    lag = known or Lag(0, 0)
    rated = fresh(observation.counts) is not None and fresh(observation.worker_time) is not None
    lag_known = known is not None or spec.source is None
    blind = not rated or not lag_known
    arrivals = arrivals_per_second(memory.samples)
    # From samples of earlier passes, as the remembered one is: this pass's queue only says how
    # much there is to do, never how fast a worker is.
    capacity = capacity_per_second(replace(memory, samples=memory.samples[:-1]))
    with_rate = rated and arrivals is not None and capacity is not None

    def workers(backlog: int) -> float:
        if with_rate and arrivals is not None and capacity is not None:
            # wanted = ceil((backlog / drainSeconds + arrivals a second) / capacity)
            return (backlog / bounds.drain_seconds + arrivals) / capacity
        # with no rate yet: wanted = ceil(backlog / queueLength)
        return backlog / bounds.queue_length

    unfinished = inbox.queued + inbox.in_flight
    need, need_at_most = workers(unfinished + lag.beside_inbox), workers(unfinished + lag.measured)
    needs = (need, need_at_most)
    return _Load(inbox, replicas, lag, lag_known, blind, arrivals, capacity, *needs, with_rate)


def _trigger_crossed(bounds: WorkerScaling, load: _Load) -> bool:
    """The documented trigger, with something in it that another worker could take."""
    return load.inbox.queued + load.inbox.in_flight > bounds.queue_length and load.inbox.queued > 0


def _scale_out(
    bounds: WorkerScaling,
    load: _Load,
    memory: Memory,
    held: list[Ceiling],
    wanted: int,
    now: float,
) -> _Step | None:
    """What adding comes to; None: no reason to add. A step without a target says why not."""
    current, why = load.replicas.desired, ""
    if current < bounds.min:
        return _Step(bounds.min, Outcome.SCALED_OUT, f"min {bounds.min}")
    if current > bounds.max:
        return None
    if current == 0:
        if load.backlog == 0 and load.inbox.deferred == 0:
            return None
        if load.backlog == 0 and any(c.outcome is Outcome.BUDGET_EXHAUSTED for c in held):
            return None
        # The first event brings a worker back, whatever the trigger; a deferred one needs a
        # worker too, which puts it back when it is due.
        if wanted < 1:
            wanted, why = 1, "a deferred event needs a worker when it is due"
    else:
        length = load.inbox.queued + load.inbox.in_flight
        crossed = length > bounds.queue_length
        old = load.inbox.oldest_age_seconds > bounds.drain_seconds
        if not crossed and not old:
            return None
        if load.inbox.queued == 0:
            why = f"all {length} events are in workers' hands" if length else "the inbox is empty"
            return _Step(None, Outcome.NOTHING_WAITS, why) if wanted > current or crossed else None
        answer = _answer_to_trigger(bounds, load, memory, wanted, crossed, now)
        if answer > wanted:
            wanted, why = answer, f"a queue of {length} is above {bounds.queue_length}: one more"
        # never more than there is work for: an event a worker
        if wanted > max(current, load.backlog):
            wanted, why = max(current, load.backlog), f"no more than {load.backlog} events"
        if wanted <= current and crossed and current < bounds.max:
            since = now - (memory.trigger_answered_at or now)
            why = (
                f"one was added {since:.0f} s ago for a queue above {bounds.queue_length}, the next"
                f" after {bounds.drain_seconds} s"
            )
            return _Step(None, Outcome.TRIGGER_ANSWERED, why)
    if wanted <= current:
        return None
    return _limited(bounds, load, memory, held, wanted, why, now)


def _answer_to_trigger(
    bounds: WorkerScaling, load: _Load, memory: Memory, wanted: int, crossed: bool, now: float
) -> int:
    """`wanted`, or at least one more while the trigger is crossed.

    One more is asked for at once, and again whenever drainSeconds have passed and the queue is
    still too long: not in every pass, before the last ones could do anything.
    """
    current = load.replicas.desired
    answered = memory.trigger_answered_at
    due = answered is None or now - answered >= bounds.drain_seconds
    return max(wanted, current + 1) if crossed and due else wanted


def _limited(
    bounds: WorkerScaling,
    load: _Load,
    memory: Memory,
    held: list[Ceiling],
    wanted: int,
    why: str,
    now: float,
) -> _Step:
    """An addition, as far as max, ceilings and step limit let it go."""
    current = load.replicas.desired
    target = wanted
    if target > bounds.max:
        target, why = bounds.max, f"max {bounds.max}"
        if current >= bounds.max:
            return _Step(None, Outcome.AT_MAX, f"max {bounds.max}")
    lowest = min(held, key=lambda ceiling: ceiling.workers, default=None)
    # From zero one worker always comes back: hits need no provider and no budget.
    floor = 1 if current == 0 else current
    if lowest is not None and lowest.workers < target:
        if lowest.workers <= current and current > 0:
            return _Step(None, lowest.outcome, lowest.why)
        target, why = max(lowest.workers, floor), lowest.why
    step = max(current * STEP_FACTOR, 1)
    if target > step:
        target, why = step, f"step limit {STEP_FACTOR}x"
    if memory.scaled_out_at is not None and now - memory.scaled_out_at < STEP_SECONDS:
        return _Step(None, Outcome.PODS_STARTING, "the last step was made just now")
    return _Step(target, Outcome.SCALED_OUT, why)


def _scale_in(
    spec: StreamSpec,
    observation: Observation,
    load: _Load,
    memory: Memory,
    held: list[Ceiling],
    out: _Step | None,
    now: float,
) -> tuple[_Step, Memory]:
    bounds = spec.scaling.workers
    current = load.replicas.desired
    if current > bounds.max:
        window = remember_want(memory.worker_wants, now, bounds.max, SCALE_IN_WINDOW_SECONDS)
        step = _Step(bounds.max, Outcome.SCALED_IN, f"max {bounds.max}")
        return step, replace(memory, worker_wants=window)
    floor = _floor(spec, observation, load)
    # Those that stay keep a tenth of their capacity free, so that leaving is not undone at once.
    roomy = math.ceil(load.need_at_most / (1 - TOLERANCE) - 1e-9)
    kept = max(roomy, floor)
    if load.blind or (_trigger_crossed(bounds, load) and not held):
        kept = max(kept, current)
    lowest = min(held, key=lambda ceiling: ceiling.workers, default=None)
    if lowest is not None and not load.blind:
        kept = max(min(kept, lowest.workers), floor)
    kept = min(kept, bounds.max)
    window = remember_want(memory.worker_wants, now, kept, SCALE_IN_WINDOW_SECONDS)
    memory = replace(memory, worker_wants=window)
    no_change = out or _Step(None, _resting(bounds, current), _calm(bounds, load))
    if load.blind:
        why = f"not known: {_unknown(spec, observation)}"
        return (out or _Step(None, Outcome.SIGNAL_MISSING, why)), memory
    taken_back = [c for c in held if c.takes_back and c.workers < current]
    if taken_back:
        target = max(min(c.workers for c in taken_back), floor)
        if target < current:
            return _Step(target, Outcome.INEFFECTIVE, taken_back[0].why), memory
    highest = window[0].pods
    if kept >= current:
        if out is None and max(math.ceil(load.need_at_most - 1e-9), floor) < current:
            why = f"fewer would have less than {TOLERANCE:.0%} of their time to spare"
            return _Step(None, Outcome.WITHIN_TOLERANCE, why), memory
        return no_change, memory
    watched = now - memory.started_at
    if watched < SCALE_IN_WINDOW_SECONDS:
        why = f"watched for {watched:.0f} of {SCALE_IN_WINDOW_SECONDS:.0f} s so far"
        return (out or _Step(None, Outcome.JUST_STARTED, why)), memory
    if highest >= current:
        why = f"{kept} would do, but not for {SCALE_IN_WINDOW_SECONDS:.0f} s yet"
        return (out or _Step(None, Outcome.STABILISING, why)), memory
    were = "was" if highest == 1 else "were"
    why = f"{highest} {were} enough for {SCALE_IN_WINDOW_SECONDS:.0f} s"
    if lowest is not None and lowest.workers < max(roomy, floor):
        return _Step(highest, lowest.outcome, lowest.why), memory
    return _Step(highest, Outcome.SCALED_IN, why), memory


def _floor(spec: StreamSpec, observation: Observation, load: _Load) -> int:
    """min, what is in flight, and one worker while anything is unfinished."""
    bounds = spec.scaling.workers
    time = fresh(observation.worker_time)
    slots = (time.slots_per_worker if time else None) or bounds.concurrency
    # never below what is in flight needs: ceil(in flight / slots of a worker)
    floor = max(bounds.min, min(math.ceil(load.inbox.in_flight / slots), load.replicas.desired))
    # A deferred event is put back by a worker when it is due. One that waits for tomorrow's
    # budget is not due before tomorrow, when the budget is no longer spent.
    deferred = load.inbox.deferred > 0 and not budget_holds(spec, observation)
    if load.backlog > 0 or load.lag.measured > 0 or deferred:
        floor = max(floor, 1)
    return min(floor, bounds.max)


def _calm(bounds: WorkerScaling, load: _Load) -> str:
    """Why a stream that would drain too slowly gets nobody: it has no queue to speak of."""
    if math.ceil(load.need - 1e-9) <= load.replicas.desired or load.replicas.desired >= bounds.max:
        return ""
    length = load.inbox.queued + load.inbox.in_flight
    return (
        f"a queue of {length} is not above {bounds.queue_length}, and nothing is older than"
        f" {bounds.drain_seconds} s"
    )


def _unknown(spec: StreamSpec, observation: Observation) -> str:
    """The signals without which nobody may leave."""
    signals: list[tuple[str, Measured[object] | None]] = [
        ("the events' counters", observation.counts),
        ("the workers' heartbeats", observation.worker_time),
    ]
    if spec.source is not None:
        signals.append(("the Kafka lag", observation.kafka))
    return ", ".join(name for name, signal in signals if fresh(signal) is None)


def _resting(bounds: WorkerScaling, current: int) -> Outcome:
    if current == bounds.min:
        return Outcome.AT_MIN
    return Outcome.AT_MAX if current == bounds.max else Outcome.STEADY


def _clamp(pods: int, bounds: WorkerScaling) -> int:
    return max(bounds.min, min(pods, bounds.max))


def _recommended(step: _Step, replicas: Replicas) -> int:
    return replicas.desired if step.target is None else step.target


def _figures(load: _Load) -> Figures:
    return Figures(
        backlog=load.backlog,
        lag=load.lag.beside_inbox if load.lag_known else None,
        arrivals_per_second=load.arrivals,
        capacity_per_second=load.capacity if load.with_rate else None,
        hit_rate_percent=None,
    )


def _nothing_known(observation: Observation) -> Figures:
    kafka = fresh(observation.kafka)
    return Figures(None, kafka.lag if kafka else None, None, None, None)


def _hold(
    observation: Observation, memory: Memory, replicas: Replicas | None, now: float, why: str
) -> WorkersDecision:
    """Leave everything as it is; being blind counts as wanting what is there."""
    stale = observation.workers is not None and observation.inbox is not None
    if replicas is not None:
        window = remember_want(memory.worker_wants, now, replicas.desired, SCALE_IN_WINDOW_SECONDS)
        memory = replace(memory, worker_wants=window)
    outcome = Outcome.SIGNAL_STALE if stale else Outcome.SIGNAL_MISSING
    recommended = replicas.desired if replicas else None
    return WorkersDecision(
        Verdict(None, outcome, recommended), memory, _nothing_known(observation), None, why
    )


def _outside(
    observation: Observation, memory: Memory, replicas: Replicas, target: int, now: float
) -> WorkersDecision:
    """The spec's bounds hold even when nothing else is known."""
    grows = target > replicas.desired
    return WorkersDecision(
        Verdict(target, Outcome.SCALED_OUT if grows else Outcome.SCALED_IN, target),
        replace(
            memory,
            worker_wants=remember_want(memory.worker_wants, now, target, SCALE_IN_WINDOW_SECONDS),
        ),
        _nothing_known(observation),
        None,
        f"the inbox's length is not known; {'min' if grows else 'max'} {target}",
    )
