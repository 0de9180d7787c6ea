"""`status.decision`: the decision about the workers in one line of plain numbers."""

from __future__ import annotations

from eventstream.spec import StreamSpec
from eventstream_operator.decide.decision import Outcome, Verdict
from eventstream_operator.decide.signals import fresh
from eventstream_operator.decide.workers import WorkersDecision
from eventstream_operator.observe.observation import Observation, Replicas


def explain(
    spec: StreamSpec, observation: Observation, decided: WorkersDecision, verdict: Verdict
) -> str:
    """Backlog, arrivals, what the workers do -> what is wanted; what changed it -> what is set.

    Where the operator may not set it, the last word says so.
    """
    sentence = _reasoning(spec, observation, decided)
    replicas = fresh(observation.workers)
    right = decided.verdict.recommended
    if replicas is None or right == replicas.desired:
        return sentence
    if verdict.outcome is Outcome.CONFLICT:
        return (
            f"{sentence}; {observation.conflicts.workers_scaled_by} decides, so {_stay(replicas)}"
        )
    if verdict.outcome is Outcome.REFUSED:
        return f"{sentence}; the API server refuses it, so {_stay(replicas)}"
    if verdict.outcome in (Outcome.PAUSED, Outcome.RECOMMENDED):
        return f"{sentence}; the mode is {spec.scaling.mode}, so {_stay(replicas)}"
    return sentence


def _stay(replicas: Replicas) -> str:
    return f"{replicas.desired} {'stays' if replicas.desired == 1 else 'stay'}"


def _reasoning(spec: StreamSpec, observation: Observation, decided: WorkersDecision) -> str:
    replicas = fresh(observation.workers)
    if decided.wanted is None or replicas is None:
        if decided.verdict.target is not None:
            return f"{decided.why} -> {decided.verdict.target}"
        stays = "" if replicas is None else f", {replicas.desired} workers stay"
        return f"{decided.why}{stays}"
    bounds = spec.scaling.workers
    parts = [_backlog(spec, observation, decided)]
    figures = decided.figures
    if figures.arrivals_per_second is not None:
        parts.append(f"{number(figures.arrivals_per_second)} events/s in")
    workers = f"{replicas.ready} {'worker does' if replicas.ready == 1 else 'workers do'}"
    if figures.capacity_per_second is not None:
        each = "" if replicas.ready == 1 else " each"
        parts.append(f"{workers} {number(figures.capacity_per_second)}/s{each}")
        goal = f"to drain in {bounds.drain_seconds} s"
    else:
        parts.append("no rate yet")
        goal = f"at {bounds.queue_length} events a worker"
    sentence = f"{', '.join(parts)} -> {decided.wanted} {goal}"
    right = decided.verdict.recommended
    if right == decided.wanted and decided.why == "":
        return sentence
    reason = f"; {decided.why}" if decided.why else ""
    stays = "stays at " if right == replicas.desired else ""
    return f"{sentence}{reason} -> {stays}{right}"


def _backlog(spec: StreamSpec, observation: Observation, decided: WorkersDecision) -> str:
    inbox = fresh(observation.inbox)
    assert inbox is not None  # A formula was computed.
    inside = [f"queued {inbox.queued}", f"in flight {inbox.in_flight}"]
    if spec.source is not None:
        lag = decided.figures.lag
        inside.append("Kafka lag not known" if lag is None else f"Kafka lag {lag}")
    text = f"backlog {decided.figures.backlog} ({', '.join(inside)})"
    return f"{text}, {inbox.deferred} deferred" if inbox.deferred else text


def number(value: float) -> str:
    """Two significant digits below ten, whole numbers above."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
