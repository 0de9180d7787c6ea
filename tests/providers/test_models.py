"""Models against a provider that speaks the real protocol: answers, faults, limits, budgets."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from eventstream.errors import Reason, StoreUnavailable
from eventstream.events import Event
from eventstream.keys import Keys
from eventstream.llm.contract import Unanswered
from eventstream.llm.limits import Limiter
from eventstream.llm.models import CallDeferred, CallFailed, ModelReply, Models
from eventstream.llm.patience import PATIENCE_SECONDS
from eventstream.llm.spending import Hold, Spending, Usage
from eventstream.llm.tokens import estimate_conversation, estimate_tokens
from eventstream.redis_client import AsyncRedis
from eventstream.spec import Budget, KeySource, Limits, Model, StreamSpec, Task
from eventstream.tasks import end
from tests.providers.aimock import AiMock
from tests.providers.conftest import MakeModels
from tests.providers.raw import RawServer, Then, raw_server, response
from tests.support.redis_server import free_port

REVIEWS = StreamSpec(task=Task(type="classification", labels=("Praise", "Complaint")))
SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["stars"],
    "additionalProperties": False,
}
STARS = StreamSpec(task=Task(type="stars", prompt="How many stars?", output_schema=SCHEMA))


class Naps:
    """Sleeps, and remembers for how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(seconds)


async def no_nap(seconds: float) -> None:
    """Sleeps not at all."""


def event(text: str = "The parcel came late.", spec: StreamSpec = REVIEWS, **fields: Any) -> Event:
    given: dict[str, Any] = {
        "id": "event-1",
        "stream": "reviews",
        "via": "http",
        "text": text,
        "task_type": spec.task.type,
        "temperature": 0.2,
        "max_tokens": 100,
    }
    return Event(**{**given, **fields})


async def ask(
    models: Models, asked: Event, spec: StreamSpec = REVIEWS, seconds: float = 30
) -> ModelReply:
    plan = models.plan(asked, spec)
    return await models.answer(asked, spec, plan, deadline=time.monotonic() + seconds)


# -- answers -----------------------------------------------------------------------------------


