"""Usage of a stream on a UTC day, and a budget that is not overspent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import BudgetState, Hold, Spending, Usage
from eventstream.redis_client import AsyncRedis

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BUDGET = 1000


@pytest.fixture
def spending(redis_client: AsyncRedis, keys: Keys) -> Spending:
    return Spending(redis_client, keys, now=lambda: NOON)


async def held(spending: Spending, estimate: int) -> Hold:
    hold = await spending.hold("reviews", BUDGET, estimate)
    assert isinstance(hold, Hold)
    return hold


async def test_usage_is_counted_a_stream_and_day(spending: Spending) -> None:
    await spending.record(spending.no_hold("reviews"), calls=1, tokens=Tokens(100, 20), cost=33)
    await spending.record(spending.no_hold("reviews"), calls=1, tokens=Tokens(50, 5), cost=None)
    await spending.record(spending.no_hold("tickets"), calls=1, tokens=Tokens(1, 1), cost=1)
    assert await spending.usage("reviews", "2026-03-01") == Usage(2, 150, 25, 33)
    assert await spending.usage("reviews", "2026-03-02") == Usage()


async def test_an_estimate_is_set_aside_and_replaced_by_the_cost(spending: Spending) -> None:
    hold = await held(spending, 400)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 400
    await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=30)
    assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 30, 0)


async def test_what_is_in_flight_may_use_the_rest(spending: Spending) -> None:
    first = await held(spending, 700)
    assert await spending.hold("reviews", BUDGET, 400) is BudgetState.IN_FLIGHT
    await spending.record(first, calls=1, tokens=Tokens(10, 2), cost=10)
    await held(spending, 400)


async def test_a_spent_budget_says_so(spending: Spending) -> None:
    hold = await held(spending, 900)
    await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=900)
    assert await spending.hold("reviews", BUDGET, 101) is BudgetState.SPENT
    await held(spending, 100)


async def test_a_call_that_was_not_made_costs_nothing(spending: Spending) -> None:
    hold = await held(spending, 900)
    await spending.release(hold)
    assert await spending.usage("reviews", hold.day) == Usage()


async def test_settling_twice_lets_go_once(spending: Spending) -> None:
    hold = await held(spending, 500)
    await held(spending, 500)
    await spending.release(hold)
    await spending.release(hold)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 500


async def test_what_a_dead_process_held_lapses(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    hold = await held(spending, 900)
    lapses = keys.usage("reviews", f"{hold.day}:held")
    await redis_client.zadd(lapses, {hold.member: 1})
    await held(spending, 900)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 900


async def test_many_at_once_never_overspend(spending: Spending) -> None:
    """Calls cost what was estimated: as many go as fit, and not one more."""

    async def call() -> bool:
        hold = await spending.hold("reviews", BUDGET, 130)
        if not isinstance(hold, Hold):
            return False
        await spending.record(hold, calls=1, tokens=Tokens(1, 1), cost=130)
        return True

    made = await asyncio.gather(*(call() for _ in range(30)))
    usage = await spending.usage("reviews", "2026-03-01")
    assert usage.cost_microdollars == sum(made) * 130 <= BUDGET
    assert usage.held_microdollars == 0


async def test_a_new_day_has_a_new_budget(redis_client: AsyncRedis, keys: Keys) -> None:
    day = [NOON]
    spending = Spending(redis_client, keys, now=lambda: day[0])
    hold = await held(spending, BUDGET)
    day[0] = datetime(2026, 3, 2, tzinfo=UTC)
    await held(spending, BUDGET)
    await spending.record(hold, calls=1, tokens=Tokens(1, 1), cost=7)
    assert (await spending.usage("reviews", "2026-03-01")).cost_microdollars == 7
    assert (await spending.usage("reviews", "2026-03-02")).cost_microdollars == 0
