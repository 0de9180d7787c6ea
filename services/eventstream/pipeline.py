"""Events to results: exact cache, semantic cache, model. Knows neither Kafka, FastAPI nor Celery.

A claim goes through in two steps. `look_up` takes the whole claim at once and answers what the
cache can; what is left comes back as `Ask`s, which the caller runs in its slots through `ask`.
Nothing here retries or waits for a limit: the model layer does, and what can't be answered now
comes back as a `Deferral`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
from pydantic import BaseModel, ValidationError

from eventstream.cache.contract import CacheAnswer, CacheEntry, CacheQuery, CacheScope
from eventstream.cache.flight import FlightLease
from eventstream.cache.store import SemanticCache
from eventstream.claims import Answered, Failed, Held, Source
from eventstream.errors import ConfigurationError, Reason, StoreUnavailable
from eventstream.events import Event, Result
from eventstream.llm.contract import CallDeferred, CallFailed, CallPlan, ModelReply
from eventstream.llm.models import Models
from eventstream.logs import get_logger
from eventstream.metrics import CACHE_SINGLE_FLIGHT, MODEL_COST_SAVED
from eventstream.registry import Registry
from eventstream.spec import StreamSpec

log = get_logger(__name__)

MOST_PLANS: Final = 1_024
"""Plans kept at once; callers may send any temperature."""
MISCONFIGURED_WAIT_SECONDS: Final = 15.0
"""A stream that can't be served as the settings are: its events wait for better ones."""
FLIGHT_MARGIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Deferral:
    """Not now: the event waits outside the worker for so long, and is then claimed again."""

    wait_seconds: float
    why: str
    message: str


@dataclass(frozen=True, slots=True)
class Ask:
    """An event that only the model can answer."""

    held: Held
    spec: StreamSpec
    plan: CallPlan
    query: CacheQuery | None
    """None: neither reads nor writes the cache."""
    looked_up: CacheAnswer | None
    seconds_so_far: float


Ending: TypeAlias = Answered | Failed | Deferral


@dataclass(frozen=True, slots=True)
class _Planned:
    """What all events share that ask a stream for the same; valid for this spec object."""

    spec: StreamSpec
    plan: CallPlan
    scope: CacheScope


class StoredAnswer(BaseModel):
    """What the cache keeps of an answer: enough to give it again and to say what that saved."""

    response: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microdollars: int | None = None
    finish_reason: str = "stop"


