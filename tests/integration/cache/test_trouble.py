"""The cache's server without search, away, slow, or a cluster: events never pay for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException

from eventstream.cache import search
from eventstream.cache.contract import CacheEntry
from eventstream.cache.flight import FlightLease, FlightWait
from eventstream.cache.server import PAUSE_SECONDS
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect
from tests.integration.cache.support import OneVector, cluster_node, command, entry, query
from tests.support.clock import Clock
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer


@contextlib.asynccontextmanager
async def cache_on(
    url: str, timeout_seconds: float = 5, clock: Clock | None = None
) -> AsyncIterator[SemanticCache]:
    client = connect(url, timeout_seconds=5)
    try:
        cache = SemanticCache(
            client, timeout_seconds=timeout_seconds, monotonic=clock or time.monotonic
        )
        yield cache
        await cache.aclose()
    finally:
        await client.aclose()


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis without vector search."""
    with RedisServer(tmp_path_factory.mktemp("plain"), search=False) as server:
        yield server


async def test_without_vector_search_exact_hits_work_and_the_cache_says_so(
    plain_server: RedisServer,
) -> None:
    async with cache_on(plain_server.url(0)) as cache:
        await cache.store([entry(query("Known"))])

        answers = await cache.look_up([query("Known"), query("Unknown")], OneVector())

        assert [answer.kind for answer in answers] == ["exact", "miss"]
        assert not cache.semantic_available
        assert "only exact hits work" in cache.semantic_reason
        assert "only exact hits work" in answers[1].unavailable
        assert not await cache.check()
        assert (await cache.stats()).entries == 1


async def test_a_database_that_search_does_not_index_is_named(cache_url: str) -> None:
    async with cache_on(cache_url.replace("/0", "/3")) as cache:
        await cache.look_up([query("Unknown")], OneVector())

        assert not cache.semantic_available
        assert "database 0" in cache.semantic_reason


