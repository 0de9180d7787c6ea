"""The typed catalogue of every metric: name, kind, labels, buckets, what it means.

Every metric that leaves a process is declared here and nowhere else. Model calls use the
OpenTelemetry GenAI names and buckets. A worker's prefork children write under their pool slot, not
their pid (see `worker.exposition`), so a recycled child goes on in its predecessor's file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (advised bucket boundaries)
GEN_AI_SECONDS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
GEN_AI_TOKENS: Final = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip
EVENT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
LOOK_UP_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class BatchHistogram(Histogram):
    """A histogram that takes many observations at once, for one write a bucket."""

    def observe_all(self, amounts: Iterable[float]) -> None:
        """The same as `observe` for each of the amounts."""
        total = 0.0
        in_bucket: dict[int, int] = {}
        for amount in amounts:
            total += amount
            # The first bucket whose upper bound is not below the amount; the last is infinite.
            position = bisect_left(self._upper_bounds, amount)
            in_bucket[position] = in_bucket.get(position, 0) + 1
        if in_bucket:
            self._sum.inc(total)
        for position, count in in_bucket.items():
            self._buckets[position].inc(count)


# -- the way of an event ---------------------------------------------------------------------
EVENTS_ACCEPTED = Counter(
    "eventstream_events_accepted",
    "Events that this process wrote into an inbox (duplicates included).",
    ["stream", "via"],
)
EVENTS_DUPLICATE = Counter(
    "eventstream_events_duplicate",
    "Accepted events whose id and content were known already.",
    ["stream", "via"],
)
EVENTS_REFUSED = Counter(
    "eventstream_events_refused",
    "Events that were not accepted, by stable reason; a batch that is refused as a whole"
    " (unreadable, backlog_full, store_unavailable) counts once.",
    ["stream", "via", "reason"],
)
EVENTS_FINISHED = Counter(
    "eventstream_events_finished",
    "Events finished by this process: outcome answered or failed, source model, exact, semantic.",
    ["stream", "task_type", "outcome", "source"],
)
EVENTS_FAILED = Counter(
    "eventstream_events_failed",
    "Events that ended as FAILURE, by stable reason.",
    ["stream", "reason"],
)
EVENTS_REDELIVERED = Counter(
    "eventstream_events_redelivered",
    "Events taken over after another process's lease ended.",
    ["stream"],
)
EVENTS_DEFERRED = Counter(
    "eventstream_events_deferred",
    "Events put off to be tried again, by what they wait for: a provider, its limit, a budget, ...",
    ["stream", "why"],
)
EVENTS_GIVEN_BACK = Counter(
    "eventstream_events_given_back",
    "Events that a stopping worker gave back unfinished.",
    ["stream"],
)
EVENT_SECONDS_TO_RESULT = BatchHistogram(
    "eventstream_event_seconds",
    "From acceptance to the stored result.",
    ["stream", "via"],
    buckets=EVENT_SECONDS,
)
PROCESSING_SECONDS = BatchHistogram(
    "eventstream_processing_seconds",
    "Work on one event, waiting in queues not included.",
    ["stream", "source"],
    buckets=EVENT_SECONDS,
)
CLAIM_SIZE = Histogram(
    "eventstream_claim_size", "Events taken from an inbox at once.", ["stream"], buckets=BATCH_SIZES
)
EVENTS_IN_FLIGHT = Gauge(
    "eventstream_events_in_flight",
    "Events that this worker's processes hold now.",
    multiprocess_mode="livesum",
)
QUEUE_LENGTH = Gauge(
    "eventstream_queue_length",
    "The documented queue length: queued + in flight, as the API last saw it.",
    ["stream", "queue"],
)
DEFERRED_EVENTS = Gauge(
    "eventstream_deferred_events",
    "Events put off to be tried again, as the API last saw it (why: eventstream_events_deferred).",
    ["stream", "queue"],
)
OLDEST_EVENT_SECONDS = Gauge(
    "eventstream_oldest_event_seconds",
    "Age of the oldest unfinished event, deferred ones too, as the API last saw it.",
    ["stream", "queue"],
)
BUSY_SECONDS = Counter(
    "eventstream_worker_busy_seconds", "Seconds in which a worker process held at least one event."
)

# -- HTTP ------------------------------------------------------------------------------------
HTTP_REQUESTS = Counter(
    "eventstream_http_requests", "HTTP requests by route and status.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "eventstream_http_request_seconds",
    "Time to answer an HTTP request (long polls not included).",
    ["method", "route"],
    buckets=EVENT_SECONDS,
)
HTTP_WAITING = Gauge("eventstream_http_waiting", "Long polls that wait for a result now.")

# -- Kafka -----------------------------------------------------------------------------------
KAFKA_CONSUMED = Counter(
    "eventstream_kafka_records_consumed", "Records read from a source topic.", ["stream", "topic"]
)
KAFKA_LAG = Gauge(
    "eventstream_kafka_lag_records",
    "End of the partition less this consumer's stored position.",
    ["stream", "topic", "partition"],
)
KAFKA_PAUSED = Gauge(
    "eventstream_kafka_paused_partitions", "Partitions paused because of backlog.", ["stream"]
)
KAFKA_GAP = Gauge(
    "eventstream_kafka_gap_records",
    "Records whose events were lost with a results Redis that lost its data, until replayed.",
    ["stream", "topic", "partition"],
)
KAFKA_BATCH_SIZE = Histogram(
    "eventstream_kafka_batch_size", "Records accepted at once.", ["stream"], buckets=BATCH_SIZES
)
KAFKA_PRODUCED = Counter(
    "eventstream_kafka_records_produced",
    "Records written and acknowledged: purpose sink or dead_letter.",
    ["topic", "purpose"],
)

# -- cache -----------------------------------------------------------------------------------
CACHE_LOOK_UPS = Counter(
    "eventstream_cache_look_ups",
    "Texts looked up: outcome exact, semantic, miss, near_miss (refused), off.",
    ["stream", "task_type", "outcome"],
)
CACHE_LOOK_UP_SECONDS = Histogram(
    "eventstream_cache_look_up_seconds",
    "One look-up of a whole claim, embeddings included.",
    buckets=LOOK_UP_SECONDS,
)
CACHE_SEMANTIC_AVAILABLE = Gauge(
    "eventstream_cache_semantic_available",
    "1 where the cache server has vector search, 0 where only exact hits work.",
    multiprocess_mode="mostrecent",
)
CACHE_ERRORS = Counter(
    "eventstream_cache_errors", "Cache calls that failed; the event went to the model.", ["call"]
)
CACHE_SINGLE_FLIGHT = Counter(
    "eventstream_cache_single_flight",
    "Misses that waited for the same question under way instead of asking again.",
    ["stream"],
)
CACHE_EVIDENCE = Counter(
    "eventstream_cache_evidence_pairs",
    "Near texts whose answers the model compared: origin refused (free) or checked (a hit asked"
    " all the same), outcome agreed or disagreed.",
    ["stream", "task_type", "origin", "outcome"],
)
CACHE_CHECK_COST = Counter(
    "eventstream_cache_check_cost_microdollars",
    "What model calls cost that only checked a hit (part of eventstream_model_cost_microdollars).",
    ["stream"],
)
CACHE_OPENED_HITS = Counter(
    "eventstream_cache_opened_hits",
    "Semantic hits that the guard alone would have refused (policy bounded).",
    ["stream", "task_type"],
)
CACHE_OPENED_KINDS = Gauge(
    "eventstream_cache_opened_kinds",
    "Combinations of differences that the policy bounded accepts now.",
    ["stream", "task_type"],
    multiprocess_mode="mostrecent",
)
CACHE_ADVICE_HITS = Gauge(
    "eventstream_cache_advice_hit_ratio",
    "Share of look-ups that an option (a policy with its number) would answer: bound low, value,"
    " high of the 95 % interval.",
    ["stream", "task_type", "option", "bound"],
    multiprocess_mode="mostrecent",
)
CACHE_ADVICE_WRONG = Gauge(
    "eventstream_cache_advice_wrong_hit_ratio",
    "Share of an option's semantic hits that would be wrong: bound low, value, high.",
    ["stream", "task_type", "option", "bound"],
    multiprocess_mode="mostrecent",
)
CACHE_ADVICE_SAVED = Gauge(
    "eventstream_cache_advice_saved_microdollars",
    "What an option would save against the policy in force, per 1,000 look-ups (below 0: cost).",
    ["stream", "task_type", "option"],
    multiprocess_mode="mostrecent",
)
CACHE_ADVICE_DRAWN = Gauge(
    "eventstream_cache_advice_drawn_timestamp_seconds",
    "When this pod last drew the advice that it shows, in Unix seconds: pods take turns.",
    ["stream", "task_type"],
    multiprocess_mode="mostrecent",
)

# -- models (OpenTelemetry GenAI names) --------------------------------------------------------
GEN_AI_DURATION = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Duration of one model call.",
    [
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_request_model",
        "error_type",
    ],
    buckets=GEN_AI_SECONDS,
)
GEN_AI_TOKEN_USAGE = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of one model call by type (input, output).",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
    buckets=GEN_AI_TOKENS,
)
MODEL_COST = Counter(
    "eventstream_model_cost_microdollars", "Cost of model calls, in micro-dollars.", ["stream"]
)
MODEL_COST_SAVED = Counter(
    "eventstream_model_cost_saved_microdollars",
    "What the answers given from the cache had cost when they were made.",
    ["stream"],
)
MODEL_RETRIES = Counter(
    "eventstream_model_retries", "Model calls made again, by cause.", ["stream", "cause"]
)
LIMIT_WAITS = Counter(
    "eventstream_limit_waits", "Calls held back by a shared limit: requests, tokens, frozen.",
    ["name", "limit"],
)  # fmt: skip
BUDGET_EXHAUSTED = Gauge(
    "eventstream_budget_exhausted",
    "1 while a stream's budget of the day is spent.",
    ["stream"],
    multiprocess_mode="mostrecent",
)

# -- process ---------------------------------------------------------------------------------
STORE_UNAVAILABLE = Counter(
    "eventstream_store_unavailable", "Times that Redis could not take or give.", ["call"]
)
WAKE_UPS = Counter(
    "eventstream_wake_ups", "Celery wake-ups sent: outcome sent or failed.", ["queue", "outcome"]
)
