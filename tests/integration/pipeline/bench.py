"""A pipeline over a real cache and a mock provider, and the shortest way through it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from eventstream.cache.store import SemanticCache
from eventstream.claims import Answered, Held
from eventstream.pipeline import Ask, Ending, Pipeline
from eventstream.registry import Registry
from tests.support.events import an_event


@dataclass
class Bench:
    """A pipeline, and the shortest way through it."""

    pipeline: Pipeline
    registry: Registry
    cache: SemanticCache

    async def run(self, text: str, event_id: str = "e", **changes: Any) -> Ending:
        [ending] = await self.run_all([an_event(event_id, text, **changes)])
        return ending

    async def run_all(self, events: list[Any]) -> list[Ending]:
        claim = [Held("q", f"{n}-0", event, 1, 0) for n, event in enumerate(events)]
        outcomes = await self.pipeline.look_up(claim)

        async def finish(outcome: Ending | Ask) -> Ending:
            if isinstance(outcome, Ask):
                return await self.pipeline.ask(outcome, deadline=time.monotonic() + 20)
            return outcome

        return list(await asyncio.gather(*(finish(outcome) for outcome in outcomes)))


def answered(ending: Ending) -> Answered:
    assert isinstance(ending, Answered), ending
    return ending
