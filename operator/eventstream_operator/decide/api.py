"""How many API pods: CPU over its request, in the one stream that owns the API."""

from __future__ import annotations

import math
from dataclasses import replace

from eventstream.spec import StreamSpec
from eventstream_operator.decide.decision import Outcome, Verdict
from eventstream_operator.decide.memory import Memory, remember_want
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.tuning import (
    CPU_STALE_SECONDS,
    SCALE_IN_WINDOW_SECONDS,
    STEP_FACTOR,
    TOLERANCE,
)
from eventstream_operator.observe.observation import Observation


def decide_api(
    spec: StreamSpec, observation: Observation, memory: Memory, now: float
) -> tuple[Verdict, Memory]:
    """The API's verdict; NOT_SCALED where the spec asks for no such thing."""
    bounds = spec.scaling.api
    if bounds is None:
        return Verdict(None, Outcome.NOT_SCALED, None), memory
    if observation.conflicts.api_owner != observation.stream:
        return Verdict(None, Outcome.CONFLICT, None), memory
    replicas = fresh(observation.api)
    if replicas is None:
        return Verdict(None, _blind(observation.api), None), memory
    current = replicas.desired
    bounded = max(bounds.min, min(current, bounds.max))
    if bounded != current:
        outcome = Outcome.SCALED_OUT if bounded > current else Outcome.SCALED_IN
        return Verdict(bounded, outcome, bounded), _remember(memory, now, bounded)
    cpu = fresh(observation.api_cpu, stale_seconds=CPU_STALE_SECONDS)
    if cpu is None or cpu.percent is None or replicas.ready == 0:
        if cpu is not None and cpu.percent is None:
            outcome = Outcome.NO_CPU_REQUEST
        elif cpu is not None:
            outcome = Outcome.PODS_STARTING
        else:
            outcome = _blind(observation.api_cpu)
        return Verdict(None, outcome, current), _remember(memory, now, current)
    # wanted = ceil(ready x CPU / target). A pod that is ready has no figure for up to a minute, and
    # the others' are from before it helped: it counts as idle for more, as full for fewer.
    measured = replicas.ready if cpu.pods is None else min(cpu.pods, replicas.ready)
    known = measured * cpu.percent / bounds.cpu_percent
    need = known + replicas.ready - measured
    wanted = math.ceil(known - 1e-9)
    if wanted > current:
        target = min(wanted, current * STEP_FACTOR, bounds.max)
        memory = _remember(memory, now, target)
        if target <= current:
            return Verdict(None, Outcome.AT_MAX, current), memory
        return Verdict(target, Outcome.SCALED_OUT, target), memory
    roomy = math.ceil(need / (1 - TOLERANCE) - 1e-9)
    kept = max(bounds.min, min(roomy, current))
    memory = _remember(memory, now, kept)
    if kept >= current:
        fewer = math.ceil(need - 1e-9) < current
        resting = Outcome.WITHIN_TOLERANCE if fewer else Outcome.STEADY
        resting = Outcome.AT_MIN if current == bounds.min else resting
        return Verdict(None, resting, current), memory
    if now - memory.started_at < SCALE_IN_WINDOW_SECONDS:
        return Verdict(None, Outcome.JUST_STARTED, current), memory
    highest = memory.api_wants[0].pods
    if highest >= current:
        return Verdict(None, Outcome.STABILISING, current), memory
    return Verdict(highest, Outcome.SCALED_IN, highest), memory


def _blind(signal: object | None) -> Outcome:
    return Outcome.SIGNAL_MISSING if signal is None else Outcome.SIGNAL_STALE


def _remember(memory: Memory, now: float, pods: int) -> Memory:
    wants = remember_want(memory.api_wants, now, pods, SCALE_IN_WINDOW_SECONDS)
    return replace(memory, api_wants=wants)
