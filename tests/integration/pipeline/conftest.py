"""The mock provider's fixtures, and a pipeline over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventstream.cache.store import SemanticCache
from eventstream.keys import Keys
from eventstream.pipeline import Pipeline
from eventstream.redis_client import connect
from eventstream.registry import Registry
from eventstream.spec import Model, StreamSpec
from tests.integration.pipeline.bench import Bench
from tests.providers.aimock import AiMock
from tests.providers.conftest import MakeModels, aimock, aimock_server, make_models

__all__ = ["aimock", "aimock_server", "make_models"]

SPEC = StreamSpec(model=Model(provider="openai", name="gpt-4o-mini", allow=("gpt-4o",)))


@pytest.fixture
async def bench(
    aimock: AiMock, make_models: MakeModels, registry: Registry, cache_url: str, keys: Keys
) -> AsyncIterator[Bench]:
    aimock.answer("an answer")
    await registry.write({"default": SPEC})
    client = connect(cache_url, timeout_seconds=5)
    cache = SemanticCache(client, prefix=keys.prefix, timeout_seconds=5)
    yield Bench(Pipeline(registry, make_models(), cache), registry, cache)
    await cache.aclose()
    await client.aclose()
