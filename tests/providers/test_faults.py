"""Everything goes wrong now and then: each event still ends answered, and the books agree."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr

from eventstream.errors import StoreUnavailable
from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens, load_price_list
from eventstream.llm.models import CallDeferred, Models
from eventstream.llm.spending import Spending
from eventstream.llm.tokens import estimate_conversation
from eventstream.redis_client import AsyncRedis, connect
from eventstream.settings import Settings
from eventstream.spec import Budget, Limits, StreamSpec
from tests.providers.aimock import AiMock
from tests.providers.conftest import MakeModels
from tests.support.redis_server import RedisServer

EVENTS = 60
MODEL = "gpt-4o-mini"


def summary(event_id: str) -> Event:
    return Event(
        id=event_id,
        stream="s",
        via="kafka",
        text=f"Text of {event_id}.",
        task_type="summarization",
        temperature=0.7,
        max_tokens=100,
    )


async def test_no_event_is_lost_and_no_call_uncounted(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("A summary.", tokens=(200, 50))
    aimock.chaos(dropRate=0.1, malformedRate=0.05, disconnectRate=0.2, rateLimitRate=0.02)
    spec = StreamSpec(
        limits=Limits(
            requests_per_minute=10_000, tokens_per_minute=10_000_000, budget=Budget(usd=20)
        )
    )
    processes = [make_models(), make_models()]
    shuffled = random.Random(7)

    async def one(number: int) -> int:
        event = summary(f"event-{number}")
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
    # What was cut off after it was sent counts as its estimate, and so does a malformed answer,
    # which has status 200: all but the last of an event's.
    unread = [e for e in aimock.requests() if e["response"]["status"] == 0]
    answers = {orjson.dumps(entry["body"]): entry for entry in answered}
    malformed = list(answered)
    for entry in answers.values():
        malformed.remove(entry)
    estimates = [
        Tokens(estimate_conversation(entry["body"]["messages"]), 100)
        for entry in (*unread, *malformed)
    ]
    costs = [load_price_list(None).cost_microdollars("openai", MODEL, each) for each in estimates]
    assert unread
    assert len(answers) == EVENTS
    assert usage.calls == EVENTS + len(estimates)
    assert usage.prompt_tokens == EVENTS * 200 + sum(each.prompt for each in estimates)
    assert usage.cost_microdollars == EVENTS * 60 + sum(cost or 0 for cost in costs)
    assert usage.held_microdollars == 0


async def test_an_answer_is_kept_when_redis_goes_away_during_the_call(
    aimock: AiMock, keys: Keys, tmp_path: Path
) -> None:
    aimock.answer("A summary.")
    aimock.chaos(latencyMs=1000)
    settings = Settings(
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=aimock.openai_url,
        rate_limit_calls=100,
    )
    with RedisServer(tmp_path) as server:
        redis = connect(server.url(2), timeout_seconds=1)
        models = Models(settings, redis, keys, local=None, environment={})
        asked = summary("event-1")
        plan = models.plan(asked, StreamSpec())
        answer = asyncio.create_task(
            models.answer(asked, StreamSpec(), plan, deadline=time.monotonic() + 20)
        )
        while not [key async for key in redis.scan_iter(match=f"{keys.prefix}*")]:
            await asyncio.sleep(0.01)
        await redis.ping()  # What Redis said of the reservation before has been read by then.
        server.kill()
        assert (await answer).response == "A summary."
        with pytest.raises(StoreUnavailable):
            await models.answer(asked, StreamSpec(), plan, deadline=time.monotonic() + 20)
        await models.aclose()
        await redis.aclose()
