"""Checked hits, candidates that are learned from, and what users get meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from eventstream.cache.keys import CacheKeys
from eventstream.cache.store import SemanticCache
from eventstream.claims import Held
from eventstream.keys import Keys
from eventstream.llm.spending import Spending
from eventstream.pipeline import Ask, Pipeline
from eventstream.redis_client import AsyncRedis, connect
from eventstream.spec import Budget, Cache, Limits, StreamSpec, Task
from tests.integration.pipeline.bench import Bench, answered
from tests.integration.pipeline.conftest import SPEC
from tests.providers.aimock import AiMock
from tests.providers.conftest import MakeModels
from tests.support.events import an_event

VECTOR = [1.0] + [0.0] * 1535
LABELS = ("billing", "delivery")
ASKED, GREETED, OTHER = "My order 2 is late", "Hello, my order 2 is late", "My order 3 is late"


def sorting(**cache: Any) -> StreamSpec:
    """A stream with labels, and these cache fields."""
    task = Task(type="classification", labels=LABELS)
    return SPEC.model_copy(update={"task": task, "cache": Cache(**cache)})


@pytest.fixture
async def warm(bench: Bench, aimock: AiMock) -> Bench:
    """A bench whose cache knows one text; every hit is checked."""
    aimock.clear()
    for text in (ASKED, GREETED, OTHER):
        aimock.embedding(VECTOR, to=text)
    aimock.answer("delivery", to=ASKED)
    aimock.answer("delivery", to="Something else")
    await bench.registry.write({"default": sorting(check_percent=100)})
    await ask(bench, ASKED)
    return bench


async def ask(bench: Bench, text: str, event_id: str = "e", **changes: Any) -> Any:
    return answered(await bench.run(text, event_id, task_type="classification", **changes))


async def learned(cache_url: str, keys: Keys, bench: Bench) -> dict[str, int]:
    """The evidence's counts: "KINDS agreed" or "KINDS disagreed" -> pairs."""
    await bench.cache.flush()
    client = connect(cache_url, timeout_seconds=5)
    found: dict[str, int] = {}
    index = CacheKeys(keys.prefix).evidence_index("default")
    members: Any = await client.smembers(index)
    for member in members:
        task_type, evidence_id = CacheKeys(keys.prefix).read_evidence_member(member.decode())
        key = CacheKeys(keys.prefix).evidence("default", task_type, evidence_id)
        fields: Any = await client.hgetall(key)
        for name, count in fields.items():
            parts = name.decode().split("|")
            if len(parts) == 4:
                found[f"{parts[1] or 'harmless'} {parts[3]}"] = int(count)
    await client.aclose()
    return found


async def test_a_checked_hit_gets_the_fresh_answer_and_teaches(
    warm: Bench, aimock: AiMock, cache_url: str, keys: Keys
) -> None:
    aimock.answer("billing", to=GREETED)

    checked = await ask(warm, GREETED)

    assert (checked.source, checked.result.response) == ("model", "billing")
    assert checked.result.metadata["checked"] is True
    assert await learned(cache_url, keys, warm) == {"harmless disagreed": 1}
    # From now on it has an answer of its own.
    assert (await ask(warm, GREETED)).source == "exact"


async def test_what_a_check_costs_is_counted(warm: Bench, aimock: AiMock) -> None:
    aimock.answer("delivery", to=GREETED)
    name, labels = "eventstream_cache_check_cost_microdollars_total", {"stream": "default"}
    before = REGISTRY.get_sample_value(name, labels) or 0

    checked = await ask(warm, GREETED)

    assert (REGISTRY.get_sample_value(name, labels) or 0) - before == checked.cost_microdollars > 0


async def test_a_refused_candidate_teaches_for_nothing(
    warm: Bench, aimock: AiMock, cache_url: str, keys: Keys
) -> None:
    aimock.answer("delivery", to=OTHER)

    answer = await ask(warm, OTHER)

    assert "checked" not in answer.result.metadata
    assert answer.result.metadata["refused"] == ["number"]
    assert await learned(cache_url, keys, warm) == {"number agreed": 1}


@pytest.mark.parametrize("status", [400, 401])
async def test_where_the_model_fails_a_checked_event_gets_its_hit(
    warm: Bench, aimock: AiMock, status: int, cache_url: str, keys: Keys
) -> None:
    aimock.error(status, "not today")

    given = await ask(warm, GREETED)

    assert (given.source, given.result.response) == ("semantic", "delivery")
    assert given.result.from_cache
    assert await learned(cache_url, keys, warm) == {}


async def test_a_spent_budget_checks_nothing(warm: Bench, aimock: AiMock) -> None:
    budget = Limits(budget=Budget(usd=0.000001))
    spec = sorting(check_percent=100).model_copy(update={"limits": budget})
    await warm.registry.write({"default": spec})
    aimock.answer("billing", to=GREETED)

    assert (await ask(warm, GREETED)).source == "semantic"


