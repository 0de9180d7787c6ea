"""Usage of a stream on a UTC day, and a budget that is not overspent."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from eventstream.errors import StoreUnavailable
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import (
    COPIES_SECONDS,
    HOLD_SECONDS,
    BudgetState,
    Hold,
    Spending,
    Usage,
)
from eventstream.redis_client import AsyncRedis, connect
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

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


async def test_a_call_that_is_told_twice_is_counted_once(spending: Spending) -> None:
    """As after a reply that got lost on its way."""
    hold = await held(spending, 500)
    for _ in range(2):
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=77)
    assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 77, 0)


async def test_a_call_that_is_told_again_much_later_is_counted_once(
    tmp_path: Path, keys: Keys
) -> None:
    """Its reply got lost, and the process had no reason to spend for hours."""
    with RedisServer(tmp_path) as server, Proxy(server.port) as proxy:
        direct = connect(server.url(2), timeout_seconds=5)
        client = connect(proxy.redis_url(2), timeout_seconds=5)
        spending = Spending(client, keys, now=lambda: NOON)
        await spending.release(await held(spending, 100))  # Redis knows the script
        hold = await held(spending, 500)
        proxy.cut_answers(0, times=1)
        with pytest.raises(StoreUnavailable):
            await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=77)
        assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 77, 0)
        # Whatever Redis will have forgotten by then.
        async for key in direct.scan_iter(match=f"{keys.prefix}*"):
            if await direct.pttl(key) < 12 * 3_600_000:
                await direct.delete(key)
        await spending.aclose()

        assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 77, 0)
        await client.aclose()
        await direct.aclose()


async def test_a_call_without_a_budget_is_told_again_with_the_next_and_counted_once(
    tmp_path: Path, keys: Keys
) -> None:
    """Whether Redis did not take it, or took it and its reply got lost."""
    with RedisServer(tmp_path) as server, Proxy(server.port) as proxy:
        direct = connect(server.url(2), timeout_seconds=5)
        client = connect(proxy.redis_url(2), timeout_seconds=5)
        spending = Spending(client, keys, now=lambda: NOON)

        async def call() -> None:
            hold = spending.no_hold("reviews")
            await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=7)

        await call()  # Redis knows the script
        await direct.config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable):
            await call()
        await direct.config_set("min-replicas-to-write", 0)
        proxy.cut_answers(0, times=1)
        with pytest.raises(StoreUnavailable):
            await call()
        # The one that Redis did not take went along.
        assert (await spending.usage("reviews", "2026-03-01")).calls == 3
        await call()
        assert await spending.usage("reviews", "2026-03-01") == Usage(4, 40, 8, 28)
        await spending.aclose()
        assert await spending.usage("reviews", "2026-03-01") == Usage(4, 40, 8, 28)
        await client.aclose()
        await direct.aclose()


async def test_of_calls_that_redis_heard_of_no_names_gather(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    for number in range(20):
        hold = await held(spending, 10) if number % 2 else spending.no_hold("reviews")
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=1)
    [told] = [key async for key in redis_client.scan_iter(match=keys.usage_told("*"))]
    assert await redis_client.scard(told) == 1
    assert await redis_client.pttl(told) > 0
    await spending.aclose()
    assert not await redis_client.exists(told)


async def test_what_is_told_again_goes_along_once_however_many_are_told_meanwhile(
    tmp_path: Path, keys: Keys
) -> None:
    with RedisServer(tmp_path) as server:
        client = connect(server.url(2), timeout_seconds=5)
        spending = Spending(client, keys, now=lambda: NOON)

        async def call(cost: int = 1) -> None:
            hold = spending.no_hold("reviews")
            await spending.record(hold, calls=1, tokens=Tokens(1, 1), cost=cost)

        await call()
        await client.config_set("min-replicas-to-write", 1)
        await asyncio.gather(*(call() for _ in range(32)), return_exceptions=True)
        await client.config_set("min-replicas-to-write", 0)
        await client.config_resetstat()
        await asyncio.gather(*(call() for _ in range(32)))
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 64
        assert await spending.usage("reviews", "2026-03-01") == Usage(65, 65, 65, 65)
        # Another server took over, which knows no scripts.
        await client.config_set("min-replicas-to-write", 1)
        await asyncio.gather(*(call() for _ in range(3)), return_exceptions=True)
        await client.config_set("min-replicas-to-write", 0)
        await client.script_flush()
        await call()
        await spending.aclose()
        assert await spending.usage("reviews", "2026-03-01") == Usage(69, 69, 69, 69)
        await client.aclose()


async def test_who_asks_for_money_waits_for_what_is_just_told_again(
    spending: Spending, redis_client: AsyncRedis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hold may have lapsed long ago, and nothing stand for it."""
    paid = await held(spending, 900)
    reply, replies = asyncio.Event(), spending._replies

    async def slowly(calls: Any, done_with: list[str]) -> list[object]:
        await reply.wait()
        return await replies(calls, done_with)

    monkeypatch.setattr(spending, "_replies", slowly)
    given_up = asyncio.create_task(spending.record(paid, calls=1, tokens=Tokens(), cost=900))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await redis_client.zadd(keys.usage_held("reviews", paid.day), {paid.member: 1})
    local = spending.no_hold("reviews")
    telling = asyncio.create_task(spending.record(local, calls=1, tokens=Tokens(), cost=0))
    asking = asyncio.create_task(spending.hold("reviews", BUDGET, 200))
    while not (asking.done() or spending._telling_again._waiters):
        await asyncio.sleep(0.01)
    reply.set()
    assert await asking is BudgetState.SPENT
    await telling


