"""Everything goes wrong now and then: each event still ends answered, and the books agree."""

from __future__ import annotations

import asyncio
import random
import time

from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.models import CallDeferred
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis
from eventstream.spec import Budget, Limits, StreamSpec
from tests.providers.aimock import AiMock
from tests.providers.conftest import MakeModels

EVENTS = 60


async def test_no_event_is_lost_and_no_call_uncounted(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("A summary.", tokens=(200, 50))
    aimock.chaos(dropRate=0.1, malformedRate=0.05, disconnectRate=0.05, rateLimitRate=0.02)
    spec = StreamSpec(limits=Limits(requests_per_minute=10_000, budget=Budget(usd=20)))
    processes = [make_models(), make_models()]
    shuffled = random.Random(7)

    async def one(number: int) -> int:
        event = Event(
            id=f"event-{number}",
            stream="s",
            via="kafka",
            text=f"Text {number}.",
            task_type="summarization",
            temperature=0.7,
            max_tokens=100,
        )
        deferrals = 0
        while True:
            models = shuffled.choice(processes)
            plan = models.plan(event, spec)
            try:
                reply = await models.answer(event, spec, plan, deadline=time.monotonic() + 20)
            except CallDeferred as deferral:
                deferrals += 1
                await asyncio.sleep(min(deferral.wait_seconds, 1.0))
                continue
            assert reply.response == "A summary."
            return deferrals

    await asyncio.gather(*(one(number) for number in range(EVENTS)))
    answered = [e for e in aimock.requests() if e["response"]["status"] == 200]
    spending = Spending(redis_client, keys)
    usage = await spending.usage("s", spending.today())
    # A malformed answer has status 200 and is no answer.
    assert usage.calls == EVENTS <= len(answered)
    assert usage.prompt_tokens == EVENTS * 200
    assert usage.cost_microdollars == EVENTS * 60
    assert usage.held_microdollars == 0
