"""How long an event waits for its provider, by a clock that may leap."""

from __future__ import annotations

import pytest

from eventstream.keys import Keys
from eventstream.llm.call_spec import CallSpec
from eventstream.llm.contract import CallDeferred, CallFailed
from eventstream.llm.limits import Limit
from eventstream.llm.patience import (
    FORGOTTEN_SECONDS,
    MOST_BETWEEN_LOOKS_SECONDS,
    PATIENCE_SECONDS,
    Patience,
)
from eventstream.llm.providers import FACTS, Endpoint
from eventstream.redis_client import AsyncRedis

SPEC = CallSpec(
    stream="reviews",
    endpoint=Endpoint(FACTS["openai"], "gpt-4o-mini", "http://127.0.0.1:1/v1", "sk-test"),
    model="gpt-4o-mini",
    operation="chat",
    limit=Limit(),
    holder="event-1",
    deadline=0.0,
)


@pytest.fixture
def patience(redis_client: AsyncRedis, keys: Keys) -> Patience:
    return Patience(redis_client, keys)


async def fails(patience: Patience, *, called: bool = True) -> CallDeferred | CallFailed:
    return await patience.deferral(SPEC, 15.0, [], refused=False, called=called)


async def leap(redis: AsyncRedis, keys: Keys, seconds: float) -> None:
    """The clock goes ahead, or time passes, as what was written before tells."""
    for name in ("waiting", "looked"):
        key = keys.limit(f"{name}:event-1")
        await redis.incrby(key, -round(seconds * 1000))


async def looks(patience: Patience, redis: AsyncRedis, keys: Keys, seconds: float) -> int:
    """How many looks, so many seconds apart, end the patience."""
    for number in range(1, 1000):
        if isinstance(await fails(patience, called=number % 2 == 1), CallFailed):
            return number
        await leap(redis, keys, seconds)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("deferrals", [1, 6])
async def test_a_clock_that_leaps_ahead_costs_no_more_patience_than_looks_far_apart(
    patience: Patience, redis_client: AsyncRedis, keys: Keys, deferrals: int
) -> None:
    for _ in range(deferrals):
        assert isinstance(await fails(patience), CallDeferred)
        await leap(redis_client, keys, 15)
    await leap(redis_client, keys, PATIENCE_SECONDS + 300)
    assert isinstance(await fails(patience), CallDeferred)
    left = PATIENCE_SECONDS - MOST_BETWEEN_LOOKS_SECONDS - (deferrals - 1) * 15
    await leap(redis_client, keys, 15)
    # The look now is at 15 s of what is left, and it takes more than that.
    assert await looks(patience, redis_client, keys, 15) in range(
        int(left // 15), int(left // 15) + 3
    )


@pytest.mark.parametrize(
    ("apart", "looked_at"),
    [(15.01, 61), (75.01, 13), (150, 8), (1200, 8)],
)
async def test_patience_ends_after_its_time_and_after_a_few_looks_where_they_are_seldom(
    patience: Patience, redis_client: AsyncRedis, keys: Keys, apart: float, looked_at: int
) -> None:
    assert await looks(patience, redis_client, keys, apart) == looked_at
    # Replayed, it has all of it again.
    assert await looks(patience, redis_client, keys, apart) == looked_at


async def test_many_deferrals_in_a_short_time_end_no_patience(patience: Patience) -> None:
    for _ in range(100):
        assert isinstance(await fails(patience), CallDeferred)


async def test_each_look_puts_off_that_the_outage_is_forgotten(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    for called in (True, False, True):
        await fails(patience, called=called)
        for name in ("waiting", "looked"):
            left = await redis_client.pttl(keys.limit(f"{name}:event-1")) / 1000
            assert FORGOTTEN_SECONDS - 10 < left <= FORGOTTEN_SECONDS < 2400
            await redis_client.pexpire(keys.limit(f"{name}:event-1"), 60_000)


async def test_who_has_not_called_does_not_begin_to_wait(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    await fails(patience, called=False)
    assert not await redis_client.exists(keys.limit("waiting:event-1"))


async def test_a_clock_that_has_gone_back_counts_from_then_on(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    await fails(patience)
    await leap(redis_client, keys, 100)
    await fails(patience)
    await leap(redis_client, keys, -3600)
    await fails(patience)
    now, _ = await redis_client.time()
    began = int(await redis_client.get(keys.limit("waiting:event-1")) or 0) / 1000
    assert 100 <= now + 1 - began < 110


async def test_what_began_under_the_version_before_goes_on(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    """That keeps the first failure's time only, and reads what is kept here as that."""
    now, _ = await redis_client.time()
    await redis_client.set(keys.limit("waiting:event-1"), (now - 800) * 1000, ex=2800)
    assert isinstance(await fails(patience), CallDeferred)
    began = int(await redis_client.get(keys.limit("waiting:event-1")) or 0) / 1000
    assert 145 <= now + 1 - began <= 155
