"""Events to results, over a real cache and a provider that speaks its real protocol."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from eventstream.answers import MOST_MICRODOLLARS
from eventstream.claims import Failed, Held
from eventstream.errors import Reason
from eventstream.events import KafkaSource
from eventstream.keys import Keys
from eventstream.llm.contract import ModelReply, Unanswered
from eventstream.llm.cost import PriceList
from eventstream.llm.models import Models
from eventstream.pipeline import Ask, Deferral
from eventstream.redis_client import AsyncRedis, connect
from eventstream.spec import Cache, Limits, Model, StreamSpec, Task
from tests.integration.pipeline.bench import Bench, answered
from tests.integration.pipeline.conftest import SPEC
from tests.providers.aimock import AiMock
from tests.support.events import an_event


async def test_a_hit_has_the_same_fields_and_costs_nothing(bench: Bench, aimock: AiMock) -> None:
    first = answered(await bench.run("Where is my parcel?"))
    second = answered(await bench.run("where is my parcel?"))

    assert len(aimock.requests()) == 1
    assert (first.source, second.source) == ("model", "exact")
    assert first.result.response == second.result.response == "an answer"
    assert first.result.model == second.result.model
    assert (first.result.from_cache, second.result.from_cache) == (False, True)
    assert (first.result.similarity, second.result.similarity) == (None, 1.0)
    assert first.result.metadata["tokens_used"] == 15
    assert second.result.metadata["tokens_used"] == 0
    assert second.result.metadata["tokens_saved"] == 15
    # 12 tokens in at $0.15 and 3 out at $0.60 a million: 3.6 micro-dollars, rounded up.
    assert first.cost_microdollars == second.saved_microdollars == 4


async def test_a_hit_saves_what_the_answer_took_and_not_what_was_lost_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Models.answer

    async def after_a_lost_call(*arguments: Any, **options: Any) -> ModelReply:
        reply = await answer(*arguments, **options)
        return replace(
            reply,
            prompt_tokens=reply.prompt_tokens + 1000,
            cost_microdollars=(reply.cost_microdollars or 0) + 700,
            unanswered=Unanswered(prompt_tokens=1000, cost_microdollars=700),
        )

    monkeypatch.setattr(Models, "answer", after_a_lost_call)
    first = answered(await bench.run("Where is my parcel?"))
    second = answered(await bench.run("where is my parcel?"))

    assert (first.result.metadata["tokens_used"], first.cost_microdollars) == (1015, 704)
    assert (second.result.metadata["tokens_saved"], second.saved_microdollars) == (15, 4)


async def test_a_defect_in_storing_an_answer_never_costs_it(
    bench: Bench, aimock: AiMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(*_: object) -> int:
        raise AttributeError("'NoneType' object has no attribute 'writelines'")

    monkeypatch.setattr(bench.cache, "store", defective)

    ending = answered(await bench.run("Where is my parcel?"))

    assert ending.result.response == "an answer"
    assert len(aimock.requests()) == 1


async def test_without_the_cache_it_is_neither_read_nor_written(
    bench: Bench, aimock: AiMock
) -> None:
    await bench.run("Where is my parcel?", use_cache=False)
    await bench.run("Where is my parcel?", use_cache=True)
    await bench.run("Where is my parcel?", use_cache=False)

    assert len(aimock.requests()) == 3


async def test_the_same_question_asked_at_once_is_asked_of_the_model_once(
    bench: Bench, aimock: AiMock
) -> None:
    aimock.chaos(latencyMs=200)
    endings = await bench.run_all([an_event(f"e{n}", "Where is my parcel?") for n in range(20)])

    assert len(aimock.requests()) == 1
    assert sorted(answered(ending).source for ending in endings) == ["flight"] * 19 + ["model"]


async def test_duplicates_that_wait_for_a_slot_do_not_ask_again(
    bench: Bench, aimock: AiMock
) -> None:
    """One slot: the second of two equal events is asked after the first was answered."""
    claim = [Held("q", f"{n}-0", an_event(f"e{n}", "Same?"), 1, 0) for n in range(2)]
    for outcome in await bench.pipeline.look_up(claim):
        assert isinstance(outcome, Ask)
        await bench.pipeline.ask(outcome, deadline=time.monotonic() + 20)

    assert len(aimock.requests()) == 1


async def test_answers_do_not_cross_tasks_streams_models_or_parameters(
    bench: Bench, aimock: AiMock
) -> None:
    await bench.registry.write({"other": SPEC})
    text = "The parcel came late."

    await bench.run(text)
    await bench.run(text, task_type="summarization")
    await bench.run(text, stream="other")
    await bench.run(text, model="gpt-4o")
    await bench.run(text, temperature=0.0)
    await bench.run(text, max_tokens=10)
    assert len(aimock.requests()) == 6

    await bench.run(text)
    assert len(aimock.requests()) == 6


async def test_a_changed_prompt_makes_old_answers_unreachable(bench: Bench, aimock: AiMock) -> None:
    await bench.run("The parcel came late.")
    changed = SPEC.model_copy(update={"task": Task(prompt="Answer in one word.")})
    await bench.registry.write({"default": changed})
    await bench.run("The parcel came late.")

    assert len(aimock.requests()) == 2


async def test_a_near_miss_is_asked_and_says_what_stood_in_the_way(
    bench: Bench, aimock: AiMock
) -> None:
    vector = [1.0] + [0.0] * 1535
    aimock.embedding(vector, to="My order 51 is late")
    aimock.embedding(vector, to="My order 52 is late")
    await bench.run("My order 51 is late")
    near = answered(await bench.run("My order 52 is late"))

    assert near.source == "model"
    assert near.result.metadata["nearest_similarity"] == 1.0
    assert near.result.metadata["refused"] == ["number"]


async def test_a_harmless_difference_is_a_semantic_hit(bench: Bench, aimock: AiMock) -> None:
    vector = [1.0] + [0.0] * 1535
    aimock.embedding(vector, to="Hello, my order is late")
    aimock.embedding(vector, to="My order is late")
    await bench.run("My order is late")
    hit = answered(await bench.run("Hello, my order is late!"))

    assert hit.source == "semantic"
    assert hit.result.similarity == 1.0
    assert hit.result.from_cache


async def test_an_answer_that_was_cut_off_is_given_but_never_again(
    bench: Bench, aimock: AiMock
) -> None:
    aimock.clear()
    aimock.answer("half an ans", finish_reason="length")
    first = answered(await bench.run("Tell me everything."))
    await bench.run("Tell me everything.")

    assert first.result.metadata["truncated"] is True
    assert len(aimock.requests()) == 2


async def test_a_kafka_event_keeps_its_id_and_metadata_in_the_result(bench: Bench) -> None:
    source = KafkaSource(topic="t", partition=0, offset=3)
    ending = answered(
        await bench.run("hello", "k1", via="kafka", source=source, metadata={"shop": "north"})
    )

    assert ending.result.event_id == "k1"
    assert ending.result.event_metadata == {"shop": "north"}


async def test_a_deleted_stream_fails_its_events_with_the_reason(bench: Bench) -> None:
    await bench.registry.delete("default")

    ending = await bench.run("hello")

    assert isinstance(ending, Failed)
    assert ending.failure.reason is Reason.STREAM_DELETED


async def test_a_stream_that_can_not_be_served_waits_for_better_settings(bench: Bench) -> None:
    nowhere = StreamSpec(model=Model(provider="gemini"))
    await bench.registry.write({"default": nowhere})

    ending = await bench.run("hello")

    assert isinstance(ending, Deferral)
    assert ending.why == "configuration"
    assert "GOOGLE_API_KEY" in ending.message


async def test_a_stream_without_a_cache_asks_every_time(bench: Bench, aimock: AiMock) -> None:
    await bench.registry.write({"default": SPEC.model_copy(update={"cache": Cache(enabled=False)})})
    await bench.run("hello")
    await bench.run("hello")

    assert len(aimock.requests()) == 2


async def test_an_unreadable_cache_entry_is_a_miss(
    bench: Bench, aimock: AiMock, cache_url: str, keys: Keys
) -> None:
    await bench.run("hello there")
    client = connect(cache_url, timeout_seconds=5)
    async for key in client.scan_iter(match=f"{keys.prefix}*"):
        if await client.type(key) == b"hash":
            await client.hset(key, "response", b"\xff not ours")
    await client.aclose()

    assert answered(await bench.run("hello there")).source == "model"


async def test_failed_questions_are_asked_again_by_those_who_waited(
    bench: Bench, aimock: AiMock
) -> None:
    aimock.clear()
    aimock.error(400, "this text is not for me", nth=0)
    aimock.answer("an answer")
    endings = await bench.run_all([an_event(f"e{n}", "Same question?") for n in range(3)])

    kinds = sorted(type(ending).__name__ for ending in endings)
    assert kinds == ["Answered", "Answered", "Failed"]
    assert len(aimock.requests()) == 2


async def test_who_asks_the_same_waits_with_the_leader_and_shares_its_place(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    limits = Limits(requests_per_minute=1)
    await bench.registry.write({"default": SPEC.model_copy(update={"limits": limits})})
    await bench.run("This one has its turn.")

    first = await bench.run_all([an_event(f"e{n}", "Same question?") for n in range(30)])
    later = await bench.run("Same question?", "later")

    waits = [each.wait_seconds for each in [*first, later] if isinstance(each, Deferral)]
    assert len(waits) == 31
    assert max(waits) <= 62
    buckets = [key async for key in redis_client.scan_iter(match=f"{keys.prefix}limit:*")]
    assert len([key for key in buckets if b":place:" in key]) == 1
    [chat] = [key for key in buckets if key.endswith(b":gpt-4o-mini")]
    # The leader of the 30 asked for its turn, and the one that came later.
    assert await redis_client.hget(chat, "refused:requests:1") == b"2"


async def test_who_waits_for_a_provider_that_is_away_begins_to_wait_with_a_call_of_its_own(
    bench: Bench, aimock: AiMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstream.llm.calls.MAX_ATTEMPTS", 1)
    aimock.chaos(dropRate=1.0)

    endings = await bench.run_all([an_event(f"e{n}", "Same question?") for n in range(3)])

    assert [isinstance(ending, Deferral) for ending in endings] == [True] * 3
    assert len(aimock.requests()) == 3


async def test_no_price_makes_a_call_cost_more_than_can_be_summed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PriceList, "cost_microdollars", lambda *_: 10**16)

    asked = answered(await bench.run("How long is a metre?", "one"))
    hit = answered(await bench.run("How long is a metre?", "two"))

    assert asked.cost_microdollars == MOST_MICRODOLLARS
    assert (hit.source, hit.saved_microdollars) == ("exact", MOST_MICRODOLLARS)
