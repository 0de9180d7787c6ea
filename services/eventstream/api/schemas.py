"""Bodies of answers and of the batch request, as the OpenAPI document shows them.

Handlers on the hot path write their JSON directly; tests hold it against these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from eventstream.events import ProcessRequest

MAX_BATCH_EVENTS = 1000


class Accepted(BaseModel):
    """Answer of `POST /process`: the event is durable and will be worked on."""

    task_id: str = Field(description="Ask `GET /task/{task_id}` with it.")
    status: Literal["pending"]
    message: str
    estimated_time: float = Field(
        ge=0,
        description="Seconds until the answer, by the backlog and the rate of the last 30 s;"
        " 2 while nothing is known.",
    )


class BatchRequest(BaseModel):
    """Body of `POST /process/batch`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"text": "Great battery, poor screen.", "task_type": "sentiment_analysis"},
                        {"text": "¿Dónde está mi pedido?"},
                    ]
                }
            ]
        },
    )

    events: Annotated[list[ProcessRequest], Field(min_length=1, max_length=MAX_BATCH_EVENTS)]


class BatchError(BaseModel):
    """Why one event of a batch was refused."""

    field: str
    reason: str
    message: str


class BatchOutcome(BaseModel):
    """What became of one event of a batch."""

    index: int = Field(ge=0, description="Place in the request's `events`.")
    status: Literal["pending", "refused"]
    task_id: str | None
    duplicate: bool = Field(description="The same Idempotency-Key brought it before.")
    errors: list[BatchError]


class BatchAccepted(BaseModel):
    """Answer of `POST /process/batch`, one outcome an event, in the request's order."""

    accepted: int = Field(ge=0)
    refused: int = Field(ge=0)
    outcomes: list[BatchOutcome]
    estimated_time: float = Field(ge=0)


class TaskRemoved(BaseModel):
    """Answer of `DELETE /task/{task_id}`."""

    task_id: str
    status: Literal["cancelled", "forgotten"] = Field(
        description="cancelled: it was unfinished and ends as FAILURE. forgotten: it was finished"
        " and its result is gone."
    )
    message: str


class Workers(BaseModel):
    """Answer of `GET /workers`, from the workers' heartbeats; each part by worker name."""

    workers: list[str]
    stats: dict[str, dict[str, Any]]
    active_tasks: dict[str, list[dict[str, Any]]]
    registered_tasks: dict[str, list[str]]


class KafkaGap(BaseModel):
    """Records whose events went with a results Redis that lost its data, until replayed."""

    stream: str
    topic: str
    partition: int
    first_offset: int = Field(ge=0)
    last_offset: int = Field(ge=0)
    way_out: str = Field(description="The command that reads them again.")


class Health(BaseModel):
    """Answer of `GET /health`; with status 503 when the API can't serve."""

    status: Literal["healthy", "unhealthy"]
    redis: Literal["connected", "unavailable"]
    celery_workers: int = Field(ge=0, description="Workers with a heartbeat. 0 is not unhealthy.")
    timestamp: str = Field(description="UTC, ISO 8601.")
    semantic_cache: Literal["available", "exact_only", "unavailable"] = Field(
        description="exact_only: the cache server has no vector search (FT.*), exact hits work."
    )
    kafka_gaps: list[KafkaGap] = Field(
        description="What the results Redis lost of Kafka topics; [] when all is well."
    )


class Alive(BaseModel):
    """Answer of the probes."""

    status: Literal["ok", "starting", "stopping"]


class StreamOverview(BaseModel):
    """One stream."""

    name: str
    task_type: str = Field(description="Used when a request names none.")
    task_types: list[str]
    labels: list[str]
    models: list[str] = Field(description="What `model` may name in a request.")
    topic: str | None


class Streams(BaseModel):
    """Answer of `GET /streams`."""

    streams: list[StreamOverview]


class DeploymentMetrics(BaseModel):
    """Answer of `GET /metrics`, for the whole deployment since its Redis was first used."""

    total_tasks: int = Field(ge=0, description="Accepted, repeats left out.")
    active_tasks: int = Field(ge=0, description="Accepted and not finished.")
    completed_tasks: int = Field(ge=0)
    failed_tasks: int = Field(ge=0)
    cache_hit_rate: float = Field(ge=0, le=1, description="Share of answers from the cache.")
    avg_processing_time: float = Field(ge=0, description="Seconds of work on one answer.")
    uptime: float = Field(ge=0, description="Seconds since this API process started.")


class CacheCleared(BaseModel):
    """Answer of `DELETE /cache/clear`."""

    cleared: int = Field(ge=0, description="Entries that went.")
    task_type: str | None
    stream: str | None
    message: str


class ProblemError(BaseModel):
    """One thing that is wrong."""

    field: str
    reason: str
    message: str


class ProblemDocument(BaseModel):
    """Every error answer (RFC 9457)."""

    type: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    reason: str = Field(description="A stable word that a script can match on.")
    request_id: str = Field(description="Also in X-Request-ID and on every log line.")
    errors: list[ProblemError] | None = None