async def test_a_server_that_describes_its_indexes_in_other_words_is_named(
    cache_client: AsyncRedis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MemoryDB says `fields` and `backfill_status`."""
    execute = cache_client.execute_command

    async def like_memorydb(*words: object, **options: object) -> object:
        if words[0] == "FT.INFO":
            return [b"index_name", b"ours", b"num_docs", 0, b"fields", []]
        return await execute(*words, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(cache_client, "execute_command", like_memorydb)
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5)
    await cache.store([entry(query("Known"))])

    answers = await cache.look_up([query("Known"), query("Unknown")], OneVector())

    assert [answer.kind for answer in answers] == ["exact", "miss"]
    assert not cache.semantic_available
    assert "only exact hits work (its FT.INFO can't be read: KeyError(b'attributes'))" in (
        answers[1].unavailable
    )
    await cache.aclose()


@pytest.mark.parametrize("trouble", ["away", "silent"])
async def test_a_cluster_that_tells_no_node_makes_misses(
    cache_client: AsyncRedis, prefix: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=0.5)
    first = (await cache.look_up([query("App is slow")], OneVector()))[0]
    assert first.unavailable == ""

    async def no_node(client: object) -> dict[str, object]:
        if trouble == "silent":
            await asyncio.Future()
        raise RedisClusterException("no node can be reached")

    monkeypatch.setattr(search, "search_node", no_node)
    async with asyncio.timeout(10):
        [missed] = await cache.look_up([query("The app is slow")], OneVector())

    assert missed.kind == "miss"
    assert "cache_unavailable" in missed.unavailable
    await cache.aclose()


async def test_a_server_that_is_away_makes_misses(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = Clock()
    with RedisServer(tmp_path_factory.mktemp("away")) as server:
        async with cache_on(server.url(0), clock=clock) as cache:
            await cache.store([entry(query("Known"))])
            server.kill()

            answers = await cache.look_up([query("Known"), query("Other")], OneVector())

            assert [answer.kind for answer in answers] == ["miss", "miss"]
            assert all("cache_unavailable" in answer.unavailable for answer in answers)
            assert await cache.store([entry(query("Known"))]) == 0
            assert isinstance(await cache.claim_flight("question"), FlightLease)

            server.start()
            clock.now += PAUSE_SECONDS
            first = (await cache.look_up([query("App is slow")], OneVector()))[0]
            assert first.unavailable == ""
            await cache.store([CacheEntry(query("App is slow"), b"x", 60, first.embedding)])
            again = (await cache.look_up([query("The app is slow")], OneVector()))[0]
            assert again.kind == "semantic"


async def test_a_slow_server_makes_misses_and_is_left_alone_for_a_moment(
    plain_server: RedisServer,
) -> None:
    clock = Clock()
    with Proxy(plain_server.port) as proxy:
        async with cache_on(proxy.redis_url(0), timeout_seconds=0.6, clock=clock) as cache:
            [before] = await cache.look_up([query("Any")], None)
            proxy.hang()
            [missed] = await cache.look_up([query("Any")], None)
            proxy.mend()
            [still_left_alone] = await cache.look_up([query("Any")], None)
            clock.now += PAUSE_SECONDS
            [asked_again] = await cache.look_up([query("Any")], None)

    assert before.unavailable == ""
    assert missed.kind == still_left_alone.kind == "miss"
    assert "cache_unavailable" in missed.unavailable
    assert "cache_unavailable" in still_left_alone.unavailable
    assert asked_again.unavailable == ""


async def test_counts_that_could_not_be_written_in_time_cost_the_next_event_nothing(
    plain_server: RedisServer,
) -> None:
    direct = connect(plain_server.url(0), timeout_seconds=5)
    await direct.flushdb()
    with Proxy(plain_server.port) as proxy:
        async with cache_on(proxy.redis_url(0), timeout_seconds=0.6, clock=Clock()) as cache:
            await cache.look_up([query("Any")], None)
            proxy.hang()
            await cache.flush()
            assert await direct.dbsize() == 0, "the counts must not have been written"
            proxy.mend()
            [answer] = await cache.look_up([query("Any")], None)
            assert answer.unavailable == ""
            [window] = await cache.histogram("reviews")
            assert window.outcomes["miss"] >= 2
    await direct.aclose()


async def test_a_server_that_refuses_is_named(plain_server: RedisServer) -> None:
    admin = connect(plain_server.url(0), timeout_seconds=5)
    await command(admin, "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@connection")
    url = plain_server.url(0).replace("redis://", "redis://narrow:secret@")

    async with cache_on(url) as cache:
        answer = (await cache.look_up([query("Any")], None))[0]

    assert answer.kind == "miss"
    assert "no permissions" in answer.unavailable
    await admin.aclose()


async def test_a_redis_cluster_serves_exact_hits_and_understands_searches(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One node that owns all slots: every command must know where it goes.

    The stand-alone search module finds entries in a cluster but returns none of their fields, so
    a semantic hit can't be had from it: here a search only has to be understood.
    """
    with cluster_node(tmp_path_factory.mktemp("cluster")) as port:
        async with RedisCluster(host="127.0.0.1", port=port) as client:
            cache = SemanticCache(client, timeout_seconds=5)
            first = (await cache.look_up([query("App is slow")], OneVector()))[0]
            assert first.unavailable == ""
            await cache.store([CacheEntry(query("App is slow"), b"x", 60, first.embedding)])

            answers = await cache.look_up(
                [query("App is slow"), query("The app is slow")], OneVector()
            )

            assert [answer.kind for answer in answers] == ["exact", "miss"]
            assert answers[1].unavailable == ""
            lead = await cache.claim_flight("question")
            assert isinstance(lead, FlightLease)
            led, known = await cache.lead(query("App is slow"))
            assert isinstance(led, FlightLease)
            assert known.response == b"x"
            await led.release()
            assert isinstance(await cache.claim_flight("question"), FlightWait)
            await lead.release()
            assert isinstance(await cache.claim_flight("question"), FlightLease)
            assert [window.outcomes for window in await cache.histogram("reviews")] == [
                {"miss": 2, "exact": 1}
            ]
            assert await cache.clear() == 1
            await cache.aclose()


async def test_a_firewall_that_forgot_all_connections_costs_one_time_out(
    plain_server: RedisServer,
) -> None:
    clock = Clock()
    with Proxy(plain_server.port) as proxy:
        async with cache_on(proxy.redis_url(0), timeout_seconds=0.3, clock=clock) as cache:

            async def five_at_once() -> list[str]:
                found = [cache.look_up([query(f"text {number}")], None) for number in range(5)]
                return [answer.unavailable for [answer] in await asyncio.gather(*found)]

            assert await five_at_once() == [""] * 5
            proxy.forget()
            [missed] = await cache.look_up([query("text")], None)
            assert missed.unavailable
            clock.now += PAUSE_SECONDS

            assert await five_at_once() == [""] * 5
