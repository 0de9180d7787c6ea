"""A Redis Cluster as the cache: a node that dies, and connections that were closed meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as Node
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError

from eventstream.cache.contract import CacheEntry
from eventstream.cache.flight import FlightLease
from eventstream.cache.server import PAUSE_SECONDS
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import connect_cache
from tests.integration.cache.support import ClusterNode, cluster_nodes, command, entry, query
from tests.support.clock import Clock

TEXTS = [f"question number {number}" for number in range(30)]
ENTRIES = [entry(query(text)) for text in TEXTS]
QUERIES = [each.query for each in ENTRIES]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClusterNode]]:
    with cluster_nodes(tmp_path_factory.mktemp("cluster"), 3) as nodes:
        yield nodes


@contextlib.asynccontextmanager
async def cluster(
    nodes: list[ClusterNode], timeout_seconds: float = 5
) -> AsyncIterator[RedisCluster]:
    url = f"redis+cluster://127.0.0.1:{nodes[0].port}/0"
    client = connect_cache(url, timeout_seconds=timeout_seconds)
    assert isinstance(client, RedisCluster)
    try:
        yield client
    finally:
        await client.aclose()


async def hits(cache: SemanticCache) -> int:
    answers = await cache.look_up(QUERIES, None)
    return [answer.kind for answer in answers].count("exact")


async def close_connections(nodes: list[ClusterNode]) -> None:
    """What a server's `timeout`, a proxy or a failover does to connections."""
    for node in nodes:
        async with redis.asyncio.Redis(port=node.port) as admin:
            await admin.client_kill_filter(_type="normal", skipme=True)
            await admin.ping()  # it has closed them by now


async def test_connections_that_were_closed_meanwhile_cost_no_hit_and_no_answer(
    nodes: list[ClusterNode],
) -> None:
    async with cluster(nodes) as client:
        cache = SemanticCache(client, timeout_seconds=5)
        assert await cache.store(ENTRIES) == len(ENTRIES)
        assert await hits(cache) == len(ENTRIES)

        await close_connections(nodes)
        assert await hits(cache) == len(ENTRIES)

        await close_connections(nodes)
        assert await cache.store(ENTRIES) == len(ENTRIES)
        await cache.aclose()


async def test_a_connection_that_breaks_while_it_is_used_costs_no_hit_either(
    nodes: list[ClusterNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(nodes) as client:
        cache = SemanticCache(client, timeout_seconds=5)
        await cache.store(ENTRIES)
        await cache.flush()
        _break_next(monkeypatch, times=3)

        assert await hits(cache) == len(ENTRIES)
        await cache.aclose()


async def test_nodes_that_reply_to_nothing_are_left_alone_for_a_moment(
    nodes: list[ClusterNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with cluster(nodes) as client:
        cache = SemanticCache(client, timeout_seconds=5, monotonic=clock)
        await cache.store(ENTRIES)
        _break_next(monkeypatch, times=9)

        for _ in range(2):
            answers = await cache.look_up(QUERIES, None)
            assert all("cache_unavailable" in answer.unavailable for answer in answers)
        clock.now += PAUSE_SECONDS
        assert await hits(cache) == len(ENTRIES)
        await cache.aclose()


def _break_next(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The next so many nodes' parts of pipelines break after they were sent."""
    execute = Node.execute_pipeline
    left = [None] * times

    async def breaking(node: Node, commands: list[Any]) -> bool:
        if not left:
            return await execute(node, commands)
        left.pop()
        for each in commands:
            each.result = ConnectionError("Connection closed by server.")
        return True

    monkeypatch.setattr(Node, "execute_pipeline", breaking)


async def test_whatever_the_client_of_a_cluster_raises_costs_no_event(
    nodes: list[ClusterNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def half_closed(node: Node, commands: list[Any]) -> bool:
        raise AttributeError("'NoneType' object has no attribute 'writelines'")

    async with cluster(nodes) as client:
        cache = SemanticCache(client, timeout_seconds=5)
        await cache.look_up(QUERIES, None)
        monkeypatch.setattr(Node, "execute_pipeline", half_closed)

        [missed] = await cache.look_up([query("Any")], None)
        assert "writelines" in missed.unavailable
        flight, answer = await cache.lead(query("Any"))
        assert isinstance(flight, FlightLease)
        assert answer.kind == "miss"
        assert await cache.store([CacheEntry(query("Any"), b"x", 60)], flight) == 0
        await flight.release()
        await cache.aclose()


async def test_a_node_that_dies_leaves_the_others_connections_alone_and_is_replaced(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with cluster_nodes(tmp_path_factory.mktemp("dying"), 3) as nodes:
        dying, *left = nodes
        async with cluster(left) as client, redis.asyncio.Redis(port=left[1].port) as other:
            cache = SemanticCache(client, timeout_seconds=5)
            assert await cache.store(ENTRIES) == len(ENTRIES)
            owner = client.get_node_from_key("a")
            assert owner is not None
            assert int(owner.port) == left[1].port
            waiting = asyncio.ensure_future(client.blpop(["a"], timeout=0))
            while not (await other.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0)
            dying.process.kill()
            dying.process.wait(20)

            answers = await cache.look_up(QUERIES, None)
            assert all("cache_unavailable" in answer.unavailable for answer in answers)

            await other.rpush("a", "still there")
            assert await waiting == (b"a", b"still there")

            await _take_over(nodes)
            async with asyncio.timeout(60):
                while await cache.store(ENTRIES) < len(ENTRIES):
                    await asyncio.sleep(0.05)
            assert await hits(cache) == len(ENTRIES)
            await cache.aclose()


async def _take_over(nodes: list[ClusterNode]) -> None:
    """The slots of the first node become the second's, as after a failover."""
    last = 16384 // len(nodes) - 1
    for node in nodes[1:]:
        async with redis.asyncio.Redis(port=node.port) as admin:
            await command(admin, "CLUSTER", "DELSLOTSRANGE", 0, last)
            if node is nodes[1]:
                await command(admin, "CLUSTER", "ADDSLOTSRANGE", 0, last)