async def test_names_of_what_was_told_again_stay_for_an_hour(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    """A copy that was given up may still arrive, also after the process has ended."""
    clock = [0.0]
    spending = Spending(redis_client, keys, now=lambda: NOON, monotonic=lambda: clock[0])
    key = spending._told_key

    async def told_again() -> tuple[list[str], list[str | int]]:
        hold = spending.no_hold("reviews")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spending, "_record", AsyncMock(side_effect=TimeoutError))
            with pytest.raises(StoreUnavailable):
                await spending.record(hold, calls=1, tokens=Tokens(1, 1), cost=1)
        copy = spending._untold[hold.member]
        await spending._tell_again()
        return copy.keys, copy.args

    async def call() -> None:
        await spending.record(spending.no_hold("reviews"), calls=1, tokens=Tokens(1, 1), cost=1)

    early = await told_again()
    await call()
    clock[0] += COPIES_SECONDS - 1
    await call()
    await spending._record(keys=early[0], args=early[1])
    assert (await spending.usage("reviews", "2026-03-01")).calls == 3
    clock[0] += 2
    await call()
    await call()
    assert await redis_client.scard(key) == 1
    late = await told_again()
    await spending.aclose()
    await spending._record(keys=late[0], args=late[1])
    assert (await spending.usage("reviews", "2026-03-01")).calls == 6
    assert await redis_client.smembers(key) == {str(late[1][0]).encode()}
    assert await redis_client.pttl(key) <= COPIES_SECONDS * 1000


async def test_a_call_that_is_told_only_after_its_hold_lapsed_is_counted_once(
    spending: Spending, redis_client: AsyncRedis, keys: Keys
) -> None:
    late = await held(spending, 500)
    await redis_client.zadd(keys.usage_held("reviews", late.day), {late.member: 1})
    await spending.release(await held(spending, 100))
    for _ in range(2):
        await spending.record(late, calls=1, tokens=Tokens(10, 2), cost=77)
    assert await spending.usage("reviews", late.day) == Usage(1, 10, 2, 77, 0)


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


async def test_figures_and_holds_outlive_a_restart_and_what_was_paid_meanwhile_is_counted(
    tmp_path: Path, keys: Keys
) -> None:
    with RedisServer(tmp_path, appendonly=True) as server:
        client = connect(server.url(2), timeout_seconds=1)
        spending = Spending(client, keys, now=lambda: NOON)
        counted, paid, open_ = [await held(spending, 300) for _ in range(3)]
        await spending.record(counted, calls=1, tokens=Tokens(10, 2), cost=123)
        server.stop()
        with pytest.raises(StoreUnavailable):
            await spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
        server.start()
        # The estimate stands for it until the process asks for more.
        usage = await spending.usage("reviews", paid.day)
        assert (usage.cost_microdollars, usage.held_microdollars) == (123, 600)
        assert await spending.hold("reviews", BUDGET, 533) is BudgetState.IN_FLIGHT
        last = await held(spending, 532)
        await spending.record(last, calls=1, tokens=Tokens(), cost=532)
        await spending.record(open_, calls=1, tokens=Tokens(), cost=300)
        assert await spending.usage("reviews", paid.day) == Usage(4, 15, 3, BUDGET, 0)
        await client.aclose()


async def test_what_could_not_be_told_is_told_at_the_end(tmp_path: Path, keys: Keys) -> None:
    with RedisServer(tmp_path, appendonly=True) as server:
        client = connect(server.url(2), timeout_seconds=1)
        spending = Spending(client, keys, now=lambda: NOON)
        paid = await held(spending, 300)
        server.stop()
        with pytest.raises(StoreUnavailable):
            await spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
        await spending.aclose()  # away still: no reason not to end
        server.start()
        await spending.aclose()
        assert await spending.usage("reviews", paid.day) == Usage(1, 5, 1, 45, 0)
        await client.aclose()


