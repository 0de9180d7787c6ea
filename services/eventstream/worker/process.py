"""One pool process: everything it needs, made after the fork, on one event loop of its own.

Clients, connections and producers never cross a fork; only the local model's weights do (they are
read-only). Celery's tasks come in here and find a drain that lives as long as the process.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eventstream.cache.advisor import REFRESH_SECONDS as ADVICE_SECONDS
from eventstream.cache.advisor import Advised, Advisor
from eventstream.cache.store import SemanticCache
from eventstream.claims import FOREIGN_KEY, Arrival, Outcome
from eventstream.errors import EventRefused, Reason
from eventstream.events import EventId, ProcessRequest, State, TaskStatus, first_problem
from eventstream.inbox import Inbox
from eventstream.incoming import event_from_request
from eventstream.kafka.config import admin_config, describe, producer_config
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.topics import KafkaAdmin
from eventstream.keys import Keys
from eventstream.llm.contract import LocalModelProtocol
from eventstream.llm.models import Models
from eventstream.logs import get_logger
from eventstream.metrics import BUSY_SECONDS, EVENTS_IN_FLIGHT
from eventstream.pipeline import Pipeline
from eventstream.redis_client import connect, connect_cache
from eventstream.registry import Registry
from eventstream.results import FinishedListener, Results
from eventstream.settings import Settings
from eventstream.tasks import end
from eventstream.wakeup import WakeUps
from eventstream.worker.aftermath import KafkaAftermath
from eventstream.worker.board import Board
from eventstream.worker.drain import Drain, DrainCounts
from eventstream.worker.drain_settings import DrainSettings
from eventstream.worker.ending import Endings
from eventstream.worker.leavings import Leavings

log = get_logger(__name__)

QUEUES_AGE_SECONDS: Final = 2.0
CACHE_MAINTENANCE_SECONDS: Final = 60.0
LONGEST_SHARE: Final = 0.95
"""Of Celery's soft time limit: so long a task may take."""

Body = TypeVar("Body", bound=BaseModel)


class _WithId(BaseModel):
    """The id that comes beside an event's body. It has no line breaks, with which finish.lua joins
    ids.
    """

    model_config = ConfigDict(strict=True)

    event_id: EventId


