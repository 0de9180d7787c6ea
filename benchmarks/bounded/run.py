"""Runs one stream through the real pipeline and counts what a user would have been given."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.bounded.texts import LABELS, Labelled
from eventstream.cache.contract import FloatArray
from eventstream.cache.store import SemanticCache
from eventstream.claims import Answered, Held
from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.contract import CallPlan, Embedder, LocalModelProtocol, ModelReply
from eventstream.llm.models import Models
from eventstream.llm.prompts import form_of
from eventstream.pipeline import Ask, Pipeline
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.spec import Cache, StreamSpec, Task

STREAM = "tickets"
CLAIM = 32
"""Events looked up at once; a claim takes a second of the run's clock."""
COST_MICRODOLLARS = 100


class RememberedVectors:
    """The local model's vectors; a text's is computed once for all runs."""

    def __init__(self, model: LocalModelProtocol) -> None:
        self._model = model
        self._vectors: dict[str, FloatArray] = {}
        self.name = model.embedding_name
        self.dimension = model.dimension
        self.server = ""

    async def embed(self, texts: Sequence[str]) -> FloatArray:
        """As the cache asks for them."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        for text, vector in zip(
            missing, self._model.embed(missing) if missing else (), strict=True
        ):
            self._vectors[text] = vector
        return np.stack([self._vectors[text] for text in texts])


class TruthfulModels(Models):
    """A model that knows the label of every text, and costs a fixed amount a call."""

    def __init__(self, truth: dict[str, str], embedder: RememberedVectors) -> None:
        self._truth = truth
        self._embedder = embedder
        self.calls = 0

    def plan(self, event: Event, spec: StreamSpec) -> CallPlan:
        """One model, whatever is asked."""
        version = form_of(event.task_type, spec).version
        return CallPlan("truth", "truth", "truth", version, "", self._embedder.name)

    def embedder(self, spec: StreamSpec, stream: str = STREAM) -> Embedder | None:
        """The local model's vectors."""
        return self._embedder

    async def answer(
        self,
        event: Event,
        spec: StreamSpec,
        plan: CallPlan,
        *,
        deadline: float,
        place: str | None = None,
        patient: bool = True,
    ) -> ModelReply:
        """The truth."""
        self.calls += 1
        await asyncio.sleep(0)
        return ModelReply(
            response=self._truth[event.text],
            model="truth",
            prompt_tokens=20,
            completion_tokens=2,
            cost_microdollars=COST_MICRODOLLARS,
            finish_reason="stop",
            attempts=1,
            seconds=0.0,
            cacheable=True,
            parsed=None,
        )


@dataclass
class Tally:
    """What came of some events."""

    events: int = 0
    exact: int = 0
    semantic: int = 0
    wrong: int = 0
    """Semantic hits whose label was not the text's."""
    checks: int = 0

    @property
    def hit_ratio(self) -> float:
        """Share of events answered without a model call of their own."""
        return (self.exact + self.semantic) / self.events

    def add(self, other: Tally) -> None:
        """Count another tally in."""
        self.events += other.events
        self.exact += other.exact
        self.semantic += other.semantic
        self.wrong += other.wrong
        self.checks += other.checks


@dataclass
class Run:
    """One policy on one stream. `redis` and `prefix`: where its cache lies."""

    redis: AsyncRedis
    prefix: str
    models: TruthfulModels
    cache: SemanticCache
    pipeline: Pipeline
    clock: Clock
    claims: list[Tally] = field(default_factory=list)
    _number: int = 0

    async def set_policy(self, cache: Cache) -> None:
        """From the next claim on."""
        # It never looks again: what is measured here is the cache.
        registry = Registry(self.redis, Keys(self.prefix), max_age_seconds=math.inf)
        await registry.write({STREAM: spec_with(cache)})
        self.pipeline = Pipeline(registry, self.models, self.cache)

    async def feed(self, texts: Iterable[Labelled]) -> Tally:
        """Answer these texts, a claim at a time; what came of all of them."""
        total = Tally()
        waiting: list[Labelled] = []
        for text in texts:
            waiting.append(text)
            if len(waiting) == CLAIM:
                total.add(await self._answer(waiting))
                waiting = []
        if waiting:
            total.add(await self._answer(waiting))
        return total

    async def _answer(self, texts: list[Labelled]) -> Tally:
        self.clock.now += 1.0
        claim = []
        for text in texts:
            self._number += 1
            event = Event(
                id=f"e{self._number}",
                stream=STREAM,
                via="kafka",
                text=text.text,
                task_type="classification",
                temperature=0.0,
                max_tokens=10,
            )
            claim.append(Held("q", f"{self._number}-0", event, 1, 0))
        outcomes = await self.pipeline.look_up(claim)
        deadline = time.monotonic() + 60
        asks = [outcome for outcome in outcomes if isinstance(outcome, Ask)]
        answers = await asyncio.gather(*(self.pipeline.ask(a, deadline=deadline) for a in asks))
        endings = [outcome for outcome in outcomes if not isinstance(outcome, Ask)] + list(answers)
        truth = {held.event.id: text.label for held, text in zip(claim, texts, strict=True)}
        tally = Tally(events=len(texts))
        for ending in endings:
            assert isinstance(ending, Answered), ending
            tally.exact += ending.source in ("exact", "flight")
            if ending.source == "semantic":
                tally.semantic += 1
                tally.wrong += ending.result.response != truth[ending.held.event.id]
            tally.checks += bool(ending.result.metadata.get("checked"))
        self.claims.append(tally)
        return tally


class Clock:
    """The run's seconds: a second a claim, so that what workers know is as old as it would be."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spec_with(cache: Cache) -> StreamSpec:
    """The stream of tickets under a policy."""
    return StreamSpec(task=Task(type="classification", labels=LABELS), cache=cache)


def truth_of(texts: Iterable[Labelled]) -> dict[str, str]:
    """Text -> label, as the model knows it."""
    return {text.text: text.label for text in texts}


async def a_run(redis: AsyncRedis, prefix: str, models: TruthfulModels, cache: Cache) -> Run:
    """A run with an empty cache of its own, under `prefix`."""
    clock = Clock()
    store = SemanticCache(redis, prefix=prefix, timeout_seconds=30, monotonic=clock)
    registry = Registry(redis, Keys(prefix))
    run = Run(redis, prefix, models, store, Pipeline(registry, models, store), clock)
    await run.set_policy(cache)
    return run
