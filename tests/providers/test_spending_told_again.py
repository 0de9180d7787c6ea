"""What Redis could not be told of a call, or perhaps was: told again, and counted once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from eventstream.errors import StoreUnavailable
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import COPIES_SECONDS, BudgetState, Hold, Spending, Usage
from eventstream.redis_client import AsyncRedis, connect
from tests.providers.spender import BUDGET, NOON, held
from tests.support.clock import Clock
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

DAY = "2026-03-01"


@dataclass
class Link:
    """A process that spends, and all that may go wrong between it and a Redis of its own."""

    server: RedisServer
    proxy: Proxy
    direct: AsyncRedis
    """To that Redis, whatever the proxy does."""
    spending: Spending

    async def call(self, cost: int = 1) -> None:
        """One of a stream without a budget."""
        hold = self.spending.no_hold("reviews")
        await self.spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=cost)

    async def usage(self) -> Usage:
        return await self.spending.usage("reviews", DAY)


@pytest.fixture
async def link(tmp_path: Path, keys: Keys) -> AsyncIterator[Link]:
    with RedisServer(tmp_path, appendonly=True) as server, Proxy(server.port) as proxy:
        direct = connect(server.url(2), timeout_seconds=30)
        client = connect(proxy.redis_url(2), timeout_seconds=30)
        spending = Spending(client, keys, now=lambda: NOON)
        await spending.release(await held(spending, 100))  # Redis knows the scripts
        yield Link(server, proxy, direct, spending)
        await client.aclose()
        await direct.aclose()


async def test_a_call_that_is_told_twice_is_counted_once(spending: Spending) -> None:
    """As after a reply that got lost on its way."""
    hold = await held(spending, 500)
    for _ in range(2):
        await spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=77)
    assert await spending.usage("reviews", hold.day) == Usage(1, 10, 2, 77, 0)


async def test_a_call_that_is_told_again_much_later_is_counted_once(link: Link, keys: Keys) -> None:
    """Its reply got lost, and the process had no reason to spend for hours."""
    hold = await held(link.spending, 500)
    link.proxy.cut_answers(0, times=1)
    with pytest.raises(StoreUnavailable):
        await link.spending.record(hold, calls=1, tokens=Tokens(10, 2), cost=77)
    assert await link.usage() == Usage(1, 10, 2, 77, 0)
    # Whatever Redis will have forgotten by then.
    async for key in link.direct.scan_iter(match=f"{keys.prefix}*"):
        if await link.direct.pttl(key) < 12 * 3_600_000:
            await link.direct.delete(key)
    await link.spending.aclose()

    assert await link.usage() == Usage(1, 10, 2, 77, 0)


async def test_a_call_without_a_budget_is_told_again_with_the_next_and_counted_once(
    link: Link,
) -> None:
    """Whether Redis did not take it, or took it and its reply got lost."""
    await link.call(7)
    await link.direct.config_set("min-replicas-to-write", 1)
    with pytest.raises(StoreUnavailable):
        await link.call(7)
    await link.direct.config_set("min-replicas-to-write", 0)
    link.proxy.cut_answers(0, times=1)
    with pytest.raises(StoreUnavailable):
        await link.call(7)
    # The one that Redis did not take went along.
    assert (await link.usage()).calls == 3
    await link.call(7)
    assert await link.usage() == Usage(4, 40, 8, 28)
    await link.spending.aclose()
    assert await link.usage() == Usage(4, 40, 8, 28)


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
    link: Link,
) -> None:
    await link.call()
    await link.direct.config_set("min-replicas-to-write", 1)
    await asyncio.gather(*(link.call() for _ in range(32)), return_exceptions=True)
    await link.direct.config_set("min-replicas-to-write", 0)
    await link.direct.config_resetstat()
    await asyncio.gather(*(link.call() for _ in range(32)))
    assert (await link.direct.info("commandstats"))["cmdstat_evalsha"]["calls"] == 64
    assert await link.usage() == Usage(65, 650, 130, 65)
    # Another server took over, which knows no scripts.
    await link.direct.config_set("min-replicas-to-write", 1)
    await asyncio.gather(*(link.call() for _ in range(3)), return_exceptions=True)
    await link.direct.config_set("min-replicas-to-write", 0)
    await link.direct.script_flush()
    await link.call()
    await link.spending.aclose()
    assert await link.usage() == Usage(69, 690, 138, 69)


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
    async with asyncio.timeout(10):
        while not (asking.done() or spending._telling_again._waiters):
            await asyncio.sleep(0)
    reply.set()
    assert await asking is BudgetState.SPENT
    await telling


async def test_names_of_what_was_told_again_stay_for_an_hour(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    """A copy that was given up may still arrive, also after the process has ended."""
    clock = Clock(0.0)
    spending = Spending(redis_client, keys, now=lambda: NOON, monotonic=clock)
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
    clock.now += COPIES_SECONDS - 1
    await call()
    await spending._record(keys=early[0], args=early[1])
    assert (await spending.usage("reviews", DAY)).calls == 3
    clock.now += 2
    await call()
    await call()
    assert await redis_client.scard(key) == 1
    late = await told_again()
    await spending.aclose()
    await spending._record(keys=late[0], args=late[1])
    assert (await spending.usage("reviews", DAY)).calls == 6
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


async def test_figures_and_holds_outlive_a_restart_and_what_was_paid_meanwhile_is_counted(
    link: Link,
) -> None:
    spending = link.spending
    counted, paid, open_ = [await held(spending, 300) for _ in range(3)]
    await spending.record(counted, calls=1, tokens=Tokens(10, 2), cost=123)
    link.server.stop()
    with pytest.raises(StoreUnavailable):
        await spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
    link.server.start()
    # The estimate stands for it until the process asks for more.
    usage = await link.usage()
    assert (usage.cost_microdollars, usage.held_microdollars) == (123, 600)
    assert await spending.hold("reviews", BUDGET, 533) is BudgetState.IN_FLIGHT
    last = await held(spending, 532)
    await spending.record(last, calls=1, tokens=Tokens(), cost=532)
    await spending.record(open_, calls=1, tokens=Tokens(), cost=300)
    assert await link.usage() == Usage(4, 15, 3, BUDGET, 0)


async def test_what_could_not_be_told_is_told_at_the_end(link: Link) -> None:
    paid = await held(link.spending, 300)
    link.server.stop()
    with pytest.raises(StoreUnavailable):
        await link.spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
    await link.spending.aclose()  # away still: no reason not to end
    link.server.start()
    await link.spending.aclose()
    assert await link.usage() == Usage(1, 5, 1, 45, 0)


async def test_money_set_aside_for_a_call_that_never_heard_of_it_comes_back(link: Link) -> None:
    link.proxy.cut_answers(0, times=1)
    with pytest.raises(StoreUnavailable):
        await link.spending.hold("reviews", BUDGET, 700)
    assert (await link.usage()).held_microdollars == 700
    await held(link.spending, 400)
    assert (await link.usage()).held_microdollars == 400


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
    assert (await spending.usage("reviews", DAY)).held_microdollars == 700
    await spending.aclose()
    assert (await spending.usage("reviews", DAY)).held_microdollars == 0


async def test_a_paid_call_is_counted_when_telling_it_is_cancelled(link: Link) -> None:
    spending = link.spending
    paid = await held(spending, 300)
    link.proxy.hang()
    telling = asyncio.create_task(spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45))
    async with asyncio.timeout(10):
        while not link.proxy.held:
            await asyncio.sleep(0.01)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    link.proxy.refuse()  # what was on its way never arrives
    link.proxy.mend()
    await spending.aclose()
    assert await link.usage() == Usage(1, 5, 1, 45, 0)


async def test_who_waits_for_a_telling_that_fails_does_not_wait_for_one_more(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = await held(spending, 300)
    tried = others = 0

    async def hangs(*_: object, **__: object) -> None:
        nonlocal tried
        tried += 1
        async with asyncio.timeout(10):
            while tried == 1 and len(spending._telling_again._waiters or ()) < others:
                await asyncio.sleep(0)
        raise RedisTimeoutError("no reply")

    with monkeypatch.context() as patch:
        patch.setattr(spending, "_record", hangs)
        with pytest.raises(StoreUnavailable):
            await spending.record(paid, calls=1, tokens=Tokens(5, 1), cost=45)
        tried, others = 0, 7
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
