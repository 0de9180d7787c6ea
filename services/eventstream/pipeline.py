"""Events to results: exact cache, semantic cache, model. Knows neither Kafka, FastAPI nor Celery.

A claim goes through in two steps. `look_up` takes the whole claim at once and answers what the
cache can; what is left comes back as `Ask`s, which the caller runs in its slots through `ask`.
Nothing here retries or waits for a limit: the model layer does, and what can't be answered now
comes back as a `Deferral`. A small share of semantic hits is asked of the model all the same, to
learn whether hits are right; such an event gets the fresh answer, or the cached one where the model
has none in time.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import orjson

from eventstream.answers import MOST_MICRODOLLARS, StoredAnswer, answered, hit, read_stored
from eventstream.cache.agreement import AnswerForm, agree
from eventstream.cache.contract import CacheAnswer, CacheEntry, CacheQuery, CacheScope
from eventstream.cache.flight import FlightLease, FlightWait
from eventstream.cache.store import SemanticCache
from eventstream.claims import Answered, Failed, Held, Source
from eventstream.errors import ConfigurationError, Reason, StoreUnavailable
from eventstream.events import Event
from eventstream.llm.contract import CallDeferred, CallFailed, CallPlan, ModelReply
from eventstream.llm.models import Models
from eventstream.llm.prompts import form_of
from eventstream.logs import get_logger
from eventstream.metrics import CACHE_CHECK_COST, CACHE_SINGLE_FLIGHT, MODEL_COST_SAVED
from eventstream.registry import Registry
from eventstream.spec import StreamSpec

log = get_logger(__name__)

MOST_PLANS: Final = 1_024
"""Plans kept at once; callers may send any temperature."""
MISCONFIGURED_WAIT_SECONDS: Final = 15.0
"""A stream that can't be served as the settings are: its events wait for better ones."""
FLIGHT_MARGIN_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 30.0
"""So long an event whose hit is checked waits for the model; then it gets the hit."""
CHECK_GRACE_SECONDS: Final = 4.0
"""So much longer a check may take to end by itself, which settles what was set aside for it: less
than the drain gives."""
OPENED_CHECK_FACTOR: Final = 4
"""So many times more often a hit is checked that only the evidence allows: nothing else tells
whether it is still right."""


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
    hit: Answered | None = None
    """What the cache has, where the model is asked only to check it."""


Ending: TypeAlias = Answered | Failed | Deferral


