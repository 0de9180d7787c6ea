"""An EventStream's status: built from a decision, written when it says something new.

Pure: values in, a dictionary out. `None` stands for what is not known; a merge patch removes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from eventstream_operator.decide import STARTING, Condition, Decision, Outcome, Verdict, fresh
from eventstream_operator.observe.observation import Measured, Observation, Replicas

HISTORY: Final = 10
"""Decisions that are kept."""

Status = dict[str, Any]


def build_status(
    decision: Decision,
    observation: Observation,
    *,
    before: Mapping[str, Any],
    generation: int,
    memory: Mapping[str, Any],
    changed: bool,
    unix_now: float,
) -> Status:
    """The whole status. `before` is the one that stands; `changed`: replicas were set just now."""
    figures = decision.figures
    inbox = fresh(observation.inbox)
    told = tells_something_new(decision, before, changed=changed)
    history = list(before.get("history") or ())
    if told:
        history = [*history, {"at": _stamp(unix_now), "decision": decision.sentence}][-HISTORY:]
    hit_rate = figures.hit_rate_percent
    return {
        "observedGeneration": generation,
        "phase": decision.phase,
        "reason": decision.workers.outcome.value,
        # Until there was a change it explains why there is none.
        "decision": history[-1]["decision"] if history else decision.sentence,
        "history": history,
        "backlog": figures.backlog,
        "lag": figures.lag,
        "oldestEventSeconds": round(inbox.oldest_unfinished_seconds, 1) if inbox else None,
        "arrivalsPerSecond": _rounded(figures.arrivals_per_second),
        "capacityPerSecond": _rounded(figures.capacity_per_second),
        "hitRatePercent": _rounded(hit_rate),
        "hitRate": None if hit_rate is None else f"{hit_rate:.0f}%",
        "workers": _role(observation.workers, decision.workers),
        "consumers": _role(observation.consumers, decision.consumers),
        "api": _role(observation.api, decision.api),
        "conditions": build_conditions(
            decision.conditions, before.get("conditions") or (), generation, unix_now
        ),
        "memory": dict(memory),
    }


def tells_something_new(decision: Decision, before: Mapping[str, Any], *, changed: bool) -> bool:
    """Whether this decision belongs into the history: a change, or a new recommendation."""
    if changed:
        return True
    recommended = Outcome.RECOMMENDED in (decision.workers.outcome, decision.consumers.outcome)
    wanted = (before.get("workers") or {}).get("wanted")
    return recommended and decision.workers.recommended != wanted


def build_conditions(
    conditions: Sequence[Condition],
    before: Sequence[Mapping[str, Any]],
    generation: int,
    unix_now: float,
) -> list[Status]:
    """Conditions as Kubernetes keeps them: the time of transition stays while the status does."""
    known = {one["type"]: one for one in before}
    built = []
    for condition in conditions:
        last = known.get(condition.type)
        same = last is not None and last["status"] == condition.status
        since = last.get("lastTransitionTime") if last is not None and same else None
        built.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": since or _stamp(unix_now),
                "observedGeneration": generation,
            }
        )
    return built


def transitions(
    conditions: Sequence[Condition], before: Sequence[Mapping[str, Any]]
) -> list[Condition]:
    """The conditions to tell of: whose status changed, and whose start did not come to its end.

    At first: those that are True, and whether the stream is ready.
    """
    known = {one["type"]: (one["status"], one["reason"]) for one in before}
    told = []
    for condition in conditions:
        never = (None if condition.type == "Ready" else "False", None)
        status, reason = known.get(condition.type, never)
        if condition.status != status or (reason == STARTING and not condition.good):
            told.append(condition)
    return told


def substance(status: Mapping[str, Any]) -> object:
    """What is written at once when it changes; figures that move all the time are left out."""
    return (
        status.get("observedGeneration"),
        status.get("phase"),
        status.get("reason"),
        [one["decision"] for one in status.get("history") or ()],
        [
            (status.get(role) or {}).get(key)
            for role in ("workers", "consumers", "api")
            for key in ("ready", "desired", "outcome")
        ],
        [(one["type"], one["status"], one["reason"]) for one in status.get("conditions") or ()],
    )


def _role(replicas: Measured[Replicas] | None, verdict: Verdict) -> Status | None:
    if replicas is None:
        return None
    desired = replicas.value.desired if verdict.target is None else verdict.target
    return {
        "ready": replicas.value.ready,
        "desired": desired,
        "wanted": verdict.recommended,
        "summary": f"{replicas.value.ready}/{desired}",
        "outcome": verdict.outcome.value,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _stamp(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
