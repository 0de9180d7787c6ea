"""What one pass knows of one stream: plain values, each signal with its age.

A signal that could not be read is None; one that was read a while ago says how old it is, and the
decision judges. Nothing here reads anything: the modules beside this one fill it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Measured(Generic[T_co]):
    """A signal and how long ago it was true."""

    value: T_co
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class InboxDepth:
    """The stream's inboxes, summed over its queues."""

    queued: int
    """Accepted, and in no worker's hands."""
    in_flight: int
    """In a worker's hands."""
    deferred: int = 0
    """Put back until a limit or a budget allows: no work for a worker now."""
    oldest_age_seconds: float = 0.0
    """How long the first event that is queued or in flight has been so; 0 when there is none."""
    oldest_unfinished_seconds: float = 0.0
    """Since the oldest unfinished event was accepted, deferred or not; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class KafkaBacklog:
    """What waited in the source topic when it was measured, beyond what consumers had put into the
    inbox by then; `decide.backlog` sets it beside an inbox that was read later."""

    lag: int
    partitions: int


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Counters since the stream exists. A count below an earlier one means: counted anew."""

    accepted: int
    """Events put into the inbox; duplicates are not in it."""
    finished: int
    """Answered or failed."""


@dataclass(frozen=True, slots=True)
class WorkerTime:
    """What the workers' heartbeats say, summed over the stream's worker pods."""

    busy_worker_seconds: float
    """Counter: whole-pod seconds with work in hand (a process's busy seconds over the pod's number
    of processes). What a worker that has left had counted stays in it."""
    idle: int
    """Pods that hold no event and are not stopping."""
    slots_per_worker: int | None = None
    """Model calls that one pod can have under way at once; None: the heartbeats do not say."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """One Deployment's pods."""

    desired: int
    ready: int
    trouble: str = ""
    """Why one of them is not ready, in Kubernetes' own words: `Unschedulable: ...`; '' for none."""


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU of the API's container over its request, mean over ready pods, in percent."""

    percent: float | None
    """None: the container has no CPU request, so there is nothing to relate its use to."""
    pods: int | None = None
    """The ready pods that have a figure, over which the mean goes; None: all of them."""


@dataclass(frozen=True, slots=True)
class CacheWindow:
    """Look-ups of the stream in the last `seconds`."""

    seconds: float
    look_ups: int
    hits: int
    near_misses: int
    """Candidates above the threshold, or close to it, that were refused."""
    near_misses_by_similarity: Mapping[float, int] = field(default_factory=dict)
    """Lower bound of a similarity bucket (documented scale, 0 to 1) -> near misses in it."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit of a provider."""

    limit: float
    """A minute's, where it is configured; else as much as the provider says may be taken."""
    used: float
    """By all who share the account."""
    own: float | None = None
    """By this stream, in the last minute; None: all of it."""
    per_second: float | None = None
    """How fast what is used comes back; None: `limit` a minute."""
    said_by_provider: bool = False
    """It is no configured limit: the provider's headers say so."""


FreezeCause = Literal["rate_limited", "key_refused", "account_spent"]


@dataclass(frozen=True, slots=True)
class Frozen:
    """The provider wants no calls for a while, or no calls with this key."""

    model: str
    """Provider and model, for people."""
    cause: FreezeCause
    seconds: float
    """From now on. A refused key stays refused between two attempts: 0 then."""
    everything: bool = True
    """Nothing goes on meanwhile; False: it is a model that only some events ask for, or an old key
    of which workers are left."""


@dataclass(frozen=True, slots=True)
class ProviderUse:
    """What the provider lets through of the stream's calls. None: no such limit is known."""

    requests_per_minute: Allowance | None = None
    tokens_per_minute: Allowance | None = None
    calls: int = 0
    """Of this stream, answered in the last minute."""
    throttled: int = 0
    """Answers 429, and calls held back by the shared limit (each time that they were), in the last
    minute, of all who share the account."""
    put_back: int = 0
    """Events that wait for something unknown, as long as no worker has said which limits there
    are."""
    frozen: Frozen | None = None


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """Money of the current UTC day, in micro-dollars."""

    spent_microdollars: int
    limit_microdollars: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Who else decides about this stream's Deployments."""

    workers_scaled_by: str | None = None
    """`HorizontalPodAutoscaler/name` or `ScaledObject/name` that targets the workers."""
    consumers_scaled_by: str | None = None
    api_scaled_by: str | None = None
    api_owner: str | None = None
    """The stream that the API Deployment names as its owner; None: it names none."""
    group_shared_with: tuple[str, ...] = ()
    """Other streams that read this one's topic in its consumer group."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One pass's view of one stream."""

    stream: str
    inbox: Measured[InboxDepth] | None = None
    kafka: Measured[KafkaBacklog] | None = None
    """None for a stream without a source, too."""
    counts: Measured[EventCounts] | None = None
    worker_time: Measured[WorkerTime] | None = None
    workers: Measured[Replicas] | None = None
    consumers: Measured[Replicas] | None = None
    """None for a stream without a source, too."""
    api: Measured[Replicas] | None = None
    """None where this stream does not own the API, too."""
    api_cpu: Measured[CpuUse] | None = None
    cache: Measured[CacheWindow] | None = None
    advice: Measured[str] | None = None
    """What another cache policy would bring, in a sentence. None: workers have drawn none yet."""
    provider: Measured[ProviderUse] | None = None
    budget: Measured[BudgetUse] | None = None
    """None for a stream without a budget, too."""
    conflicts: Conflicts = Conflicts()
    refused: Mapping[str, str] = field(default_factory=dict)
    """`Deployments`, or the role whose replicas: what the API server refuses to write, and why."""
