"""What runs and what happened: workers, streams, figures, and emptying the cache."""

from __future__ import annotations

import time

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request

from eventstream.api.parameters import name_parameter
from eventstream.api.parts import parts_of
from eventstream.api.replies import NO_STORE, Reply, json_reply
from eventstream.api.schemas import (
    CacheCleared,
    DeploymentMetrics,
    StreamOverview,
    Streams,
    Workers,
)
from eventstream.errors import EventRefused, Reason
from eventstream.registry import Registry
from eventstream.spec import BUILT_IN_TASK_TYPES, TASK_TYPE_ALIASES, StreamSpec


async def get_workers(request: Request) -> Reply:
    """The workers, as their heartbeats tell."""
    alive = await parts_of(request).heartbeats.alive()
    return json_reply(
        Workers(
            workers=[beat.name for beat in alive],
            stats={
                beat.name: {
                    **beat.stats,
                    "pid": beat.pid,
                    "started_at": beat.started_at,
                    "beat_at": beat.beat_at,
                    "concurrency": beat.concurrency,
                    "queues": beat.queues,
                    "stopping": beat.stopping,
                }
                for beat in alive
            },
            active_tasks={beat.name: beat.active_tasks for beat in alive},
            registered_tasks={beat.name: beat.registered_tasks for beat in alive},
        )
    )


async def get_streams(request: Request) -> Reply:
    """The streams that events can be sent to."""
    streams = await parts_of(request).registry.all()
    return json_reply(
        Streams(streams=[overview_of(name, spec) for name, spec in sorted(streams.items())])
    )


def overview_of(name: str, spec: StreamSpec) -> StreamOverview:
    """What a caller needs to know of a stream."""
    return StreamOverview(
        name=name,
        task_type=spec.task.type,
        task_types=task_types_of(spec),
        labels=list(spec.task.labels),
        models=list(spec.model.allowed_names()),
        topic=spec.source.topic if spec.source else None,
    )


def task_types_of(spec: StreamSpec) -> list[str]:
    """Every `task_type` that a request to the stream may name."""
    return sorted({*BUILT_IN_TASK_TYPES, *TASK_TYPE_ALIASES, spec.task.type})


async def get_metrics(request: Request) -> Reply:
    """The deployment's figures as JSON, or this process's metrics for a scraper."""
    accept = request.headers.get("accept", "")
    if _wants_exposition(accept):
        encode, content_type = choose_encoder(accept)
        return Reply(200, encode(REGISTRY), (NO_STORE,), media_type=content_type.encode())
    parts = parts_of(request)
    counted = (await parts.results.counters(await _every_stream(parts.registry))).values()
    answered = sum(counters.answered for counters in counted)
    total = sum(counters.accepted - counters.duplicates for counters in counted)
    failed = sum(counters.failed for counters in counted)
    hits = sum(counters.hits for counters in counted)
    worked_us = sum(counters.processing_us for counters in counted)
    return json_reply(
        DeploymentMetrics(
            total_tasks=total,
            active_tasks=max(0, total - answered - failed),
            completed_tasks=answered,
            failed_tasks=failed,
            cache_hit_rate=min(1.0, hits / answered) if answered else 0.0,
            avg_processing_time=worked_us / answered / 1_000_000 if answered else 0.0,
            uptime=time.monotonic() - parts.lifecycle.started_at,
        )
    )


async def _every_stream(registry: Registry) -> list[str]:
    # A deleted stream's counters stay: without them the totals would go back, and what still waits
    # in its queue would not be told as active. One that can't be read is there all the same.
    return sorted(
        {
            *await registry.all(),
            *await registry.tombstones(),
            *await registry.settled(),
            *await registry.unknown(),
        }
    )


def _wants_exposition(accept: str) -> bool:
    # Some HTTP clients name text/plain after application/json by habit; no scraper names JSON.
    named = accept.lower()
    return "application/json" not in named and (
        "text/plain" in named or "application/openmetrics-text" in named
    )


async def clear_cache(request: Request) -> Reply:
    """Remove cached answers, of one task type or of all."""
    asked = name_parameter(request, "task_type")
    task_type = TASK_TYPE_ALIASES.get(asked, asked) if asked is not None else None
    stream = name_parameter(request, "stream")
    parts = parts_of(request)
    # A deleted stream's answers may still be there to be cleared.
    if stream is not None and await parts.registry.last(stream) is None:
        raise EventRefused(
            Reason.STREAM_NOT_FOUND,
            f"There never was a stream {stream!r}; GET /streams lists those that exist",
            "stream",
        )
    cleared = await parts.cache.clear(task_type=task_type, stream=stream)
    return json_reply(
        CacheCleared(
            cleared=cleared,
            task_type=task_type,
            stream=stream,
            message=f"{cleared} cached answers removed",
        )
    )
