"""Hit rate and near misses over a window, and the advice beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventstream.cache.histogram import PendingCounts, append_counts
from eventstream.cache.keys import CacheKeys
from eventstream.cache.published import PublishedAdvice
from eventstream.redis_client import AsyncRedis, connect
from eventstream.results import StreamCounters
from eventstream.spec import StreamSpec
from eventstream_operator.observe.cache import WINDOW_SECONDS, CacheReader, CacheReading, HitRate
from tests.support.clock import Clock

NOON = 1_800_000_000.0 // 3600 * 3600
REVIEWS = {"reviews": StreamSpec()}


@pytest.fixture
async def cache_client(cache_url: str) -> AsyncIterator[AsyncRedis]:
    client = connect(cache_url, timeout_seconds=5)
    yield client
    await client.aclose()


async def near_miss(client: AsyncRedis, prefix: str, at: float, similarity: float) -> None:
    """What a worker's look-up counts."""
    pending = PendingCounts(CacheKeys(prefix))
    pending.add(
        stream="reviews",
        task_type="general_analysis",
        now_seconds=at,
        outcome="near_miss",
        similarity=similarity,
        refused_kinds=("number",),
    )
    pipe = client.pipeline(transaction=False)
    append_counts(pipe, pending.take())
    await pipe.execute()


async def test_near_misses_count_from_the_operators_start_on_across_the_hour(
    cache_client: AsyncRedis, prefix: str
) -> None:
    clock = Clock(NOON - 60)
    reader = CacheReader(cache_client, prefix, unix_clock=clock)
    await near_miss(cache_client, prefix, clock(), 0.91)
    assert await reader.read(REVIEWS) == {"reviews": CacheReading({}, None)}
    await near_miss(cache_client, prefix, clock(), 0.91)
    assert await reader.read(REVIEWS) == {"reviews": CacheReading({91: 1}, None)}
    clock.now = NOON + 60
    await near_miss(cache_client, prefix, NOON - 1, 0.91)
    await near_miss(cache_client, prefix, clock(), 0.95)
    assert await reader.read(REVIEWS) == {"reviews": CacheReading({91: 2, 95: 1}, None)}


async def test_each_stream_has_its_own_advice(cache_client: AsyncRedis, prefix: str) -> None:
    keys = CacheKeys(prefix)
    note = PublishedAdvice(line="classification: bounded 2 % would answer 44 %", drawn_at=NOON)
    await cache_client.set(keys.advice("reviews"), note.encode())
    await cache_client.set(keys.advice("tickets"), b"not what any version writes")
    streams = {
        "reviews": StreamSpec(),
        "off": StreamSpec.model_validate({"cache": {"enabled": False}}),
        "tickets": StreamSpec(),
        "quiet": StreamSpec(),
    }

    found = await CacheReader(cache_client, prefix, unix_clock=lambda: NOON).read(streams)

    assert {stream: reading.advice for stream, reading in found.items()} == {
        "reviews": note,
        "tickets": None,
        "quiet": None,
    }


def test_a_window_is_what_came_since_its_beginning() -> None:
    rate = HitRate()
    rate.add(0, StreamCounters(hits_exact=100, misses=100), {})
    window = rate.add(10, StreamCounters(hits_exact=130, misses=170), {91: 4})
    assert (window.seconds, window.look_ups, window.hits) == (10, 100, 30)
    assert window.near_misses_by_similarity == {0.91: 4}
    later = rate.add(11 + WINDOW_SECONDS, StreamCounters(hits_exact=131, misses=170), {91: 4})
    assert (later.look_ups, later.hits, later.near_misses) == (1, 1, 0)


def test_counters_that_begin_anew_begin_a_new_window() -> None:
    rate = HitRate()
    rate.add(0, StreamCounters(hits_exact=100, misses=100), {})
    assert rate.add(5, StreamCounters(hits_exact=1, misses=1), {}).look_ups == 0
