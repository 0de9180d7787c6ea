"""A cache server that is slow for a moment: equal questions still cost one model call."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from eventstream.cache.contract import CacheEntry
from eventstream.cache.flight import FlightLease, FlightWait
from eventstream.cache.server import PATIENCE_SECONDS
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect
from tests.integration.cache.support import command, entry, query
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer

SLOW_MILLISECONDS = 400
"""Longer than the time-out below, shorter than anybody's patience."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of these tests' own: it is paused."""
    with RedisServer(tmp_path_factory.mktemp("slow"), search=False) as server:
        yield server


@pytest.fixture
async def admin(server: RedisServer) -> AsyncIterator[AsyncRedis]:
    client = connect(server.url(0), timeout_seconds=5)
    yield client
    await client.aclose()


@pytest.fixture
async def two(server: RedisServer, prefix: str) -> AsyncIterator[tuple[SemanticCache, ...]]:
    """Two processes' caches."""
    clients = [connect(server.url(0), timeout_seconds=5) for _ in range(2)]
    caches = [SemanticCache(each, prefix=prefix, timeout_seconds=0.1) for each in clients]
    yield tuple(caches)
    for cache, client in zip(caches, clients, strict=True):
        await cache.aclose()
        await client.aclose()


async def warmed(cache: SemanticCache) -> None:
    """Connected: a pause then meets the command and not the connection."""
    await cache.look_up([query("anything")], None)


async def test_joining_a_flight_survives_a_time_out(
    two: tuple[SemanticCache, ...], admin: AsyncRedis
) -> None:
    ours, theirs = two
    lead = await ours.claim_flight("question")
    await warmed(theirs)

    await command(admin, "CLIENT", "PAUSE", SLOW_MILLISECONDS)
    joined = await theirs.claim_flight("question")

    assert isinstance(lead, FlightLease)
    assert isinstance(joined, FlightWait)


async def test_an_answer_is_kept_and_found_in_spite_of_a_time_out(
    two: tuple[SemanticCache, ...], admin: AsyncRedis
) -> None:
    ours, theirs = two
    await warmed(ours)
    await warmed(theirs)

    await command(admin, "CLIENT", "PAUSE", SLOW_MILLISECONDS)
    kept = await ours.store([entry(query("Where?"), b"here")])
    await command(admin, "CLIENT", "PAUSE", SLOW_MILLISECONDS)
    found = await theirs.look_again(query("Where?"))

    assert kept == 1
    assert found.response == b"here"


async def test_those_who_wait_go_on_waiting_through_a_time_out(
    two: tuple[SemanticCache, ...], admin: AsyncRedis
) -> None:
    ours, theirs = two
    lead = await ours.claim_flight("question")
    wait = await theirs.claim_flight("question")
    assert isinstance(lead, FlightLease)
    assert isinstance(wait, FlightWait)
    waiting = asyncio.create_task(wait.wait())

    await command(admin, "CLIENT", "PAUSE", SLOW_MILLISECONDS)
    await command(admin, "PING")  # answered once the pause is over
    assert not waiting.done()
    await ours.store([CacheEntry(query("Where?"), b"here", 60)])
    await lead.release()

    assert await waiting
    assert (await theirs.look_again(query("Where?"))).response == b"here"


async def test_a_server_that_is_away_is_waited_for_once(
    tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> None:
    """Patience is an outage's, not a question's: the second question leads without a try."""
    tries = 0
    clock = Clock()
    with RedisServer(tmp_path_factory.mktemp("away"), search=False) as server:
        client = connect(server.url(0), timeout_seconds=5)
        cache = SemanticCache(client, prefix=prefix, timeout_seconds=0.5, monotonic=clock)
        await warmed(cache)
        server.kill()
        attempt = cache._pipelines._try

        async def counted(pipeline: object) -> object:
            nonlocal tries
            tries += 1
            return await attempt(pipeline)

        cache._pipelines._try = counted  # type: ignore[method-assign,assignment]
        assert isinstance(await cache.claim_flight("first"), FlightLease)
        patient = tries
        clock.now += PATIENCE_SECONDS
        assert isinstance(await cache.claim_flight("second"), FlightLease)
        assert patient > 1
        assert tries == patient + 1
        await client.aclose()
