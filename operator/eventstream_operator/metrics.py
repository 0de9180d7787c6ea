"""The typed catalogue of the operator's metrics.

They live in a registry of their own: importing the services' modules registers the services'
metrics, which say nothing in this process and must not be exposed by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

PASS_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REPLICAS_WANTED = Gauge(
    "eventstream_operator_replicas_wanted",
    "Pods that the operator finds right: role workers, consumers, api.",
    ["stream", "role"],
    registry=REGISTRY,
)
REPLICAS_DESIRED = Gauge(
    "eventstream_operator_replicas_desired",
    "Pods that the Deployment asks for.",
    ["stream", "role"],
    registry=REGISTRY,
)
REPLICAS_READY = Gauge(
    "eventstream_operator_replicas_ready",
    "Pods that are ready.",
    ["stream", "role"],
    registry=REGISTRY,
)
BACKLOG = Gauge(
    "eventstream_operator_backlog_events",
    "Queued, in flight and Kafka lag.",
    ["stream"],
    registry=REGISTRY,
)
DECISIONS = Counter(
    "eventstream_operator_decisions",
    "Verdicts by outcome, one a pass for each of workers, consumers, api.",
    ["stream", "role", "outcome"],
    registry=REGISTRY,
)
SCALED = Counter(
    "eventstream_operator_scaled",
    "Changes of replicas that were carried out: direction out or in.",
    ["stream", "role", "direction"],
    registry=REGISTRY,
)
CONDITION = Gauge(
    "eventstream_operator_condition",
    "1 where the stream's condition is True.",
    ["stream", "type"],
    registry=REGISTRY,
)
STATUS_REFUSED = Gauge(
    "eventstream_operator_status_refused",
    "1 while the API server refuses the stream's status: what stands in it is old.",
    ["stream"],
    registry=REGISTRY,
)
SIGNAL_AGE = Gauge(
    "eventstream_operator_signal_age_seconds",
    "Age of the last good reading: signal redis, kafka, cpu, cache, cluster.",
    ["signal"],
    registry=REGISTRY,
)
PASS_DURATION = Histogram(
    "eventstream_operator_pass_seconds",
    "One pass over all streams.",
    buckets=PASS_SECONDS,
    registry=REGISTRY,
)
STREAMS = Gauge("eventstream_operator_streams", "EventStreams in the namespace.", registry=REGISTRY)
LEADING = Gauge(
    "eventstream_operator_leading",
    "1 while this operator holds the Lease, 0 while it waits for another one to let go.",
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    "eventstream_operator_api_requests",
    "Requests to the API server by verb, resource and outcome (ok, conflict, not_found, refused,"
    " unreachable); watches are not among them.",
    ["verb", "resource", "outcome"],
    registry=REGISTRY,
)


def forget_stream(stream: str) -> None:
    """Drop the series of a stream that is gone."""
    for metric in (REPLICAS_WANTED, REPLICAS_DESIRED, REPLICAS_READY, DECISIONS, SCALED):
        metric.remove_by_labels({"stream": stream})
    for gauge in (BACKLOG, CONDITION, STATUS_REFUSED):
        gauge.remove_by_labels({"stream": stream})


def forget_all(streams: Iterable[str]) -> None:
    """Drop what only the operator that acts can say: beside it, the last word of another one would
    look like the present."""
    for stream in streams:
        forget_stream(stream)
    SIGNAL_AGE.clear()
    STREAMS.set(0)