async def test_an_answer_with_its_tokens_and_cost(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("complaint.", tokens=(1000, 100))
    reply = await ask(make_models(), event())
    assert reply.response == "Complaint"
    assert reply.model == "gpt-4o-mini"
    assert (reply.prompt_tokens, reply.completion_tokens, reply.attempts) == (1000, 100, 1)
    # 1000 x 0.15 + 100 x 0.60 micro-dollars.
    assert reply.cost_microdollars == 210
    assert reply.cacheable
    assert not reply.truncated


async def test_what_openai_is_sent(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise")
    await ask(make_models(), event("Lovely!"))
    [entry] = aimock.requests()
    body = entry["body"]
    system, user = body["messages"]
    assert entry["path"] == "/v1/chat/completions"
    assert body["model"] == "gpt-4o-mini"
    assert body["temperature"] == 0.2
    assert body["max_completion_tokens"] == 100
    assert "- Praise\n- Complaint" in system["content"]
    assert "Lovely!" not in system["content"]
    assert "\nLovely!\n" in user["content"]


async def test_gemini_at_its_compatible_endpoint(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise")
    models = make_models(google_api_key="g", eventstream_provider="gemini")
    reply = await ask(models, event())
    [entry] = aimock.requests()
    assert entry["path"] == "/v1beta/openai/chat/completions"
    assert entry["body"]["max_tokens"] == 100
    assert reply.model == "gemini-2.0-flash"


async def test_hugging_face_through_its_router(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise")
    models = make_models(huggingface_token="hf", eventstream_provider="huggingface")
    assert (await ask(models, event())).model == "meta-llama/Llama-3.1-8B-Instruct"


async def test_a_compatible_server_without_a_key(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise")
    spec = REVIEWS.model_copy(update={"model": Model(base_url=aimock.openai_url, name="llama3")})
    reply = await ask(make_models(openai_api_key="sk-not-for-others"), event(), spec)
    assert (reply.model, reply.cost_microdollars) == ("llama3", None)


async def test_an_answer_by_schema(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer('{ "stars": 4 }')
    reply = await ask(make_models(), event(spec=STARS), STARS)
    assert reply.response == '{"stars":4}'
    assert reply.parsed == {"stars": 4}
    [entry] = aimock.requests()
    assert entry["body"]["response_format"]["json_schema"]["schema"] == SCHEMA


async def test_an_endpoint_without_response_format_is_asked_without_it_from_then_on(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.add(
        {
            "match": {"responseFormat": "json_schema"},
            "response": {
                "error": {"message": "response_format json_schema is not supported"},
                "status": 400,
            },
        }
    )
    aimock.answer('```json\n{"stars": 2}\n```')
    models = make_models()
    for name in ("first", "second"):
        assert (await ask(models, event(spec=STARS, id=name), STARS)).parsed == {"stars": 2}
    formats = ["response_format" in entry["body"] for entry in aimock.requests()]
    assert formats == [True, False, False]


async def test_one_repair_shows_the_model_its_mistake(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer('{"stars": 9}', to="parcel", tokens=(100, 10))
    aimock.answer('{"stars": 5}', to="can't be used", tokens=(130, 10))
    reply = await ask(make_models(), event(spec=STARS), STARS)
    assert reply.parsed == {"stars": 5}
    assert (reply.attempts, reply.prompt_tokens, reply.completion_tokens) == (2, 230, 20)
    *_, answer, repair = aimock.requests()[1]["body"]["messages"]
    assert answer == {"role": "assistant", "content": '{"stars": 9}'}
    assert "9 is greater than the maximum of 5" in repair["content"]


async def test_an_answer_that_stays_wrong_is_a_failure_that_says_so(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("It depends.")
    with pytest.raises(CallFailed, match="not one of the labels: Praise, Complaint") as failure:
        await ask(make_models(), event())
    assert failure.value.reason is Reason.OUTPUT_INVALID
    assert len(failure.value.history) == 2
    assert len(aimock.requests()) == 2


async def test_a_repair_waits_for_its_turn_longer_than_a_question(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer('{"stars": 9}', to="parcel")
    aimock.answer('{"stars": 5}', to="can't be used")
    naps = Naps()
    models = make_models(rate_limit_calls=1, rate_limit_period=3, sleep=naps)
    assert (await ask(models, event(spec=STARS), STARS)).parsed == {"stars": 5}
    assert sum(naps.seconds) > 2


async def test_a_repair_that_gets_no_turn_in_time_fails_and_is_not_paid_for_again(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("It depends.")
    with pytest.raises(CallFailed, match="not one of the labels") as failure:
        await ask(make_models(rate_limit_calls=1), event())
    assert failure.value.reason is Reason.OUTPUT_INVALID
    assert "not repaired: the requests limit" in failure.value.history[-1]
    assert len(aimock.requests()) == 1
    assert not [key async for key in redis_client.scan_iter(match=f"{keys.prefix}*:place:*")]


async def test_a_repair_whose_provider_is_away_defers_the_event(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.error(500, "overloaded", to="can't be used")
    aimock.answer('{"stars": 9}', to="parcel")
    with pytest.raises(CallDeferred) as deferral:
        await ask(make_models(sleep=no_nap), event(spec=STARS), STARS)
    assert deferral.value.why == "provider"


async def test_an_answer_that_no_schema_can_check_is_paid_for_once(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer('{"stars": 3}')
    broken = STARS.task.model_copy(update={"output_schema": {"$ref": "#/nowhere"}})
    spec = STARS.model_copy(update={"task": broken})
    with pytest.raises(CallFailed, match=r"can't be checked: task\.outputSchema") as failure:
        await ask(make_models(), event(spec=spec), spec)
    assert failure.value.reason is Reason.OUTPUT_INVALID
    assert len(aimock.requests()) == 1


async def test_a_cut_off_structured_answer_fails(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer('{"sta', finish_reason="length")
    with pytest.raises(CallFailed, match="raise max_tokens") as failure:
        await ask(make_models(), event(spec=STARS), STARS)
    assert failure.value.reason is Reason.OUTPUT_TRUNCATED


async def test_cut_off_prose_is_given_but_not_cached(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("A long story about", finish_reason="length")
    reply = await ask(make_models(), event(task_type="summarization"))
    assert reply.response == "A long story about"
    assert reply.truncated
    assert not reply.cacheable


async def test_an_answer_with_an_unknown_ending_is_given_but_not_cached(
    make_models: MakeModels,
) -> None:
    choice = {"message": {"content": "A story about"}, "finish_reason": "error"}
    async with raw_server() as server:
        server.answer = response("200 OK", orjson.dumps({"choices": [choice]}))
        models = make_models(openai_base_url=server.url)
        reply = await ask(models, event(task_type="summarization"))
    assert (reply.response, reply.cacheable) == ("A story about", False)


async def test_a_content_filter_is_a_refusal(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Pr", finish_reason="content_filter")
    with pytest.raises(CallFailed, match="content filter") as failure:
        await ask(make_models(), event())
    assert failure.value.reason is Reason.PROVIDER_REFUSED


# -- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408])
async def test_a_passing_error_is_tried_again(
    aimock: AiMock, make_models: MakeModels, status: int
) -> None:
    aimock.error_once(status)
    aimock.answer("Praise")
    assert (await ask(make_models(), event())).attempts == 2


@pytest.mark.parametrize("fault", ["malformedRate", "disconnectRate", "dropRate"])
async def test_a_provider_that_breaks_every_answer_defers_the_event(
    aimock: AiMock, make_models: MakeModels, fault: str
) -> None:
    aimock.answer("Praise")
    aimock.chaos(**{fault: 1.0})
    with pytest.raises(CallDeferred, match="does not answer") as deferral:
        await ask(make_models(), event(), seconds=4)
    assert deferral.value.why == "provider"
    assert 15 <= deferral.value.wait_seconds <= 20
    aimock.chaos()
    assert (await ask(make_models(), event())).response == "Praise"


async def test_a_slow_provider_costs_no_more_than_the_deadline(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("Praise")
    aimock.chaos(latencyMs=20_000)
    with pytest.raises(CallDeferred, match="does not answer") as deferral:
        await ask(make_models(), event(), seconds=1.5)
    assert deferral.value.why == "provider"


async def test_a_provider_that_is_not_there_defers_the_event(make_models: MakeModels) -> None:
    models = make_models(openai_base_url="http://127.0.0.1:9/v1")
    with pytest.raises(CallDeferred) as deferral:
        await ask(models, event(), seconds=2)
    assert deferral.value.why == "provider"


async def has_waited_for_long(redis: AsyncRedis, keys: Keys) -> None:
    now = round(time.time() * 1000)
    began = now - round((PATIENCE_SECONDS + 60) * 1000)
    await redis.set(keys.limit("waiting:event-1"), began)
    await redis.set(keys.limit("looked:event-1"), now)


async def test_an_event_does_not_wait_for_its_provider_for_ever(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    await has_waited_for_long(redis_client, keys)
    aimock.chaos(dropRate=1.0)
    with pytest.raises(CallFailed, match="waited for it 16 minutes") as failure:
        await ask(make_models(), event(), seconds=2)
    assert failure.value.reason is Reason.PROVIDER_UNAVAILABLE
    assert failure.value.history[0].startswith("attempt 1: 500")


async def test_a_failed_event_that_is_replayed_has_its_patience_again(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    await has_waited_for_long(redis_client, keys)
    aimock.chaos(dropRate=1.0)
    models = make_models(sleep=no_nap)
    with pytest.raises(CallFailed, match="waited for it 16 minutes"):
        await ask(models, event())
    with pytest.raises(CallDeferred, match="does not answer"):
        await ask(models, event())


async def test_a_429_with_a_short_retry_after_is_slept_out(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.error(429, "slow down", nth=0, retry_after_seconds=1)
    aimock.answer("Praise")
    naps = Naps()
    reply = await ask(make_models(rate_limit_calls=100, sleep=naps), event())
    assert reply.attempts == 2
    assert sum(naps.seconds) >= 0.9


async def test_a_429_with_a_long_retry_after_holds_everyone_back(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.error(429, "slow down", nth=0, retry_after_seconds=40)
    aimock.answer("Praise")
    for name in ("the one who met it", "another worker's"):
        with pytest.raises(CallDeferred) as deferral:
            await ask(make_models(), event(id=name))
        assert deferral.value.why == "rate_limit"
        assert 30 < deferral.value.wait_seconds <= 50
    assert len(aimock.requests()) == 1


async def test_a_refused_key_holds_events_until_it_is_replaced(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.error(401, "Incorrect API key provided", nth=0)
    aimock.answer("Praise")
    for name in ("first", "second"):
        with pytest.raises(CallDeferred, match="refuses the key") as deferral:
            await ask(make_models(), event(id=name))
        assert deferral.value.why == "provider"
    assert len(aimock.requests()) == 1
    assert (await ask(make_models(openai_api_key="sk-new"), event(id="third"))).attempts == 1


async def test_who_was_only_held_back_has_not_begun_to_lose_patience(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.error(401, "Incorrect API key provided", nth=0)
    for name in ("called", "held back"):
        with pytest.raises(CallDeferred, match="refuses the key"):
            await ask(make_models(), event(id=name))
    assert await redis_client.exists(keys.limit("waiting:called"))
    assert not await redis_client.exists(keys.limit("waiting:held back"))


async def test_who_called_before_and_is_held_back_loses_patience_all_the_same(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    await has_waited_for_long(redis_client, keys)
    aimock.error(401, "Incorrect API key provided", nth=0)
    with pytest.raises(CallDeferred):
        await ask(make_models(), event(id="another"))
    with pytest.raises(CallFailed) as failure:
        await ask(make_models(), event())
    assert failure.value.reason is Reason.PROVIDER_AUTH


async def test_a_key_refused_for_too_long_is_a_failure(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    await has_waited_for_long(redis_client, keys)
    aimock.error(403, "forbidden")
    with pytest.raises(CallFailed) as failure:
        await ask(make_models(), event())
    assert failure.value.reason is Reason.PROVIDER_AUTH


async def test_a_spent_account_is_not_hammered(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.error(429, "You exceeded your current quota", code="insufficient_quota")
    with pytest.raises(CallDeferred, match="account is spent") as deferral:
        await ask(make_models(), event())
    assert deferral.value.wait_seconds >= 60
    assert len(aimock.requests()) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refused_request_fails_at_once_with_the_providers_words(
    aimock: AiMock, make_models: MakeModels, status: int
) -> None:
    aimock.error(status, "The model `gpt-9` does not exist")
    with pytest.raises(CallFailed, match="does not exist") as failure:
        await ask(make_models(), event())
    assert failure.value.reason is Reason.PROVIDER_REFUSED
    assert len(aimock.requests()) == 1


async def test_the_key_is_in_no_message_and_no_key_of_redis(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    secret = "sk-very-secret"
    aimock.error(401, "Incorrect API key provided")
    models = make_models(openai_api_key=secret)
    with pytest.raises(CallDeferred) as deferral:
        await ask(models, event())
    stored = [key async for key in redis_client.scan_iter(match=f"{keys.prefix}*")]
    assert stored
    assert secret not in str(deferral.value) + repr(stored)
    assert secret not in repr(models._endpoint(REVIEWS))


async def test_back_off_grows_and_honours_retry_after(
    aimock: AiMock, make_models: MakeModels
) -> None:
    for _ in range(4):
        aimock.error_once(500)
    aimock.answer("Praise")
    naps = Naps()
    assert (await ask(make_models(sleep=naps), event())).attempts == 5
    for nap, longest in zip(naps.seconds, (0.5, 1, 2, 4), strict=True):
        assert longest / 2 <= nap <= longest


async def test_logs_name_the_fault_and_never_the_key_or_the_text(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.error_once(500)
    aimock.answer("Praise")
    with capture_logs() as lines:
        await ask(make_models(openai_api_key="sk-very-secret"), event("A private letter."))
    [line] = lines
    assert (line["kind"], line["attempt"], line["stream"]) == ("server_error", 1, "reviews")
    assert "sk-very-secret" not in str(line)
    assert "private" not in str(line)


async def test_metrics_of_a_call(aimock: AiMock, make_models: MakeModels) -> None:
    def sample(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def samples() -> list[float]:
        call = {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": "openai",
            "gen_ai_request_model": "gpt-4o-mini",
        }
        duration, usage = "gen_ai_client_operation_duration_seconds", "gen_ai_client_token_usage"
        return [
            sample(f"{duration}_count", **call, error_type=""),
            sample(f"{duration}_count", **call, error_type="server_error"),
            sample(f"{usage}_sum", **call, gen_ai_token_type="input"),
            sample(f"{usage}_sum", **call, gen_ai_token_type="output"),
            sample("eventstream_model_cost_microdollars_total", stream="reviews"),
            sample("eventstream_model_retries_total", stream="reviews", cause="server_error"),
        ]

    aimock.error_once(500)
    aimock.answer("Praise", tokens=(1000, 100))
    before = samples()
    await ask(make_models(), event())
    changes = [after - early for early, after in zip(before, samples(), strict=True)]
    assert changes == [1, 1, 1000, 100, 210, 1]


# -- limits and budgets --------------------------------------------------------------------------


async def test_requests_a_minute_are_shared_by_processes(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("Praise")
    spec = REVIEWS.model_copy(update={"limits": Limits(requests_per_minute=3)})
    processes = [make_models(), make_models()]

    async def one(number: int) -> str:
        try:
            await ask(processes[number % 2], event(id=f"e{number}"), spec)
        except CallDeferred as deferral:
            return deferral.why
        return "answered"

    endings = await asyncio.gather(*(one(number) for number in range(8)))
    assert sorted(endings) == ["answered"] * 3 + ["rate_limit"] * 5
    assert len(aimock.requests()) == 3


async def test_a_short_wait_for_a_limit_is_slept(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise")
    naps = Naps()
    models = make_models(rate_limit_calls=1, rate_limit_period=1, sleep=naps)
    await ask(models, event(id="a"))
    await ask(models, event(id="b"))
    assert 0 < sum(naps.seconds) < 2
    assert len(aimock.requests()) == 2


async def test_usage_is_recorded(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("Praise", tokens=(1000, 100))
    await ask(make_models(), event())
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage(1, 1000, 100, 210)


def with_budget(microdollars: int, on_exhausted: str = "Hold") -> StreamSpec:
    budget = Budget(usd=microdollars / 1e6, on_exhausted=on_exhausted)
    return REVIEWS.model_copy(update={"limits": Limits(budget=budget)})


async def test_a_spent_budget_holds_events(aimock: AiMock, make_models: MakeModels) -> None:
    aimock.answer("Praise", tokens=(1500, 100))
    models, spec = make_models(), with_budget(300)
    await ask(models, event(), spec)
    with pytest.raises(CallDeferred, match=r"0\.0003 dollars a UTC day") as deferral:
        await ask(models, event(id="two"), spec)
    assert deferral.value.why == "budget"
    assert deferral.value.wait_seconds <= 151
    assert len(aimock.requests()) == 1


async def test_a_spent_budget_fails_events_where_the_stream_says_so(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("Praise", tokens=(1500, 100))
    models, spec = make_models(), with_budget(300, "Fail")
    await ask(models, event(), spec)
    with pytest.raises(CallFailed) as failure:
        await ask(models, event(id="two"), spec)
    assert failure.value.reason is Reason.BUDGET_EXHAUSTED


async def test_a_budget_is_not_overspent_by_many_at_once(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("Praise", tokens=(150, 100))
    models, spec = make_models(), with_budget(500)

    asked = (ask(models, event(id=f"e{number}"), spec) for number in range(20))
    endings = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(ending) for ending in endings} == {ModelReply, CallDeferred}
    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    assert 0 < usage.cost_microdollars <= 500
    assert usage.held_microdollars == 0


async def test_a_failed_call_gives_its_reservations_back(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.error(400, "no")
    spec = with_budget(1_000_000)
    with pytest.raises(CallFailed):
        await ask(make_models(), event(), spec)
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage()


UNREADABLE = {"choices": [], "usage": {"prompt_tokens": 5000, "completion_tokens": 10}}


@pytest.mark.parametrize("body", [UNREADABLE, {**UNREADABLE, "error": {"message": "overloaded"}}])
async def test_a_paid_answer_that_cant_be_read_is_counted(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys, body: dict[str, Any]
) -> None:
    async with raw_server() as server:
        server.answer = response("200 OK", orjson.dumps(body))
        models = make_models(openai_base_url=server.url, sleep=no_nap)
        with pytest.raises(CallDeferred, match="does not answer"):
            await ask(models, event(), with_budget(1_000_000))
    spending = Spending(redis_client, keys)
    # Five times 5000 x 0.15 + 10 x 0.60 micro-dollars.
    assert await spending.usage("reviews", spending.today()) == Usage(5, 25_000, 50, 3780)


async def test_a_paid_answer_that_cant_be_read_stays_counted_in_the_limit(
    make_models: MakeModels,
) -> None:
    spec = REVIEWS.model_copy(update={"limits": Limits(tokens_per_minute=6000)})
    async with raw_server() as server:
        server.answer = response("200 OK", orjson.dumps(UNREADABLE))
        models = make_models(openai_base_url=server.url, sleep=no_nap)
        with pytest.raises(CallDeferred) as deferral:
            await ask(models, event(), spec)
        assert deferral.value.why == "rate_limit"
        assert len(server.requests) == 2


def estimate_of(server: RawServer) -> Usage:
    """What one of the calls that came to `server` counts as: prompt by its length, max_tokens."""
    prompt = estimate_conversation(orjson.loads(server.requests[0].body)["messages"])
    return Usage(1, prompt, 100, math.ceil(prompt * 0.15 + 100 * 0.60))


NO_FORMAT = response(
    "200 OK",
    orjson.dumps(
        {
            "choices": [{"error": {"code": 400, "message": "response_format is not supported"}}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 300},
        }
    ),
)
STARRED = {
    "choices": [{"message": {"content": '{"stars": 2}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


@pytest.mark.parametrize("story", ["answered", "paid and not read", "refused", "not answered"])
async def test_a_format_that_is_refused_in_a_paid_answer_is_counted(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys, story: str
) -> None:
    """Whatever becomes of the question without it, which is part of the same call."""
    naps = 0

    async def good_from_then_on(_: float) -> None:
        nonlocal naps
        naps += 1
        server.answer, server.then = response("200 OK", orjson.dumps(STARRED)), "keep"

    async with raw_server() as server:
        server.first = [NO_FORMAT]
        server.answer = {
            "answered": response("200 OK", orjson.dumps(STARRED)),
            "paid and not read": response("200 OK", orjson.dumps({**STARRED, "choices": []})),
            "refused": response("400 No", b'{"error": {"message": "no"}}'),
            "not answered": response("200 OK", b"{"),
        }[story]
        models = make_models(openai_base_url=server.url, sleep=good_from_then_on)
        with contextlib.suppress(CallFailed):
            await ask(models, event(spec=STARS), STARS)
        requests = len(server.requests)
        prompt = estimate_conversation(orjson.loads(server.requests[1].body)["messages"])

    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    prompts, completions = {
        "answered": (710, 305),
        "paid and not read": (720, 310),
        "refused": (700, 300),
        "not answered": (710 + prompt, 405),
    }[story]
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompts, completions)
    assert (usage.calls, requests) == (1 + naps, 2 + naps)


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (response("200 OK", orjson.dumps(STARRED)), []),
        (response("400 No", b'{"error": {"message": "no"}}'), ["estimate"]),
    ],
)
async def test_a_format_that_is_refused_beside_the_beginning_of_an_answer_counts_as_the_estimate(
    make_models: MakeModels,
    redis_client: AsyncRedis,
    keys: Keys,
    answer: bytes,
    counted: list[str],
) -> None:
    """Nobody says what that beginning costs; the question without the format counts beside it."""
    refusal = {"code": 400, "message": "response_format is not supported"}
    begun = {"choices": [{"message": {"content": '{"st'}, "error": refusal}]}
    spec = STARS.model_copy(update={"limits": Limits(budget=Budget(usd=1))})
    async with raw_server() as server:
        server.first, server.answer = [response("200 OK", orjson.dumps(begun))], answer
        models = make_models(openai_base_url=server.url, sleep=no_nap)
        with capture_logs() as lines, contextlib.suppress(CallFailed):
            await ask(models, event(spec=STARS), spec)
        assert len(server.requests) == 2
        lost = estimate_of(server)

    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    prompts, completions = (0, 0) if counted else (10, 5)
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        lost.prompt_tokens + prompts,
        lost.completion_tokens + completions,
    )
    assert (usage.calls, usage.held_microdollars) == (1, 0)
    assert usage.cost_microdollars >= lost.cost_microdollars
    assert [line["counted"] for line in lines if "counted" in line] == counted


@pytest.mark.parametrize(
    ("then", "body", "seconds"),
    [
        ("hang", None, 1.2),
        ("close", None, 20.0),
        ("reset", None, 20.0),
        ("keep", b'{"choices": [{"message": {"content": "A long ans', 30.0),
        ("keep", b"<html>Everything is fine.</html>", 30.0),
        ("keep", b'{"choices": []}', 30.0),
        ("keep", b'{"choices": [{"message": {"content": "A"}, "error": {"message": "no"}}]}', 30.0),
        ("keep", b'{"choices": [{"message": {"content": "A lo"}, "error": {"code": 502}}]}', 30.0),
    ],
)
async def test_what_was_sent_and_names_no_usage_counts_as_its_estimate(
    make_models: MakeModels,
    redis_client: AsyncRedis,
    keys: Keys,
    then: Then,
    body: bytes | None,
    seconds: float,
) -> None:
    """Without an answer, or with one that can't be read."""
    async with raw_server() as server:
        server.then = then
        if body is not None:
            server.answer = response("200 OK", body)
        models = make_models(openai_base_url=server.url, sleep=no_nap)
        with capture_logs() as lines, pytest.raises(CallDeferred, match="does not answer"):
            await ask(models, event(), with_budget(1_000_000), seconds=seconds)
        one, calls = estimate_of(server), len(server.requests)
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage(
        calls, calls * one.prompt_tokens, calls * 100, calls * one.cost_microdollars
    )
    assert {line["counted"] for line in lines} == {"estimate"}


@pytest.mark.parametrize(
    "error",
    [
        {"type": "server_error", "message": "overloaded"},
        {"code": "rate_limit_exceeded"},
        {"code": "429"},
        {"code": "invalid_api_key"},
    ],
)
async def test_a_refusal_that_comes_as_an_answer_counts_nothing(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys, error: dict[str, str]
) -> None:
    async with raw_server() as server:
        server.answer = response("200 OK", orjson.dumps({"error": error}))
        models = make_models(openai_base_url=server.url, sleep=no_nap)
        with capture_logs() as lines, pytest.raises(CallDeferred) as deferral:
            await ask(models, event(), with_budget(1_000_000))
    assert deferral.value.why == ("rate_limit" if error.get("code") == "429" else "provider")
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage()
    assert {line["counted"] for line in lines} == {"nothing"}


async def test_what_brought_no_answer_is_told_apart_from_what_the_answer_took(
    make_models: MakeModels,
) -> None:
    """A hit saves the call that brought the answer, not the one before it that brought none."""
    async with raw_server() as server:
        server.then = "close"

        async def mended(_: float) -> None:
            choice = {"message": {"content": "Praise"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 30, "completion_tokens": 2}
            server.answer = response("200 OK", orjson.dumps({"choices": [choice], "usage": usage}))
            server.then = "keep"

        models = make_models(openai_base_url=server.url, sleep=mended)
        reply = await ask(models, event(), with_budget(1_000_000))
        lost = estimate_of(server)

    assert reply.attempts == 2
    assert reply.unanswered == Unanswered(
        lost.prompt_tokens, lost.completion_tokens, lost.cost_microdollars
    )
    assert reply.prompt_tokens == 30 + lost.prompt_tokens
    assert reply.cost_microdollars == 6 + lost.cost_microdollars


@pytest.mark.parametrize(("answer", "then"), [(b"", "close"), (response("200 OK"), "keep")])
async def test_calls_that_nobody_answers_use_a_budget_up(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys, answer: bytes, then: Then
) -> None:
    async with raw_server() as server:
        server.answer, server.then = answer, then
        models, spec = make_models(openai_base_url=server.url, sleep=no_nap), with_budget(300)
        for number in range(5):
            with pytest.raises(CallDeferred) as deferral:
                await ask(models, event(id=f"e{number}"), spec)
            assert deferral.value.why == "budget"
        fit = 300 // estimate_of(server).cost_microdollars
        assert len(server.requests) == fit
    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    assert (usage.calls, usage.held_microdollars) == (fit, 0)


async def test_a_call_that_reached_nobody_costs_nothing(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    models = make_models(openai_base_url=f"http://127.0.0.1:{free_port()}/v1", sleep=no_nap)
    with capture_logs() as lines, pytest.raises(CallDeferred, match="does not answer"):
        await ask(models, event(), with_budget(1_000_000))
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage()
    assert {line["counted"] for line in lines} == {"nothing"}


async def test_a_call_that_is_cut_off_under_way_counts_as_its_estimate(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    async with raw_server() as server:
        server.then = "hang"
        models = make_models(openai_base_url=server.url)
        call = asyncio.create_task(ask(models, event(), with_budget(1_000_000)))
        async with asyncio.timeout(10):
            while not server.requests:
                await asyncio.sleep(0.01)
        await end(call)
        one = estimate_of(server)

    assert call.cancelled()
    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == one


async def test_a_call_that_is_cut_off_before_it_is_sent_costs_nothing(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    """It connects, and the other side never answers its handshake."""
    connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.put_nowait(writer)

    limits = Limits(tokens_per_minute=200, budget=Budget(usd=1))  # of tokens, one call's
    spec = REVIEWS.model_copy(update={"limits": limits})
    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    models = make_models(openai_base_url=f"https://127.0.0.1:{port}/v1")
    for number in range(2):
        with capture_logs() as lines:
            call = asyncio.create_task(ask(models, event(id=f"e{number}"), spec))
            async with asyncio.timeout(10):
                writer = await connected.get()
            await end(call)
            writer.close()
        assert call.cancelled()
        assert {line["counted"] for line in lines} == {"nothing"}
    mute.close()

    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage()


async def test_a_call_that_is_cut_off_in_line_gives_its_money_back(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_line = asyncio.Event()

    async def wait_for_ever(*_: object, **__: object) -> None:
        in_line.set()
        await asyncio.Future()

    monkeypatch.setattr(Limiter, "reserve", wait_for_ever)
    call = asyncio.create_task(ask(make_models(), event(), with_budget(1_000_000)))
    async with asyncio.timeout(10):
        await in_line.wait()
    await end(call)

    assert call.cancelled()
    spending = Spending(redis_client, keys)
    assert (await spending.usage("reviews", spending.today())).held_microdollars == 0


async def test_a_call_that_could_not_be_counted_is_counted_when_the_process_ends(
    aimock: AiMock,
    make_models: MakeModels,
    redis_client: AsyncRedis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aimock.answer("Praise", tokens=(1000, 100))
    models, tell, away = make_models(), Spending._tell, True

    async def tell_if_there(self: Spending, names: list[str]) -> None:
        if away:
            raise StoreUnavailable("away")
        await tell(self, names)

    monkeypatch.setattr(Spending, "_tell", tell_if_there)
    await ask(models, event(), with_budget(1_000_000))
    away = False
    await models.aclose()

    spending = Spending(redis_client, keys)
    assert await spending.usage("reviews", spending.today()) == Usage(1, 1000, 100, 210)


@pytest.mark.parametrize("status", [200, 400])
async def test_a_call_that_cant_be_counted_ends_its_event_and_its_part_of_the_limit_is_settled(
    aimock: AiMock,
    make_models: MakeModels,
    redis_client: AsyncRedis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    if status == 400:
        aimock.error(400, "no")
    aimock.answer("Praise", tokens=(10, 1))

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Spending, "_tell", away)
    spec = REVIEWS.model_copy(
        update={"limits": Limits(tokens_per_minute=400, budget=Budget(usd=1))}
    )
    [ending] = await asyncio.gather(ask(make_models(), event(), spec), return_exceptions=True)

    assert type(ending) is (ModelReply if status == 200 else CallFailed)
    assert len(aimock.requests()) == 1
    bucket = keys.limit(make_models()._endpoint(spec).bucket("gpt-4o-mini"))
    counted: dict[Any, Any] = await redis_client.hgetall(bucket)
    used = sum(int(value) for name, value in counted.items() if name.startswith(b"t:"))
    assert used == (11 if status == 200 else 0)


async def test_a_repair_waits_for_money_that_calls_under_way_may_need(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.answer("It depends.", to="parcel", tokens=(1000, 100))  # 210 micro-dollars
    aimock.answer("Praise", to="can't be used")
    spending = Spending(redis_client, keys)
    other = await spending.hold("reviews", 1000, 800)
    assert isinstance(other, Hold)

    async def until_the_other_call_is_over(seconds: float) -> None:
        await spending.release(other)

    models = make_models(sleep=until_the_other_call_is_over)
    assert (await ask(models, event(), with_budget(1000))).response == "Praise"
    assert len(aimock.requests()) == 2


async def test_a_repair_that_the_budget_leaves_no_money_for_is_not_paid_for_again(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("It depends.", tokens=(1500, 100))
    with pytest.raises(CallFailed, match="not one of the labels") as failure:
        await ask(make_models(), event(), with_budget(300))
    assert failure.value.reason is Reason.OUTPUT_INVALID
    assert "not repaired: the budget of stream" in failure.value.history[-1]
    assert len(aimock.requests()) == 1


async def test_the_day_ends_at_midnight_utc(
    aimock: AiMock, redis_client: AsyncRedis, keys: Keys, make_models: MakeModels
) -> None:
    aimock.answer("Praise", tokens=(1500, 100))
    late = datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)
    models = make_models(now=lambda: late)
    spec = with_budget(300)
    await ask(models, event(), spec)
    with pytest.raises(CallDeferred) as deferral:
        await ask(models, event(id="two"), spec)
    assert deferral.value.wait_seconds == 11


# -- embeddings ------------------------------------------------------------------------------------


async def test_vectors_are_unit_rows_in_order(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    aimock.embedding([3.0, 4.0], to="first")
    aimock.embedding([0.0, 2.0], to="second")
    models = make_models(openai_embedding_model="own-embedding", vector_dimension=2)
    embedder = models.embedder(REVIEWS, "reviews")
    assert embedder is not None
    assert (embedder.name, embedder.dimension) == ("own-embedding", 2)
    rows = await embedder.embed(["first"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8]], atol=1e-6)
    np.testing.assert_allclose(await embedder.embed(["second"]), [[0.0, 1.0]], atol=1e-6)
    assert (await embedder.embed([])).shape == (0, 2)


async def test_many_texts_go_in_batches_and_are_counted(
    aimock: AiMock, make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    models = make_models(google_api_key="g", eventstream_provider="gemini")
    embedder = models.embedder(REVIEWS, "reviews")
    assert embedder is not None
    with pytest.raises(CallFailed, match="VECTOR_DIMENSION"):
        # aimock gives vectors of 1536 to every model, gemini-embedding-001 has 3072.
        await embedder.embed([f"text {number}" for number in range(150)])
    [entry] = aimock.requests("/embeddings")
    assert entry["path"] == "/v1beta/openai/embeddings"

    embedder = make_models().embedder(REVIEWS, "reviews")
    assert embedder is not None
    rows = await embedder.embed([f"text {number}" for number in range(600)])
    assert rows.shape == (600, 1536)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert len(aimock.requests("/v1/embeddings")) == 2
    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    assert usage.calls == 3  # the vectors that are of no use are paid for, too
    assert usage.prompt_tokens > 0


async def test_paid_vectors_that_cant_be_read_are_counted(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    async with raw_server() as server:
        body = {"data": [{"embedding": "?"}], "usage": {"prompt_tokens": 5000}}
        server.answer = response("200 OK", orjson.dumps(body))
        embedder = make_models(openai_base_url=server.url, sleep=no_nap).embedder(
            REVIEWS, "reviews"
        )
        assert embedder is not None
        with pytest.raises(CallDeferred, match="does not answer"):
            await embedder.embed(["text"])
    spending = Spending(redis_client, keys)
    # Five times 5000 x 0.02 micro-dollars.
    assert await spending.usage("reviews", spending.today()) == Usage(5, 25_000, 0, 500)


async def test_vectors_of_another_length_that_name_no_usage_count_as_the_estimate(
    make_models: MakeModels, redis_client: AsyncRedis, keys: Keys
) -> None:
    async with raw_server() as server:
        body = {"data": [{"embedding": [1.0, 0.0]}]}
        server.answer = response("200 OK", orjson.dumps(body))
        embedder = make_models(openai_base_url=server.url).embedder(REVIEWS, "reviews")
        assert embedder is not None
        with pytest.raises(CallFailed, match="see VECTOR_DIMENSION"):
            await embedder.embed(["text"])
    spending = Spending(redis_client, keys)
    usage = await spending.usage("reviews", spending.today())
    assert (usage.calls, usage.prompt_tokens) == (1, estimate_tokens("text"))


async def test_vectors_that_do_not_come_are_a_deferral(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.chaos(rateLimitRate=1.0)
    embedder = make_models(rate_limit_calls=100).embedder(REVIEWS)
    assert embedder is not None
    with pytest.raises(CallDeferred) as deferral:
        await embedder.embed(["text"])
    assert deferral.value.why == "rate_limit"


async def test_a_stream_takes_its_key_from_the_environment(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.answer("Praise")
    model = Model(provider="openai", api_key_from=KeySource(env="TEAM_KEY"))
    spec = REVIEWS.model_copy(update={"model": model})
    models = make_models({"TEAM_KEY": "sk-team"}, openai_api_key=None)
    assert (await ask(models, event(), spec)).response == "Praise"


async def test_embeddings_that_do_not_come_leave_an_event_most_of_its_time(
    aimock: AiMock, make_models: MakeModels
) -> None:
    aimock.chaos(latencyMs=20_000)
    embedder = make_models(event_deadline_seconds=3).embedder(REVIEWS, "reviews")
    assert embedder is not None
    with pytest.raises(CallDeferred):
        # An event's own deadline would be over.
        await asyncio.wait_for(embedder.embed(["late"]), 3)