async def test_a_check_that_gets_no_turn_leaves_no_place_in_line(
    warm: Bench, aimock: AiMock, redis_client: AsyncRedis, keys: Keys
) -> None:
    limits = Limits(requests_per_minute=1)
    spec = sorting(check_percent=100).model_copy(update={"limits": limits})
    await warm.registry.write({"default": spec})
    await ask(warm, "Something else", use_cache=False)
    aimock.answer("billing", to=GREETED)

    assert (await ask(warm, GREETED)).source == "semantic"

    places = [key async for key in redis_client.scan_iter(match=f"{keys.prefix}limit:*:place:*")]
    assert places == []


async def test_a_model_that_hangs_costs_a_checked_event_its_patience_and_no_more(
    warm: Bench, aimock: AiMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstream.pipeline.CHECK_SECONDS", 0.2)
    aimock.answer("billing", to=GREETED)
    held = Held("q", "1-0", an_event("e", GREETED, task_type="classification"), 1, 0)
    [ask] = await warm.pipeline.look_up([held])
    assert isinstance(ask, Ask)
    aimock.chaos(latencyMs=15_000)

    ending = answered(await warm.pipeline.ask(ask, deadline=time.monotonic() + 120))

    assert (ending.source, ending.result.response) == ("semantic", "delivery")


async def test_a_check_that_takes_too_long_leaves_no_money_set_aside(
    warm: Bench,
    aimock: AiMock,
    redis_client: AsyncRedis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventstream.pipeline.CHECK_SECONDS", 0.2)
    limits = Limits(budget=Budget(usd=1))
    spec = sorting(check_percent=100).model_copy(update={"limits": limits})
    await warm.registry.write({"default": spec})
    aimock.answer("billing", to=GREETED)
    held = Held("q", "1-0", an_event("e", GREETED, task_type="classification"), 1, 0)
    [ask] = await warm.pipeline.look_up([held])
    assert isinstance(ask, Ask)
    aimock.chaos(latencyMs=15_000)

    ending = answered(await warm.pipeline.ask(ask, deadline=time.monotonic() + 120))

    assert ending.source == "semantic"
    spending = Spending(redis_client, keys)
    usage = await spending.usage("default", spending.today())
    assert usage.held_microdollars == 0


async def test_checks_are_drawn_by_the_events_id(warm: Bench) -> None:
    await warm.registry.write({"default": sorting(check_percent=25)})
    events = [an_event(f"id-{n}", GREETED, task_type="classification") for n in range(400)]
    claim = [Held("q", f"{n}-0", event, 1, 0) for n, event in enumerate(events)]

    first = [isinstance(outcome, Ask) for outcome in await warm.pipeline.look_up(claim)]
    again = [isinstance(outcome, Ask) for outcome in await warm.pipeline.look_up(claim)]

    assert first == again
    assert 70 <= sum(first) <= 130


async def test_without_the_cache_nothing_is_checked_or_learned(
    warm: Bench, aimock: AiMock, cache_url: str, keys: Keys
) -> None:
    aimock.answer("billing", to=GREETED)

    answer = await ask(warm, GREETED, use_cache=False)

    assert "checked" not in answer.result.metadata
    assert await learned(cache_url, keys, warm) == {}


async def test_an_opened_hit_says_which_differences_were_accepted(
    warm: Bench, aimock: AiMock, make_models: MakeModels, cache_url: str, keys: Keys
) -> None:
    bounded = sorting(policy="bounded", max_wrong_hit_percent=20, check_percent=1)
    await warm.registry.write({"default": bounded})
    aimock.answer("delivery", to=OTHER)
    await ask(warm, OTHER)  # the first pair of this kind, whose evidence is now enlarged
    await warm.cache.flush()
    client = connect(cache_url, timeout_seconds=5)
    [key] = [key async for key in client.scan_iter(match=f"{keys.prefix}cache:evidence:*")]
    fields: Any = await client.hgetall(key)
    [counted] = [name for name in fields if name.endswith(b"|number|100|agreed")]
    await client.hset(key, counted, 1000)
    aimock.embedding(VECTOR, to="My order 4 is late")
    cache = SemanticCache(client, prefix=keys.prefix, timeout_seconds=5)
    elsewhere = Bench(Pipeline(warm.registry, make_models(), cache), warm.registry, cache)

    hit = await ask(elsewhere, "My order 4 is late", "unchecked")

    assert hit.source == "semantic"
    assert hit.result.metadata["differences"] == ["number"]
    await client.aclose()


async def test_the_leaders_answer_reaches_those_who_wait_without_the_cache(
    bench: Bench, aimock: AiMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away when the answer comes: equal questions still cost one call."""

    async def away(entries: object, flight: object) -> int:
        return 0

    monkeypatch.setattr(bench.cache, "store", away)
    aimock.chaos(latencyMs=200)

    endings = await bench.run_all([an_event(f"e{n}", "Where is my parcel?") for n in range(10)])

    assert len(aimock.requests()) == 1
    assert sorted(answered(ending).source for ending in endings) == ["flight"] * 9 + ["model"]
