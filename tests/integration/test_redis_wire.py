"""The short way to Redis: replies stay with their commands, whatever breaks in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError, DataError, ResponseError, TimeoutError

from eventstream.redis_client import AsyncRedis, connect
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer


@pytest.fixture
async def narrow(redis_server: RedisServer) -> AsyncIterator[AsyncRedis]:
    """A client with two connections."""
    client = connect(redis_server.url(9), timeout_seconds=5, max_connections=2)
    await client.flushdb()
    yield client
    await client.aclose()


async def test_a_pipeline_answers_in_order_with_its_refusals_among_the_replies(
    narrow: Any,
) -> None:
    pipeline = narrow.pipeline(transaction=False)
    pipeline.set("text", "one").incr("text").hset("hash", mapping={"a": 1}).hgetall("hash")

    first, refused, added, found = await pipeline.execute(raise_on_error=False)

    assert (first, added, found) == (True, 1, {b"a": b"1"})
    assert isinstance(refused, ResponseError)
    assert await pipeline.execute() == []


async def test_a_pipeline_raises_its_first_refusal_with_the_commands_number(
    narrow: Any,
) -> None:
    await narrow.set("text", "one")

    with pytest.raises(ResponseError, match=r"Command # 2 \(INCRBY text 1\)"):
        await narrow.pipeline(transaction=False).get("text").incr("text").execute()

    assert await narrow.get("text") == b"one"


async def test_a_transaction_still_is_one(narrow: Any) -> None:
    pipeline = narrow.pipeline()
    pipeline.set("number", 1).incr("number")

    assert await pipeline.execute() == [True, 2]


async def test_what_is_no_argument_is_named_and_spoils_nothing(narrow: Any) -> None:
    with pytest.raises(DataError):
        await narrow.set("key", [1])

    assert await narrow.set("key", "value")
    assert await narrow.get("key") == b"value"


async def test_whoever_gives_up_leaves_no_reply_for_the_next(narrow: Any) -> None:
    """The late reply of the first would be read as the second's."""
    await narrow.set("key", "value")
    waiting = asyncio.create_task(narrow.blpop(["list"], timeout=0))
    async with asyncio.timeout(10):
        while not (await narrow.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.01)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await narrow.rpush("list", "late")

    assert [await narrow.get("key") for _ in range(4)] == [b"value"] * 4


async def test_a_server_that_does_not_answer_costs_the_time_out_and_the_connection(
    redis_server: RedisServer,
) -> None:
    with Proxy(redis_server.port) as proxy:
        client: Any = connect(proxy.redis_url(9), timeout_seconds=0.3)
        await client.set("key", "value")

        proxy.hang()
        with pytest.raises(TimeoutError):
            await client.get("key")
        with pytest.raises(TimeoutError):
            await client.pipeline(transaction=False).get("key").get("key").execute()
        proxy.mend()

        assert await client.set("key", "other")
        assert await client.get("key") == b"other"
        await client.aclose()


async def test_a_firewall_that_forgot_all_connections_costs_one_time_out(
    redis_server: RedisServer,
) -> None:
    with Proxy(redis_server.port) as proxy:
        client: Any = connect(proxy.redis_url(9), timeout_seconds=0.3)
        await asyncio.gather(*(client.set("key", "value") for _ in range(5)))
        assert len(client.connection_pool._available_connections) == 5

        proxy.forget()
        with pytest.raises(TimeoutError):
            await client.get("key")

        assert await asyncio.gather(*(client.get("key") for _ in range(5))) == [b"value"] * 5
        await client.aclose()


async def test_a_link_cut_in_the_middle_of_replies_is_an_error_and_made_anew(
    redis_server: RedisServer,
) -> None:
    with Proxy(redis_server.port) as proxy:
        client: Any = connect(proxy.redis_url(9), timeout_seconds=5)
        await client.set("key", "v" * 1000)

        proxy.cut_answers(1500, times=1)
        with pytest.raises(ConnectionError):
            await client.pipeline(transaction=False).get("key").get("key").get("key").execute()

        assert await client.get("key") == b"v" * 1000
        await client.aclose()


async def test_a_connection_that_the_server_closed_meanwhile_is_made_anew_unseen(
    narrow: Any, redis_server: RedisServer
) -> None:
    other: Any = connect(redis_server.url(9), timeout_seconds=5)
    await narrow.set("key", "value")

    await other.client_kill_filter(_type="normal", skipme=True)
    async with asyncio.timeout(10):
        while len(await other.client_list(_type="normal")) > 1:
            await asyncio.sleep(0.01)

    assert await narrow.get("key") == b"value"
    await other.aclose()


async def test_more_callers_than_connections_wait_and_all_are_served(narrow: Any) -> None:
    async with asyncio.timeout(30):
        numbers = await asyncio.gather(*(narrow.incr("number") for _ in range(200)))

    assert sorted(numbers) == list(range(1, 201))


async def test_callers_that_are_cancelled_take_no_connection_with_them(narrow: Any) -> None:
    for _ in range(5):
        callers = [asyncio.create_task(narrow.blpop(["list"], timeout=0)) for _ in range(6)]
        async with asyncio.timeout(10):
            while len(narrow.connection_pool._in_use_connections) < 2:
                await asyncio.sleep(0.001)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    async with asyncio.timeout(10):
        assert await asyncio.gather(*(narrow.ping() for _ in range(4))) == [True] * 4


async def test_none_free_in_time_is_an_error(redis_server: RedisServer) -> None:
    client: Any = connect(redis_server.url(9), timeout_seconds=0.3, max_connections=1)
    connection = await client.connection_pool.get_connection()

    with pytest.raises(ConnectionError, match="No connection available"):
        await client.ping()

    await client.connection_pool.release(connection)
    assert await client.ping()
    await client.aclose()
