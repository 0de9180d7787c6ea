"""A decision in the operator's metrics, once a pass and as its status tells it."""

from __future__ import annotations

from eventstream_operator.decide import Decision
from eventstream_operator.metrics import (
    BACKLOG,
    CONDITION,
    DECISIONS,
    REPLICAS_DESIRED,
    REPLICAS_READY,
    REPLICAS_WANTED,
)
from eventstream_operator.observe.observation import Observation


def show(stream: str, observation: Observation, decision: Decision) -> None:
    """Count the verdicts, and set what is known now of the stream."""
    if decision.figures.backlog is None:
        # The last one would look like the present.
        BACKLOG.remove_by_labels({"stream": stream})
    else:
        BACKLOG.labels(stream).set(decision.figures.backlog)
    for role, replicas, verdict in (
        ("workers", observation.workers, decision.workers),
        ("consumers", observation.consumers, decision.consumers),
        ("api", observation.api, decision.api),
    ):
        if replicas is None:
            continue
        DECISIONS.labels(stream, role, verdict.outcome.value).inc()
        REPLICAS_DESIRED.labels(stream, role).set(replicas.value.desired)
        REPLICAS_READY.labels(stream, role).set(replicas.value.ready)
        if verdict.recommended is not None:
            REPLICAS_WANTED.labels(stream, role).set(verdict.recommended)
    for condition in decision.conditions:
        CONDITION.labels(stream, condition.type).set(condition.status == "True")
