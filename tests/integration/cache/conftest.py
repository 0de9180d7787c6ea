"""A cache of its own for each test, on the run's Redis with vector search."""

from collections.abc import AsyncIterator

import pytest

from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis, connect


@pytest.fixture
async def cache_client(cache_url: str) -> AsyncIterator[AsyncRedis]:
    client = connect(cache_url, timeout_seconds=5)
    yield client
    await client.aclose()


@pytest.fixture
async def cache(cache_client: AsyncRedis, prefix: str) -> AsyncIterator[SemanticCache]:
    # The time-out is generous: tests share a busy machine.
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5)
    yield cache
    await cache.aclose()
