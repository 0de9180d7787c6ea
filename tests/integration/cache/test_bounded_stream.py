"""A small version of `benchmarks.bounded`: the real pipeline on a stream whose truth is known."""

import time

import pytest
from benchmarks.bounded.run import (
    COST_MICRODOLLARS,
    STREAM,
    RememberedVectors,
    TruthfulModels,
    a_run,
    truth_of,
)
from benchmarks.bounded.texts import stream
from prometheus_client import REGISTRY

from eventstream.cache.advisor import Advised, Advisor
from eventstream.cache.confidence import upper_limit
from eventstream.cache.keys import CacheKeys
from eventstream.cache.published import PublishedAdvice
from eventstream.llm.local import LocalModel
from eventstream.redis_client import AsyncRedis
from eventstream.spec import Cache

EVENTS = 800
BOUND_PERCENT = 20.0
"""Generous, so that a short stream has evidence enough."""


@pytest.fixture(scope="module")
def vectors() -> RememberedVectors:
    """The local model's, computed once for both tests."""
    return RememberedVectors(LocalModel.load(None))


async def test_bounded_brings_hits_and_keeps_its_bound_when_the_stream_changes(
    cache_client: AsyncRedis, prefix: str, vectors: RememberedVectors
) -> None:
    texts = list(stream(EVENTS, seed=1, changes=True))
    half = EVENTS // 2
    halves = {}
    for policy, cache in (
        ("guarded", Cache()),
        ("bounded", Cache(policy="bounded", max_wrong_hit_percent=BOUND_PERCENT)),
    ):
        models = TruthfulModels(truth_of(texts), vectors)
        run = await a_run(cache_client, f"{prefix}{policy}:", models, cache)
        halves[policy] = await run.feed(texts[:half]), await run.feed(texts[half:])
        await run.cache.aclose()

    first, second = halves["bounded"]
    assert first.hit_ratio > halves["guarded"][0].hit_ratio + 0.02
    limit = upper_limit(first.wrong + second.wrong, first.semantic + second.semantic)
    assert limit < BOUND_PERCENT / 100


async def test_advice_foresees_what_a_change_of_policy_brings(
    cache_client: AsyncRedis, prefix: str, vectors: RememberedVectors
) -> None:
    texts = list(stream(EVENTS, seed=1, changes=False))
    half = EVENTS // 2
    run = await a_run(cache_client, prefix, TruthfulModels(truth_of(texts), vectors), Cache())
    await run.feed(texts[:half])
    await run.cache.flush()
    advisor = Advisor(cache_client, prefix=prefix)
    began = time.time()

    asked = 0

    async def streams() -> dict[str, Advised]:
        nonlocal asked
        asked += 1
        return {STREAM: Advised(Cache(), COST_MICRODOLLARS)}

    assert await advisor.publish(streams)
    assert not await advisor.publish(streams)
    assert asked == 1
    [advice] = await advisor.read(STREAM, Advised(Cache(), COST_MICRODOLLARS))
    await run.set_policy(Cache(policy="threshold", threshold=0.9))
    happened = await run.feed(texts[half:])
    await run.cache.aclose()

    [option] = [each for each in advice.options if each.name == "threshold 0.90"]
    assert option.hits.value > advice.in_force.hits.high
    assert happened.hit_ratio > advice.in_force.hits.high
    assert option.wrong is not None
    assert option.wrong.low < happened.wrong / happened.semantic < option.wrong.high

    note = await cache_client.get(CacheKeys(prefix).advice(STREAM))
    assert isinstance(note, bytes)
    kept = PublishedAdvice.decode(note)
    assert kept is not None
    assert kept.line == advice.line
    assert kept.drawn_at == pytest.approx(began, abs=60)
    labels = {"stream": STREAM, "task_type": advice.task_type, "option": "threshold 0.90"}
    for name, said in (
        ("eventstream_cache_advice_hit_ratio", option.hits),
        ("eventstream_cache_advice_wrong_hit_ratio", option.wrong),
    ):
        bounds = [
            REGISTRY.get_sample_value(name, {**labels, "bound": bound})
            for bound in ("low", "value", "high")
        ]
        assert bounds == [said.low, said.value, said.high]
    drawn = {"stream": STREAM, "task_type": advice.task_type}
    drawn_at = REGISTRY.get_sample_value("eventstream_cache_advice_drawn_timestamp_seconds", drawn)
    assert drawn_at == pytest.approx(began, abs=60)
    assert option.saved_microdollars_per_1000 is not None
    saved = REGISTRY.get_sample_value("eventstream_cache_advice_saved_microdollars", labels)
    assert saved == option.saved_microdollars_per_1000.value
