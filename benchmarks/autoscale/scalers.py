"""Ours, and the published formulas of others at their published defaults.

Every scaler has the same bounds, sees the same numbers without delay, and is called every second;
it looks as often as it is documented to look.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks.autoscale.cluster import SLOTS, View
from eventstream.spec import Scaling, StreamSpec, WorkerScaling
from eventstream_operator.decide import Memory, decide
from eventstream_operator.observe.observation import (
    EventCounts,
    Frozen,
    InboxDepth,
    Measured,
    Observation,
    ProviderUse,
    Replicas,
    WorkerTime,
)

MIN_PODS: Final = 1
MAX_PODS: Final = 20


class Scaler(Protocol):
    """Looks once a second; returns the pods to set, or None to leave them."""

    def look(self, view: View) -> int | None:
        """What to do now."""


@dataclass(slots=True)
class Ours:
    """The operator: the real decision code, a pass every two seconds."""

    phase: int
    pass_seconds: int = 2
    spec: StreamSpec = field(
        default_factory=lambda: StreamSpec(
            scaling=Scaling(workers=WorkerScaling(min=MIN_PODS, max=MAX_PODS))
        )
    )
    memory: Memory = field(default_factory=lambda: Memory(started_at=0.0))

    def look(self, view: View) -> int | None:
        """One pass."""
        if (view.at + self.phase) % self.pass_seconds:
            return None
        decision = decide(self.spec, observation_of(view), self.memory, float(view.at))
        self.memory = decision.memory
        return decision.workers.target


def observation_of(view: View) -> Observation:
    """The simulated signals, as the operator would have read them."""
    return Observation(
        stream="simulated",
        inbox=Measured(
            InboxDepth(view.queued, view.in_flight, view.deferred, view.oldest_age_seconds)
        ),
        counts=Measured(EventCounts(view.accepted, view.finished)),
        worker_time=Measured(WorkerTime(view.busy_worker_seconds, view.idle, SLOTS)),
        workers=Measured(Replicas(view.desired, view.ready)),
        provider=Measured(
            ProviderUse(
                throttled=view.throttled,
                frozen=Frozen("simulated", "rate_limited", view.frozen_seconds)
                if view.frozen_seconds
                else None,
            )
        ),
    )


@dataclass(slots=True)
class Hpa:
    """HorizontalPodAutoscaler v2 on an external metric with an AverageValue target.

    desired = ceil(metric / target), left alone while |metric / (target x pods) - 1| <= 0.1;
    then the highest desired of the last 300 s for scale-down, and for scale-up at most the larger
    of 100 % and 4 pods in 15 s. Looks every 15 s.
    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
    """

    phase: int
    target: float
    metric: Callable[[View], int]
    sync_seconds: int = 15
    tolerance: float = 0.1
    stabilization_seconds: int = 300
    up_percent: int = 100
    up_pods: int = 4
    policy_seconds: int = 15
    _recommendations: deque[tuple[int, int]] = field(default_factory=deque)
    _ups: deque[tuple[int, int]] = field(default_factory=deque)

    def look(self, view: View) -> int | None:
        """One sync, when it is due."""
        if (view.at + self.phase) % self.sync_seconds:
            return None
        metric, current = self.metric(view), view.desired
        ratio = metric / (self.target * current)
        desired = current if abs(ratio - 1) <= self.tolerance else math.ceil(metric / self.target)
        desired = max(MIN_PODS, min(desired, MAX_PODS))
        while self._recommendations and (
            self._recommendations[0][0] <= view.at - self.stabilization_seconds
        ):
            self._recommendations.popleft()
        self._recommendations.append((view.at, desired))
        if desired < current:
            return min(current, max(pods for _, pods in self._recommendations))
        while self._ups and self._ups[0][0] <= view.at - self.policy_seconds:
            self._ups.popleft()
        began = current - sum(added for _, added in self._ups)
        limit = max(began + self.up_pods, math.ceil(began * (1 + self.up_percent / 100)))
        desired = min(desired, max(limit, current))
        if desired > current:
            self._ups.append((view.at, desired - current))
        return desired


def hpa_external(phase: int) -> Hpa:
    """HPA v2 alone, on the documented queue length, with our own trigger as its target.

    An external metric has no default target: 100 is the documented trigger here.
    """
    return Hpa(phase, target=100, metric=lambda view: view.queued + view.in_flight)


def keda_redis_list(phase: int) -> Hpa:
    """KEDA's Redis-list scaler: an HPA on the list's length, listLength 5 a pod.

    pollingInterval (30 s) and cooldownPeriod (300 s) rule only between no pod and one, which the
    same least number of pods for all leaves out.
    https://keda.sh/docs/latest/scalers/redis-lists/
    """
    return Hpa(phase, target=5, metric=lambda view: view.queued)


@dataclass(slots=True)
class Numaflow:
    """Numaflow, for a source or a MonoVertex.

    desired = round(pending / rate / targetProcessingSeconds x ready pods), between 1 and pending;
    pending and rate are means over lookbackSeconds; at most replicasPerScaleUp/Down (2) at once,
    90 s after the last change; looked at every 30 s; nothing without a rate, and nothing while no
    pod is ready.
    https://numaflow.numaproj.io/user-guide/reference/autoscaling/
    """

    phase: int
    target_processing_seconds: int = 20
    lookback_seconds: int = 120
    cooldown_seconds: int = 90
    replicas_per_scale: int = 2
    task_seconds: int = 30
    _seen: deque[tuple[int, int, int]] = field(default_factory=deque)
    _scaled_at: float = float("-inf")

    def look(self, view: View) -> int | None:
        """One task, when it is due."""
        pending = view.queued + view.in_flight + view.deferred
        self._seen.append((view.at, pending, view.finished))
        while self._seen[0][0] < view.at - self.lookback_seconds:
            self._seen.popleft()
        if (view.at + self.phase) % self.task_seconds:
            return None
        if view.at - self._scaled_at < self.cooldown_seconds or view.ready == 0:
            return None
        seconds = self._seen[-1][0] - self._seen[0][0]
        if not seconds:
            return None
        rate = (self._seen[-1][2] - self._seen[0][2]) / seconds
        mean_pending = round(sum(row[1] for row in self._seen) / len(self._seen))
        desired = self._desired(mean_pending, rate, view.ready)
        desired = max(MIN_PODS, min(desired, MAX_PODS))
        step = max(-self.replicas_per_scale, min(desired - view.desired, self.replicas_per_scale))
        if step == 0:
            return None
        self._scaled_at = view.at
        return view.desired + step

    def _desired(self, pending: int, rate: float, ready: int) -> int:
        if pending == 0 and rate == 0:
            return 0
        if rate == 0:
            return ready
        desired = round(pending / rate / self.target_processing_seconds * ready)
        return min(max(desired, 1), pending) if pending else max(desired, 1)


SCALERS: Final[dict[str, Callable[[int], Scaler]]] = {
    "AI-EventStream": Ours,
    "HPA v2, external metric": hpa_external,
    "KEDA, Redis list": keda_redis_list,
    "Numaflow": Numaflow,
}

DEFAULTS: Final[dict[str, str]] = {
    "AI-EventStream": "pass every 2 s; queueLength 100, drainSeconds 60 (the spec's defaults)",
    "HPA v2, external metric": (
        "sync 15 s; tolerance 10 %; scale-down stabilisation 300 s, 100 %/15 s; scale-up 100 % or"
        " 4 pods in 15 s; AverageValue 100 (no default exists: our documented trigger)"
    ),
    "KEDA, Redis list": (
        "listLength 5; pollingInterval 30 s and cooldownPeriod 300 s (0 to 1 pod only); behind it"
        " the HPA above"
    ),
    "Numaflow": (
        "targetProcessingSeconds 20; lookbackSeconds 120; cooldown 90 s up and down; 2 replicas a"
        " step; looked at every 30 s"
    ),
}
