"""Usage of a stream on a UTC day, and a budget that is not overspent."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import HOLD_SECONDS, BudgetState, Hold, Spending, Usage
from eventstream.redis_client import AsyncRedis
from tests.providers.spender import BUDGET, NOON, held

SPENDER = """
import asyncio, random, sys
from datetime import UTC, datetime
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import HOLD_SECONDS, BudgetState, Spending
from eventstream.keys import Keys
from eventstream.redis_client import connect

async def main(url, prefix, budget, seed):
    client, drawn = connect(url, timeout_seconds=5), random.Random(int(seed))
    spending = Spending(client, Keys(prefix), now=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    waited = 0
    while (hold := await spending.hold("reviews", int(budget), 997)) is not BudgetState.SPENT:
        if hold is BudgetState.IN_FLIGHT:
            # What the killed one held stays set aside for longer than the others wait.
            if waited == 100:
                return
            waited += 1
            await asyncio.sleep(0.01)
            continue
        waited, cost = 0, drawn.randint(1, 997)
        print(f"paid {cost}", flush=True)
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=cost)
        print(f"told {cost}", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


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


async def test_a_call_that_costs_nothing_is_counted(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    """A budget may be set for a model whose price is 0: a server of one's own."""
    hold = await held(spending, 0)
    await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=0)
    assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 0, 0)
    lapsed = await held(spending, 0)
    await redis_client.zadd(keys.usage_held("reviews", hold.day), {lapsed.member: 1})
    await held(spending, 900)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 900


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


async def test_of_a_days_calls_only_the_figures_stay(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    """Those told in the last minutes of a day, too, after which nobody tells that day anything."""
    for _ in range(3):
        hold = await held(spending, 100)
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=7)

    lasting = {
        key.decode(): await redis_client.pttl(key)
        async for key in redis_client.scan_iter(match=f"{keys.prefix}usage:*")
    }
    figures = lasting.pop(keys.usage("reviews", "2026-03-01"))

    assert figures > 39 * 86_400_000
    assert not lasting


async def test_processes_that_spend_and_die_leave_figures_that_are_right(
    state_url: str, redis_client: AsyncRedis, keys: Keys
) -> None:
    """Four processes spend side by side; one is killed in the middle, with a call under way."""
    budget, day = 200_000, "2026-03-01"
    spending = Spending(redis_client, keys, now=lambda: NOON)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", SPENDER, state_url, keys.prefix, str(budget), str(seed)),
            stdout=asyncio.subprocess.PIPE,
        )
        for seed in range(4)
    ]
    told = asyncio.gather(*(process.communicate() for process in processes))
    try:
        while (usage := await spending.usage("reviews", day)).cost_microdollars < budget // 4:
            await asyncio.sleep(0.01)
        processes[0].kill()
        lines = [output.splitlines() for output, _ in await told]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()

    began = sum(int(line.split()[1]) for out in lines for line in out if line.startswith(b"paid"))
    ended = sum(int(line.split()[1]) for out in lines for line in out if line.startswith(b"told"))
    usage = await spending.usage("reviews", day)
    # Only the one that was killed may have paid without saying so, for one call.
    assert ended <= usage.cost_microdollars <= began
    assert began - ended <= 997
    assert usage.cost_microdollars + usage.held_microdollars <= budget
    assert usage.cost_microdollars > budget - 2 * 997


async def test_what_a_dead_process_held_lapses(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    hold = await held(spending, 900)
    lapses = keys.usage_held("reviews", hold.day)
    await redis_client.zadd(lapses, {hold.member: 1})
    await held(spending, 900)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 900


async def test_a_call_whose_hold_redis_has_lost_is_counted_and_nothing_stays_set_aside(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    hold = await held(spending, 900)
    await redis_client.delete(keys.usage_held("reviews", hold.day))
    for _ in range(2):
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=77)
    usage = await spending.usage("reviews", hold.day)
    assert (usage.calls, usage.cost_microdollars) == (1, 77)
    await held(spending, 900)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 900


async def test_what_is_set_aside_stays_so_when_redis_has_lost_the_days_figures(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    first, second, lapsing = [await held(spending, money) for money in (300, 400, 200)]
    await redis_client.delete(keys.usage("reviews", first.day))
    await redis_client.zadd(keys.usage_held("reviews", first.day), {lapsing.member: 1})
    await spending.record(first, calls=1, tokens=Tokens(10, 2), cost=7)
    assert await spending.usage("reviews", first.day) == Usage(1, 10, 2, 7, 0)
    assert await spending.hold("reviews", BUDGET, 594) is BudgetState.IN_FLIGHT
    await held(spending, 593)
    assert (await spending.usage("reviews", first.day)).held_microdollars == 993
    await spending.release(second)
    assert (await spending.usage("reviews", first.day)).held_microdollars == 593


async def test_what_a_clock_that_has_gone_back_since_set_aside_lapses_as_soon_as_the_rest(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    """Another server has taken over; a process that lives still has its time to tell."""
    hold = await held(spending, 900)
    lapses = keys.usage_held("reviews", hold.day)
    await redis_client.zincrby(lapses, 3 * 3_600_000, hold.member)
    assert await spending.hold("reviews", BUDGET, 900) is BudgetState.IN_FLIGHT
    now, _ = await redis_client.time()
    score = await redis_client.zscore(lapses, hold.member)
    assert score is not None
    assert (now + HOLD_SECONDS - 5) * 1000 < score <= (now + HOLD_SECONDS + 1) * 1000


async def test_what_is_set_aside_is_never_less_than_nothing(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    hold = await held(spending, 900)
    lapsing = await held(spending, 100)
    await redis_client.hset(keys.usage("reviews", hold.day), "held_microdollars", 5)
    await redis_client.zadd(keys.usage_held("reviews", hold.day), {lapsing.member: 1})
    await spending.hold("reviews", BUDGET, BUDGET + 1)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 0
    await spending.release(hold)
    assert (await spending.usage("reviews", hold.day)).held_microdollars == 0


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