class WorkerProcess:
    """Made in the pool process on its first task; `close` when the process ends."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker_name: str,
        slot: int,
        board: Board,
        local_model: LocalModelProtocol | None,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._slot = slot
        self._board = board
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._queues: tuple[str, ...] = ()
        keys = Keys(settings.eventstream_prefix)
        redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
        self._inbox = Inbox(
            redis,
            keys,
            result_ttl_seconds=settings.result_ttl_seconds,
            lease_seconds=settings.worker_lease_seconds,
        )
        self._results = Results(redis, keys)
        self._registry = Registry(redis, keys, max_age_seconds=QUEUES_AGE_SECONDS)
        self._listener = FinishedListener(redis, keys)
        self._wake_ups = WakeUps(settings)
        self._models = Models(settings, redis, keys, local=local_model, environment=environment)
        cache_redis = connect_cache(
            settings.cache_url, timeout_seconds=settings.cache_timeout_seconds
        )
        self._cache = SemanticCache(
            cache_redis,
            prefix=settings.eventstream_prefix,
            timeout_seconds=settings.cache_timeout_seconds,
        )
        self._advisor = Advisor(
            cache_redis,
            prefix=settings.eventstream_prefix,
            default_threshold=settings.semantic_similarity_threshold,
        )
        self._producer = (
            AsyncProducer(producer_config(settings)) if settings.kafka_bootstrap_servers else None
        )
        self._leavings = Leavings(
            self._registry,
            self._inbox,
            self._cache,
            (lambda: KafkaAdmin(admin_config(settings), describe(settings)))
            if settings.kafka_bootstrap_servers
            else None,
        )
        self._earlier_finished, self._earlier_busy = board.finished_before(slot)
        self._busy_since = 0.0
        self._cache_maintained_at = float("-inf")
        self._advise_at = float("-inf")
        self._drain_settings = DrainSettings(
            slots=settings.worker_slots,
            lease_seconds=settings.worker_lease_seconds,
            deadline_seconds=settings.event_deadline_seconds,
            max_deliveries=settings.max_deliveries,
            shutdown_seconds=settings.worker_shutdown_seconds,
            # Celery's own limit comes down in the middle of anything: a task is over before it.
            longest_seconds=LONGEST_SHARE * settings.task_soft_time_limit_seconds,
        )
        consumer = f"{worker_name}/{slot}"
        self._drain = Drain(
            self._inbox,
            Pipeline(
                self._registry,
                self._models,
                self._cache,
                default_threshold=settings.semantic_similarity_threshold,
            ),
            Endings(
                self._inbox,
                KafkaAftermath(self._producer, self._registry, self._results),
                consumer=consumer,
            ),
            consumer=consumer,
            queues=lambda: self._queues,
            settings=self._drain_settings,
            stopping=lambda: board.stopping,
            wake=self._wake_ups.send,
            report=self._report,
            takes_over_from=lambda: board.takes_over_from,
        )
        self._stack.push_async_callback(redis.aclose)
        self._stack.push_async_callback(cache_redis.aclose)
        self._stack.push_async_callback(self._cache.aclose)
        self._stack.push_async_callback(self._models.aclose)
        self._stack.push_async_callback(self._listener.aclose)
        self._stack.push_async_callback(self._leavings.aclose)
        if self._producer is not None:
            self._stack.push_async_callback(self._producer.aclose)

    def drain(self) -> None:
        """Answer what waits; returns when nothing does, or after a minute."""
        self._runner.run(self._drain_once())

    def process(self, body: Mapping[str, Any], event_id: object) -> dict[str, Any]:
        """A Celery client's event: accept it, work until it is finished, and return its result.

        `event_id` is the client's own and may be anything that its serializer takes.
        Raises EventRefused for an event that can't be accepted or that failed, or that takes longer
        than a task may: then it goes on in the inbox.
        """
        return self._runner.run(self._process(body, event_id))

    def close(self) -> None:
        """Close clients and the loop."""
        self._runner.run(self._stack.aclose())
        self._wake_ups.close()
        self._runner.close()

    async def _drain_once(self, ends_at: float = math.inf) -> None:
        self._busy_since = time.time()
        self._queues = await self._registry.queues(self._settings.worker_streams)
        await self._leavings.settle()
        await self._maintain_cache()
        began = time.monotonic()
        refresh = asyncio.create_task(self._refresh_queues())
        advise = asyncio.create_task(self._advise())
        try:
            await self._drain.run(ends_at=ends_at)
        finally:
            await end(refresh, advise)
            self._busy_since = 0.0
            BUSY_SECONDS.inc(time.monotonic() - began)
            self._report(self._drain.counts)
        # No look-up is to come that would take the last counts along.
        await self._cache.flush()

    async def _refresh_queues(self) -> None:
        while True:
            await asyncio.sleep(QUEUES_AGE_SECONDS)
            self._queues = await self._registry.queues(self._settings.worker_streams)
            await self._leavings.settle()
            await self._maintain_cache()

    async def _maintain_cache(self) -> None:
        """Let the vector index grow with what it holds; looked at once a minute."""
        now = time.monotonic()
        if now - self._cache_maintained_at > CACHE_MAINTENANCE_SECONDS:
            self._cache_maintained_at = now
            await self._cache.maintain()

    async def _advise(self) -> None:
        """Keep the advice about each stream's cache fresh, beside the work; one process does."""
        while True:
            # Drains are many, and most are short: this one only where it is time.
            await asyncio.sleep(max(0.0, self._advise_at - time.monotonic()))
            self._advise_at = time.monotonic() + ADVICE_SECONDS
            await self._advisor.publish(self._advised)

    async def _advised(self) -> dict[str, Advised]:
        streams = await self._registry.all()
        counters = await self._results.counters(sorted(streams))
        return {name: Advised.of(spec, counters[name]) for name, spec in streams.items()}

    async def _process(self, body: Mapping[str, Any], event_id: object) -> dict[str, Any]:
        request = _read(ProcessRequest, body)
        task_id = _read(_WithId, {"event_id": event_id}).event_id
        spec = await self._registry.get_to_accept(request.stream)
        if spec is None:
            raise EventRefused(
                Reason.STREAM_NOT_FOUND, f"stream: there is no stream {request.stream!r}", "stream"
            )
        event = event_from_request(request, spec, event_id=task_id, via="celery")
        [acceptance] = await self._inbox.accept([Arrival(event)])
        if acceptance.outcome is Outcome.CONFLICT:
            why = FOREIGN_KEY if acceptance.foreign else "was used for another event"
            raise EventRefused(Reason.ID_CONFLICT, f"task id {task_id!r}: {why}", "event_id")
        ends_at = time.monotonic() + self._drain_settings.longest_seconds
        while True:
            # Where no time is left for a call it claims nothing: others do the work.
            await self._drain_once(ends_at)
            left = max(0.0, ends_at - time.monotonic())
            status = await self._listener.wait_for(self._results, task_id, min(5.0, left))
            over = self._board.stopping or time.monotonic() >= ends_at
            if status is None or status.status.finished or over:
                return _returned(status, task_id)

    def _report(self, counts: DrainCounts) -> None:
        EVENTS_IN_FLIGHT.set(counts.held)
        self._board.write(
            self._slot,
            held=counts.held,
            finished=self._earlier_finished + counts.finished,
            busy_seconds=self._earlier_busy + counts.busy_seconds,
            busy_since=self._busy_since,
        )


def _read(model: type[Body], values: Mapping[str, Any]) -> Body:
    """What a Celery client sent as a model. Raises EventRefused."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        field, sentence = first_problem(error)
        raise EventRefused(Reason.INVALID_FIELD, sentence, field) from None


def _returned(status: TaskStatus | None, task_id: str) -> dict[str, Any]:
    if status is not None and status.status is State.SUCCESS and status.result is not None:
        return status.result.model_dump(exclude_none=True)
    if status is not None and status.status is State.FAILURE:
        reason = (status.progress or {}).get("reason", Reason.INTERNAL_ERROR)
        raise EventRefused(Reason(reason), status.error or "failed")
    raise EventRefused(
        Reason.INTERNAL_ERROR,
        f"{task_id!r} is not finished yet, and this task had to end: it goes on, and"
        " GET /task/{task_id} has its result",
    )


def process_name() -> str:
    """A name that no other worker on any machine has now: leases are held under it."""
    return f"eventstream-{os.getpid()}@{os.uname().nodename}"
