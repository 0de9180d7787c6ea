"""How many consumers: up to one a partition when lag grows while the inbox is short.

A consumer that waits because the inbox is full needs workers beside it, not consumers.
"""

from __future__ import annotations

import math
from dataclasses import replace

from eventstream.spec import StreamSpec
from eventstream_operator.decide.decision import Outcome, Verdict
from eventstream_operator.decide.memory import Memory, Rate, remember_want
from eventstream_operator.decide.rates import (
    arrivals_per_second,
    intervals,
    with_known_lag,
)
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.tuning import (
    CAPACITY_REMEMBERED_SECONDS,
    CONSUMER_WINDOW_SECONDS,
    LEVEL_SECONDS,
    STEP_FACTOR,
    TOLERANCE,
)
from eventstream_operator.observe.observation import KafkaBacklog, Observation, Replicas


def decide_consumers(
    spec: StreamSpec, observation: Observation, memory: Memory, now: float
) -> tuple[Verdict, Memory]:
    """The consumers' verdict; `memory` holds this pass's sample already."""
    if spec.source is None:
        return Verdict(None, Outcome.NOT_SCALED, None), memory
    replicas = fresh(observation.consumers)
    kafka = fresh(observation.kafka)
    inbox = fresh(observation.inbox)
    counts = fresh(observation.counts)
    if replicas is None or kafka is None or inbox is None or counts is None:
        if replicas is not None:
            memory = _remember(memory, now, replicas.desired)
        known = (observation.consumers, observation.kafka, observation.inbox, observation.counts)
        stale = all(signal is not None for signal in known)
        outcome = Outcome.SIGNAL_STALE if stale else Outcome.SIGNAL_MISSING
        return Verdict(None, outcome, replicas.desired if replicas else None), memory
    short = inbox.queued + inbox.in_flight <= spec.scaling.workers.queue_length
    growing = short and kafka.lag > spec.scaling.workers.queue_length and _lag_grows(memory)
    memory = _remember_capacity(memory, replicas, growing=growing, now=now)
    need = _need(memory, kafka, replicas, growing=growing)
    verdict, memory = _step(memory, replicas, kafka, need, growing=growing, now=now)
    if spec.scaling.mode == "Auto" and verdict.outcome is Outcome.SCALED_OUT:
        # The samples before the step say what fewer consumers did: growth is looked for anew.
        memory = replace(memory, consumers_scaled_at=now)
    return verdict, memory


def _lag_grows(memory: Memory) -> bool:
    """Lag rose over the time since the last step, and over the second half of it."""
    since = memory.consumers_scaled_at
    known = with_known_lag(memory.samples)
    samples = [s for s in known if since is None or s.at >= since]
    if len(samples) < 3 or samples[-1].at - samples[0].at < LEVEL_SECONDS:
        return False
    first, middle, last = (samples[at].lag or 0 for at in (0, len(samples) // 2, -1))
    return first < middle < last


def _remember_capacity(memory: Memory, replicas: Replicas, *, growing: bool, now: float) -> Memory:
    """While lag grows, what comes into the inbox is what the consumers can do."""
    if growing and replicas.ready > 0:
        # Not while the lag was unknown: with Kafka away they take nothing.
        samples = with_known_lag(memory.samples)
        seconds = samples[-1].at - samples[0].at
        taken = samples[-1].accepted - samples[0].accepted
        if taken > 0:
            # capacity = events taken in a second / ready consumers
            capacity = Rate(now, taken / seconds / replicas.ready)
            return replace(memory, consumer_capacity=capacity)
    known = memory.consumer_capacity
    if known and now - known.at > CAPACITY_REMEMBERED_SECONDS:
        return replace(memory, consumer_capacity=None)
    return memory


def _need(memory: Memory, kafka: KafkaBacklog, replicas: Replicas, *, growing: bool) -> int:
    arrivals = arrivals_per_second(memory.samples)
    known = memory.consumer_capacity
    if growing:
        return replicas.desired + 1
    if known is None or arrivals is None or not list(intervals(memory.samples)):
        return replicas.desired if kafka.lag else 1
    # wanted = ceil(arrivals a second / (capacity of one, less the tolerance band))
    return math.ceil(arrivals / (known.per_second * (1 - TOLERANCE)) - 1e-9)


def _step(
    memory: Memory,
    replicas: Replicas,
    kafka: KafkaBacklog,
    need: int,
    *,
    growing: bool,
    now: float,
) -> tuple[Verdict, Memory]:
    # More consumers than partitions have nothing to read; without any, nobody reads at all. Those
    # that are too many leave as others do: until all consumers have told of theirs, partitions may
    # seem to be fewer than they are.
    most = max(1, kafka.partitions)
    current = replicas.desired
    if current < 1:
        return Verdict(1, Outcome.SCALED_OUT, 1), _remember(memory, now, 1)
    wanted = max(1, min(need, most))
    if growing and current <= most:
        target = min(wanted, current * STEP_FACTOR)
        if target > current and replicas.ready < current:
            outcome = Outcome.PODS_STARTING
        elif target > current:
            return Verdict(target, Outcome.SCALED_OUT, target), _remember(memory, now, target)
        else:
            outcome = Outcome.AT_MAX
        return Verdict(None, outcome, current), _remember(memory, now, current)
    memory = _remember(memory, now, min(wanted, current))
    if wanted >= current:
        resting = Outcome.AT_MIN if current == 1 else Outcome.STEADY
        return Verdict(None, resting, current), memory
    if now - memory.started_at < CONSUMER_WINDOW_SECONDS:
        return Verdict(None, Outcome.JUST_STARTED, current), memory
    highest = memory.consumer_wants[0].pods
    if highest >= current:
        return Verdict(None, Outcome.STABILISING, current), memory
    return Verdict(highest, Outcome.SCALED_IN, highest), memory


def _remember(memory: Memory, now: float, pods: int) -> Memory:
    wants = remember_want(memory.consumer_wants, now, pods, CONSUMER_WINDOW_SECONDS)
    return replace(memory, consumer_wants=wants)