@dataclass(frozen=True, slots=True)
class _Planned:
    """What all events share that ask a stream for the same; valid for this spec object."""

    spec: StreamSpec
    plan: CallPlan
    scope: CacheScope


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
        self._planned: dict[tuple[str, str, str | None, float | None, int | None], _Planned] = {}

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
        # The registry hands out the same object until the stream changes.
        if planned is None or planned.spec is not spec:
            plan = self._models.plan(event, spec)
            if len(self._planned) >= MOST_PLANS:
                self._planned.clear()
            planned = _Planned(spec, plan, _scope(event, spec, plan))
            self._planned[asked] = planned
        return planned

    def _query(self, event: Event, spec: StreamSpec, scope: CacheScope) -> CacheQuery:
        threshold = spec.cache.threshold
        percent = spec.cache.max_wrong_hit_percent
        return CacheQuery(
            text=event.text,
            scope=scope,
            policy=spec.cache.policy,
            threshold=self._default_threshold if threshold is None else threshold,
            bound=None if percent is None else percent / 100,
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
            found = None if answer.kind == "miss" else hit(ask.held, answer, source, seconds)
            if found is None or _to_be_checked(ask, answer):
                outcomes[position] = replace(
                    ask, looked_up=answer, seconds_so_far=seconds, hit=found
                )
            else:
                outcomes[position] = found
                saved += found.saved_microdollars
        MODEL_COST_SAVED.labels(stream).inc(saved)

    # -- one event, from the model -----------------------------------------------------------

    async def ask(self, ask: Ask, *, deadline: float) -> Ending:
        """Ask the model, once for all who ask the same now; `deadline` in monotonic seconds."""
        if ask.hit is None:
            return await self._ask(ask, deadline)
        latest = min(deadline, self._clock() + CHECK_SECONDS)
        try:
            # The call keeps its deadline itself; this is for one that does not.
            async with asyncio.timeout(latest - self._clock() + CHECK_GRACE_SECONDS):
                ending = await self._ask(ask, latest)
        except TimeoutError:
            return _given(ask.hit)
        # A check is for learning: what the model can't answer, or not yet, the cache does.
        return ending if isinstance(ending, Answered) else _given(ask.hit)

    async def _ask(self, ask: Ask, deadline: float) -> Ending:
        if ask.query is None:
            return await self._ask_model(ask, deadline)
        while True:
            flight, answer = await self._cache.lead(ask.query)
            # Somebody may have answered between our look-up and this moment.
            found = self._found(ask, answer)
            if isinstance(flight, FlightLease):
                async with flight:
                    return found or await self._ask_model(ask, deadline, flight)
            if found is not None:
                return found
            CACHE_SINGLE_FLIGHT.labels(ask.held.event.stream).inc()
            try:
                async with asyncio.timeout(deadline - self._clock() - FLIGHT_MARGIN_SECONDS):
                    landed = await flight.wait()
            except TimeoutError:
                return Deferral(1.0, "flight", "the same question is still under way elsewhere")
            if not landed:
                return await self._ask_model(ask, deadline)
            known = self._landed(ask, flight) or await self._known_by_now(ask)
            if known is not None:
                return known

    def _landed(self, ask: Ask, flight: FlightWait) -> Answered | Deferral | None:
        """What a leader in this process came to, which needs no cache."""
        landed = flight.outcome
        if isinstance(landed, Deferral):
            return landed
        if not isinstance(landed, bytes):
            return None
        answer = CacheAnswer("exact", "exact", flight.key, landed, 1.0, 1.0)
        return hit(ask.held, answer, "flight", ask.seconds_so_far)

    async def _known_by_now(self, ask: Ask) -> Answered | None:
        assert ask.query is not None
        return self._found(ask, await self._cache.look_again(ask.query))

    def _found(self, ask: Ask, answer: CacheAnswer) -> Answered | None:
        if answer.kind == "miss":
            return None
        return hit(ask.held, answer, "flight", ask.seconds_so_far)

    async def _ask_model(
        self, ask: Ask, deadline: float, flight: FlightLease | None = None
    ) -> Ending:
        event = ask.held.event
        began = self._clock()
        checking = ask.hit is not None
        # Whoever asks the same shares one place in line: one of them uses it, and its answer is
        # the others' hit. A check does not come back, so it gives its own place up.
        place = None if ask.query is None or checking else ask.query.key
        try:
            reply = await self._models.answer(
                event,
                ask.spec,
                ask.plan,
                deadline=deadline,
                place=place,
                patient=not checking,
            )
        except CallFailed as error:
            return ask.held.failed(error.reason, error.message, error.history)
        except CallDeferred as error:
            deferral = Deferral(error.wait_seconds, error.why, error.message)
            # Those who ask the same would hear the same. Not of a provider that is away: their
            # patience begins with a call of their own. Nor of a check, which does not come back.
            if flight is not None and not checking and error.why in ("rate_limit", "budget"):
                flight.land(deferral)
            return deferral
        except ConfigurationError as error:
            return Deferral(MISCONFIGURED_WAIT_SECONDS, "configuration", str(error))
        except StoreUnavailable as error:
            return Deferral(error.retry_after_seconds, "store", str(error))
        if checking:
            CACHE_CHECK_COST.labels(event.stream).inc(reply.cost_microdollars or 0)
        if ask.query is not None and reply.cacheable:
            try:
                self._learn(ask, ask.query, reply)
                await self._store(ask, ask.query, reply, flight)
            except Exception:
                # The answer is paid for: a defect in the cache must not cost it.
                log.exception("answer_not_cached", event_id=event.id)
        seconds = ask.seconds_so_far + self._clock() - began
        return answered(
            ask.held,
            reply,
            seconds=seconds,
            prompt_version=ask.plan.prompt_version,
            looked_up=ask.looked_up,
            checked=checking,
        )

    def _learn(self, ask: Ask, query: CacheQuery, reply: ModelReply) -> None:
        """Tell the cache whether its candidate's answer would have been this one."""
        if ask.looked_up is None or ask.looked_up.pair is None:
            return
        candidate = read_stored(ask.looked_up.pair.response)
        if candidate is not None:
            form = form_of(ask.held.event.task_type, ask.spec)
            known: AnswerForm = "json" if form.output_schema is not None else "prose"
            agreed = agree("label" if form.labels else known, candidate.response, reply.response)
            self._cache.learn(query, ask.looked_up, agreed=agreed)

    async def _store(
        self, ask: Ask, query: CacheQuery, reply: ModelReply, flight: FlightLease | None
    ) -> None:
        # What a hit saves: the call that brought the answer, not those that brought none.
        lost, cost = reply.unanswered, reply.cost_microdollars
        stored = StoredAnswer(
            response=reply.response,
            model=reply.model,
            prompt_tokens=reply.prompt_tokens - lost.prompt_tokens,
            completion_tokens=reply.completion_tokens - lost.completion_tokens,
            cost_microdollars=None
            if cost is None
            else min(cost - lost.cost_microdollars, MOST_MICRODOLLARS),
            finish_reason=reply.finish_reason,
        )
        response = orjson.dumps(stored.model_dump())
        if flight is not None:
            flight.land(response)
        await self._cache.store(
            [
                CacheEntry(
                    query=query,
                    response=response,
                    ttl_seconds=ask.spec.cache.ttl_seconds,
                    embedding=ask.looked_up.embedding if ask.looked_up else None,
                )
            ],
            flight,
        )


def _scope(event: Event, spec: StreamSpec, plan: CallPlan) -> CacheScope:
    # The same name at another provider, or at another address, is another model.
    at = spec.model.base_url or ""
    return CacheScope(
        stream=event.stream,
        task_type=event.task_type,
        model=f"{plan.provider}/{plan.display_model}{at and f'@{at}'}",
        prompt_version=plan.prompt_version,
        parameters_digest=plan.parameters_digest,
    )


def _to_be_checked(ask: Ask, answer: CacheAnswer) -> bool:
    """Whether the model is asked although the cache has an answer.

    Drawn by the event's id, so that an event delivered again is drawn the same way.
    """
    if answer.pair is None or not answer.pair.given:
        return False
    percent = ask.spec.cache.checked_percent * (OPENED_CHECK_FACTOR if answer.pair.opened else 1)
    drawn = hashlib.blake2b(ask.held.event.id.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(drawn.digest()) < percent / 100 * 2**64


def _given(ending: Answered) -> Answered:
    MODEL_COST_SAVED.labels(ending.held.event.stream).inc(ending.saved_microdollars)
    return ending