class Pipeline:
    """One process's pipeline.

    `default_threshold`: documented scale, for streams that name none; None: the embedding model's.
    `clock` is monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        models: Models,
        cache: SemanticCache,
        *,
        default_threshold: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._models = models
        self._cache = cache
        self._default_threshold = default_threshold
        self._clock = clock
        self._planned: dict[tuple[Any, ...], _Planned] = {}

    # -- the whole claim, from the cache -----------------------------------------------------

    async def look_up(self, claim: Sequence[Held]) -> list[Ending | Ask]:
        """One outcome an event, in order: ended, or an Ask for the model."""
        began = self._clock()
        outcomes: list[Ending | Ask] = []
        to_look_up: dict[str, list[int]] = defaultdict(list)
        streams = {held.event.stream for held in claim}
        specs = {stream: await self._registry.get(stream) for stream in streams}
        for position, held in enumerate(claim):
            outcome = self._prepare(held, specs[held.event.stream])
            outcomes.append(outcome)
            if isinstance(outcome, Ask) and outcome.query is not None:
                to_look_up[held.event.stream].append(position)
        await asyncio.gather(
            *(
                self._look_up_stream(stream, positions, outcomes, began)
                for stream, positions in to_look_up.items()
            )
        )
        return outcomes

    def _prepare(self, held: Held, spec: StreamSpec | None) -> Ending | Ask:
        event = held.event
        if spec is None:
            return held.failed(
                Reason.STREAM_DELETED, f"stream {event.stream!r} was deleted meanwhile"
            )
        try:
            planned = self._plan(event, spec)
        except CallFailed as error:
            return held.failed(error.reason, error.message, error.history)
        except ConfigurationError as error:
            # The settings are wrong, not the event: it waits until somebody has mended them.
            return Deferral(MISCONFIGURED_WAIT_SECONDS, "configuration", str(error))
        query = None
        if event.use_cache and spec.cache.enabled:
            query = self._query(event, spec, planned.scope)
        return Ask(held, spec, planned.plan, query, looked_up=None, seconds_so_far=0.0)

    def _plan(self, event: Event, spec: StreamSpec) -> _Planned:
        """The event's plan and cache scope, worked out once for all that ask for the same.

        Raises what `Models.plan` raises.
        """
        asked = (event.stream, event.task_type, event.model, event.temperature, event.max_tokens)
        planned = self._planned.get(asked)
        if planned is None or planned.spec is not spec:
            plan = self._models.plan(event, spec)
            scope = CacheScope(
                stream=event.stream,
                task_type=event.task_type,
                model=plan.display_model,
                prompt_version=plan.prompt_version,
                parameters_digest=plan.parameters_digest,
            )
            if len(self._planned) >= MOST_PLANS:
                self._planned.clear()
            planned = self._planned[asked] = _Planned(spec, plan, scope)
        return planned

    def _query(self, event: Event, spec: StreamSpec, scope: CacheScope) -> CacheQuery:
        threshold = spec.cache.threshold
        return CacheQuery(
            text=event.text,
            scope=scope,
            policy=spec.cache.policy,
            threshold=self._default_threshold if threshold is None else threshold,
        )

    async def _look_up_stream(
        self,
        stream: str,
        positions: Sequence[int],
        outcomes: list[Ending | Ask],
        began: float,
    ) -> None:
        asks = [outcome for p in positions if isinstance(outcome := outcomes[p], Ask)]
        queries = [ask.query for ask in asks if ask.query is not None]
        embedder = self._models.embedder(asks[0].spec, stream)
        answers = await self._cache.look_up(queries, embedder)
        seconds = self._clock() - began
        saved = 0
        for position, ask, answer in zip(positions, asks, answers, strict=True):
            source: Source = "exact" if answer.kind == "exact" else "semantic"
            hit = None if answer.kind == "miss" else _hit(ask.held, answer, source, seconds)
            if hit is None:
                outcomes[position] = Ask(ask.held, ask.spec, ask.plan, ask.query, answer, seconds)
            else:
                outcomes[position] = hit
                saved += hit.saved_microdollars
        if saved:
            MODEL_COST_SAVED.labels(stream).inc(saved)

    # -- one event, from the model -----------------------------------------------------------

    async def ask(self, ask: Ask, *, deadline: float) -> Ending:
        """Ask the model, once for all who ask the same now; `deadline` in monotonic seconds."""
        if ask.query is None:
            return await self._ask_model(ask, deadline)
        while True:
            [flight] = await self._cache.claim_flights([ask.query.key])
            if isinstance(flight, FlightLease):
                async with flight:
                    # Somebody may have answered between our look-up and this moment.
                    return await self._known_by_now(ask) or await self._ask_model(ask, deadline)
            CACHE_SINGLE_FLIGHT.labels(ask.held.event.stream).inc()
            try:
                async with asyncio.timeout(deadline - self._clock() - FLIGHT_MARGIN_SECONDS):
                    landed = await flight.wait()
            except TimeoutError:
                return Deferral(1.0, "flight", "the same question is still under way elsewhere")
            if not landed:
                return await self._ask_model(ask, deadline)
            known = await self._known_by_now(ask)
            if known is not None:
                return known

    async def _known_by_now(self, ask: Ask) -> Answered | None:
        assert ask.query is not None
        answer = await self._cache.look_again(ask.query)
        if answer.kind == "miss":
            return None
        return _hit(ask.held, answer, "flight", ask.seconds_so_far)

    async def _ask_model(self, ask: Ask, deadline: float) -> Ending:
        event = ask.held.event
        began = self._clock()
        try:
            reply = await self._models.answer(event, ask.spec, ask.plan, deadline=deadline)
        except CallFailed as error:
            return ask.held.failed(error.reason, error.message, error.history)
        except CallDeferred as error:
            return Deferral(error.wait_seconds, error.why, error.message)
        except ConfigurationError as error:
            return Deferral(MISCONFIGURED_WAIT_SECONDS, "configuration", str(error))
        except StoreUnavailable as error:
            return Deferral(error.retry_after_seconds, "store", str(error))
        if ask.query is not None and reply.cacheable:
            await self._store(ask, ask.query, reply)
        seconds = ask.seconds_so_far + self._clock() - began
        return _answered(ask, reply, seconds)

    async def _store(self, ask: Ask, query: CacheQuery, reply: ModelReply) -> None:
        stored = StoredAnswer(
            response=reply.response,
            model=reply.model,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost_microdollars=reply.cost_microdollars,
            finish_reason=reply.finish_reason,
        )
        await self._cache.store(
            [
                CacheEntry(
                    query=query,
                    response=orjson.dumps(stored.model_dump()),
                    ttl_seconds=ask.spec.cache.ttl_seconds,
                    embedding=ask.looked_up.embedding if ask.looked_up else None,
                )
            ]
        )


def _hit(held: Held, answer: CacheAnswer, source: Source, seconds: float) -> Answered | None:
    """The cached answer as this event's; None where it can't be read (then it is a miss)."""
    try:
        stored = StoredAnswer.model_validate_json(answer.response or b"")
    except ValidationError:
        return None
    saved = stored.cost_microdollars or 0
    tokens_saved = stored.prompt_tokens + stored.completion_tokens
    result = Result(
        response=stored.response,
        task_type=held.event.task_type,
        model=stored.model,
        processing_time=round(seconds, 6),
        from_cache=True,
        metadata={
            "tokens_used": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "cost_microdollars": 0,
            "finish_reason": stored.finish_reason,
            "tokens_saved": tokens_saved,
            "saved_microdollars": saved,
            "cache": source,
            **({"cosine": round(answer.cosine, 6)} if answer.cosine is not None else {}),
        },
        similarity=1.0 if answer.similarity is None else round(answer.similarity, 6),
        **_kafka_fields(held.event),
    )
    return Answered(
        held=held,
        result=result,
        source=source,
        tokens_saved=tokens_saved,
        saved_microdollars=saved,
    )


def _answered(ask: Ask, reply: ModelReply, seconds: float) -> Answered:
    event = ask.held.event
    tokens = reply.prompt_tokens + reply.completion_tokens
    metadata: dict[str, Any] = {
        "tokens_used": tokens,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "cost_microdollars": reply.cost_microdollars,
        "finish_reason": reply.finish_reason,
        "attempts": reply.attempts,
        "prompt_version": ask.plan.prompt_version,
    }
    if reply.parsed is not None:
        metadata["parsed"] = reply.parsed
    if reply.truncated:
        metadata["truncated"] = True
    if ask.looked_up is not None and ask.looked_up.similarity is not None:
        # A near miss: what stood in the way is worth knowing.
        metadata["nearest_similarity"] = round(ask.looked_up.similarity, 6)
        metadata["refused"] = list(ask.looked_up.refused_kinds)
    result = Result(
        response=reply.response,
        task_type=event.task_type,
        model=reply.model,
        processing_time=round(seconds, 6),
        from_cache=False,
        metadata=metadata,
        **_kafka_fields(event),
    )
    return Answered(
        held=ask.held,
        result=result,
        source="model",
        tokens=tokens,
        cost_microdollars=reply.cost_microdollars or 0,
    )


def _kafka_fields(event: Event) -> dict[str, Any]:
    if event.via != "kafka":
        return {}
    return {"event_id": event.id, "event_metadata": event.metadata}
