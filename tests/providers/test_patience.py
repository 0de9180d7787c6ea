"""How long an event waits for its provider, by a clock that may leap."""

from __future__ import annotations

import pytest

from eventstream.keys import Keys
from eventstream.llm.call_spec import CallSpec
from eventstream.llm.contract import CallDeferred, CallFailed
from eventstream.llm.limits import Limit
from eventstream.llm.patience import LEAST_DEFERRALS, PATIENCE_SECONDS, Patience
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
    """The clock goes ahead, as what was written before it did tells."""
    waiting = keys.limit("waiting:event-1")
    first = int(await redis.get(waiting) or 0)
    await redis.set(waiting, first - round(seconds * 1000), keepttl=True)


async def test_a_clock_that_leaps_ahead_ends_no_patience(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    assert isinstance(await fails(patience), CallDeferred)
    await leap(redis_client, keys, PATIENCE_SECONDS + 300)
    for number in range(1, LEAST_DEFERRALS):
        assert isinstance(await fails(patience, called=number % 2 == 0), CallDeferred)
    assert isinstance(await fails(patience), CallFailed)
    # Replayed, it has all of it again.
    assert isinstance(await fails(patience), CallDeferred)
    await leap(redis_client, keys, PATIENCE_SECONDS + 300)
    assert isinstance(await fails(patience), CallDeferred)


async def test_many_deferrals_in_a_short_time_end_no_patience(patience: Patience) -> None:
    for _ in range(3 * LEAST_DEFERRALS):
        assert isinstance(await fails(patience), CallDeferred)


async def test_an_event_that_is_seldom_called_for_is_not_forgotten_meanwhile(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    await fails(patience)
    for name in ("waiting", "deferrals"):
        await redis_client.pexpire(keys.limit(f"{name}:event-1"), 60_000)
    await fails(patience)
    for name in ("waiting", "deferrals"):
        assert await redis_client.pttl(keys.limit(f"{name}:event-1")) > PATIENCE_SECONDS * 1000


async def test_a_clock_that_has_gone_back_counts_from_then_on(
    patience: Patience, redis_client: AsyncRedis, keys: Keys
) -> None:
    await fails(patience)
    await leap(redis_client, keys, -3600)
    await fails(patience)
    now, _ = await redis_client.time()
    assert int(await redis_client.get(keys.limit("waiting:event-1")) or 0) <= (now + 1) * 1000
