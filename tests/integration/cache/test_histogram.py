"""The counts of outcomes, similarities and kinds of difference that look-ups leave behind."""

from dataclasses import replace

import pytest

from eventstream.cache.contract import CacheEntry
from eventstream.cache.histogram import HistogramWindow, bucket_of
from eventstream.cache.keys import CacheKeys
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import SCOPE, OneVector, entry, query
from tests.support.clock import Clock

HOUR = 3600
NOON = 500_000 * HOUR


@pytest.fixture
def clock() -> Clock:
    return Clock(float(NOON))


@pytest.fixture
def timed(cache_client: AsyncRedis, prefix: str, clock: Clock) -> SemanticCache:
    return SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, clock=clock)


async def remember(cache: SemanticCache, text: str) -> None:
    answer = (await cache.look_up([query(text)], OneVector()))[0]
    await cache.store([CacheEntry(query(text), b"x", 10**9, answer.embedding)])


async def test_outcomes_similarities_and_kinds_are_counted(timed: SemanticCache) -> None:
    await remember(timed, "I ordered 2 tickets")
    asked = [
        "I ordered 2 tickets",
        "Hi, I ordered 2 tickets",
        "I ordered 3 tickets",
        "I did not order 2 tickets",
    ]
    await timed.look_up([query(text) for text in asked], OneVector())

    (window,) = await timed.histogram("reviews")

    assert window.task_type == "classification"
    assert window.hour_start == NOON
    assert window.outcomes == {"miss": 1, "exact": 1, "semantic": 1, "near_miss": 2}
    assert window.similarities == {("semantic", 100): 1, ("near_miss", 100): 2}
    assert window.kinds[100, "number"] == 1
    assert window.kinds[100, "negation"] == 1


async def test_each_task_and_hour_has_a_window(timed: SemanticCache, clock: Clock) -> None:
    summary = replace(SCOPE, task_type="summa:rization")
    await timed.look_up([query("a"), query("a", scope=summary)], None)
    clock.now += HOUR
    await timed.look_up([query("a")], None)
    await timed.look_up([query("a", scope=replace(SCOPE, stream="other"))], None)

    windows = await timed.histogram("reviews")

    assert [(window.task_type, window.hour_start) for window in windows] == [
        ("classification", NOON),
        ("summa:rization", NOON),
        ("classification", NOON + HOUR),
    ]


async def test_a_disabled_cache_counts_nothing(timed: SemanticCache) -> None:
    await timed.look_up([query("a", policy="disabled")], None)

    assert await timed.histogram("reviews") == []


async def test_counting_costs_no_round_trip_of_its_own(
    timed: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    await timed.look_up([query("a")], None)
    before = [key async for key in cache_client.scan_iter(f"{prefix}cache:similarities:*")]
    await timed.store([entry(query("a"))])
    await timed.look_up([query("a")], None)
    after = [key async for key in cache_client.scan_iter(f"{prefix}cache:similarities:*")]

    assert before == []
    assert len(after) == 1


async def test_counts_are_written_once_a_second(
    cache_client: AsyncRedis, prefix: str, clock: Clock
) -> None:
    """Each look-up would else write as much as it reads."""
    moving = Clock()
    cache = SemanticCache(
        cache_client, prefix=prefix, timeout_seconds=5, clock=clock, monotonic=moving
    )
    key = CacheKeys(prefix).similarities("reviews", "classification", NOON // HOUR)
    written = []
    for moving.now in (100.0, 100.1, 100.5, 100.9, 101.2):
        await cache.look_up([query("a")], None)
        written.append(int(await cache_client.hget(key, "miss") or 0))

    assert written == [0, 1, 1, 1, 4]


async def test_two_processes_add_up(
    timed: SemanticCache, cache_client: AsyncRedis, prefix: str, clock: Clock
) -> None:
    other = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, clock=clock)
    await timed.look_up([query("a")], None)
    await other.look_up([query("b")], None)
    await other.aclose()

    assert await timed.histogram("reviews") == [
        HistogramWindow("classification", NOON, {"miss": 2}, {}, {})
    ]


@pytest.mark.parametrize(
    ("similarity", "bucket"), [(0.0, 0), (0.849, 84), (0.85, 85), (0.8499999, 85), (1.0, 100)]
)
def test_buckets(similarity: float, bucket: int) -> None:
    assert bucket_of(similarity) == bucket