async def test_money_set_aside_for_a_call_that_never_heard_of_it_comes_back(
    tmp_path: Path, keys: Keys
) -> None:
    with RedisServer(tmp_path) as server, Proxy(server.port) as proxy:
        client = connect(proxy.redis_url(2), timeout_seconds=5)
        spending = Spending(client, keys, now=lambda: NOON)
        await spending.release(await held(spending, 100))  # Redis knows the script
        proxy.cut_answers(0, times=1)
        with pytest.raises(StoreUnavailable):
            await spending.hold("reviews", BUDGET, 700)
        assert (await spending.usage("reviews", "2026-03-01")).held_microdollars == 700
        await held(spending, 400)
        assert (await spending.usage("reviews", "2026-03-01")).held_microdollars == 400
        await client.aclose()


async def test_money_set_aside_for_a_call_that_is_cut_off_meanwhile_comes_back(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aside, executed = spending._hold, asyncio.Event()

    async def executes_and_never_answers(**command: Any) -> None:
        await set_aside(**command)
        executed.set()
        await asyncio.Future()

    with monkeypatch.context() as patch:
        patch.setattr(spending, "_hold", executes_and_never_answers)
        holding = asyncio.create_task(spending.hold("reviews", BUDGET, 700))
        await executed.wait()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
    assert (await spending.usage("reviews", "2026-03-01")).held_microdollars == 700
    await spending.aclose()
    assert (await spending.usage("reviews", "2026-03-01")).held_microdollars == 0


async def test_a_paid_call_is_counted_when_telling_it_is_cancelled(
    tmp_path: Path, keys: Keys
) -> None:
    with RedisServer(tmp_path) as server, Proxy(server.port) as proxy:
        client = connect(proxy.redis_url(2), timeout_seconds=30)
        spending = Spending(client, keys, now=lambda: NOON)
        paid = await held(spending, 300)
        proxy.hang()
        telling = asyncio.create_task(spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45))
        while not proxy.held:
            await asyncio.sleep(0.01)
        telling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await telling
        proxy.refuse()  # what was on its way never arrives
        proxy.mend()
        await spending.aclose()
        assert await spending.usage("reviews", paid.day) == Usage(1, 5, 1, 45, 0)
        await client.aclose()


async def test_who_waits_for_a_telling_that_fails_does_not_wait_for_one_more(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = await held(spending, 300)
    tried = 0

    async def hangs(*_: object, **__: object) -> None:
        nonlocal tried
        tried += 1
        # Everybody else comes to wait meanwhile.
        for _turn in range(50):
            await asyncio.sleep(0)
        raise RedisTimeoutError("no reply")

    with monkeypatch.context() as patch:
        patch.setattr(spending, "_record", hangs)
        with pytest.raises(StoreUnavailable):
            await spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
        tried = 0
        holds = [spending.hold("reviews", BUDGET, 100) for _ in range(8)]
        ended = await asyncio.gather(*holds, return_exceptions=True)

    assert [type(error) for error in ended] == [StoreUnavailable] * 8
    assert tried == 1
    await held(spending, 100)
    assert (await spending.usage("reviews", paid.day)).cost_microdollars == 45


async def test_who_is_told_along_while_it_waits_hears_nothing_of_another_calls_trouble(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, waits, refused = (spending.no_hold("reviews") for _ in range(3))
    replies = spending._replies

    def record(hold: Hold) -> Coroutine[Any, Any, None]:
        return spending.record(hold, calls=1, tokens=Tokens(5, 1), cost=45)

    async def fails(calls: Any, done_with: list[str]) -> list[object]:
        raise RedisTimeoutError("no reply")

    async def takes_the_others(calls: Any, done_with: list[str]) -> list[object]:
        if refused.member in [call.args[0] for call in calls]:
            return await fails(calls, done_with)
        with contextlib.suppress(StoreUnavailable):
            await record(refused)
        return await replies(calls, done_with)

    await record(spending.no_hold("reviews"))  # Redis knows the script
    monkeypatch.setattr(spending, "_replies", fails)
    with pytest.raises(StoreUnavailable):
        await record(earlier)
    monkeypatch.setattr(spending, "_replies", takes_the_others)
    await spending._telling_again.acquire()
    asking = asyncio.create_task(spending.hold("reviews", BUDGET, 100))
    await asyncio.sleep(0)
    telling = asyncio.create_task(record(waits))
    # It comes between this and the one who asks for money, and who tells of both calls.
    spending._telling_again.release()

    with pytest.raises(StoreUnavailable):
        await asking
    await telling
    assert (await spending.usage("reviews", waits.day)).calls == 3


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
