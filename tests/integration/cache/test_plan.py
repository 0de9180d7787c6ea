"""Which way the server is asked to search: the graph for scopes that are known to be large."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ResponseError

from eventstream.cache.contract import CacheEntry, CacheScope, Embedding
from eventstream.cache.index import VectorIndex, model_digest
from eventstream.cache.keys import CacheKeys
from eventstream.cache.plan import REFRESH_SECONDS
from eventstream.cache.search import Searcher
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from eventstream.redis_wire import Client
from tests.integration.cache.support import SCOPE, OneVector, query

GRAPH = "HYBRID_POLICY BATCHES"
OTHER = CacheScope("tickets", "classification", "gpt-4o-mini", "v1", "p1")


class Searches:
    """What is sent as FT.SEARCH: whether it asks for the graph; and a clock to turn."""

    def __init__(self) -> None:
        self.graph: list[bool] = []
        self.looks = 0
        self.now = 0.0
        self.refuse = False


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    seen = Searches()
    pipeline_of: Callable[..., Any] = Client.pipeline

    def pipeline(self: Client, *args: Any, **options: Any) -> Any:
        made = pipeline_of(self, *args, **options)
        send = made.execute_command

        def recorded(*words: Any, **more: Any) -> Any:
            if words[0] == "FT.INFO" or "NOCONTENT" in words:
                seen.looks += 1
            elif words[0] == "FT.SEARCH":
                seen.graph.append(GRAPH in words[2])
                if seen.refuse and GRAPH in words[2]:
                    words = (*words[:2], words[2].replace("BATCHES", "UNHEARD_OF"), *words[3:])
            return send(*words, **more)

        made.execute_command = recorded
        return made

    monkeypatch.setattr(Client, "pipeline", pipeline)
    return seen


@pytest.fixture
async def cache(cache_client: AsyncRedis, prefix: str, searches: Searches) -> SemanticCache:
    """With 20 reviews and two tickets in one HNSW index."""
    cache = SemanticCache(
        cache_client,
        prefix=prefix,
        timeout_seconds=5,
        hnsw_from_entries=0,
        graph_from_entries=10,
        monotonic=lambda: searches.now,
    )
    model = OneVector()
    await VectorIndex(
        cache_client, CacheKeys(prefix), model_digest(model.name, 4), 4, hnsw_from_entries=0
    ).ensure()
    await fill(cache, SCOPE, 20)
    await fill(cache, OTHER, 2)
    return cache


async def fill(cache: SemanticCache, scope: CacheScope, count: int) -> None:
    model = OneVector()
    texts = [f"The app is slow on phone {number}" for number in range(count)]
    vectors = await model.embed(texts)
    await cache.store(
        [
            CacheEntry(query(text, scope=scope), b"x", 60, Embedding(model.name, vector))
            for text, vector in zip(texts, vectors, strict=True)
        ]
    )


async def ask(cache: SemanticCache, scope: CacheScope = SCOPE) -> float | None:
    [answer] = await cache.look_up([query("The app is slow on Mars", scope=scope)], OneVector())
    assert answer.unavailable == ""
    return answer.similarity


async def test_a_large_scope_is_searched_along_the_graph(
    cache: SemanticCache, searches: Searches
) -> None:
    found = [await ask(cache), await ask(cache), await ask(cache, OTHER), await ask(cache, OTHER)]

    # The first search of a scope only learns how large it is.
    assert searches.graph == [False, True, False, False]
    assert found == [pytest.approx(1.0)] * 4


async def test_it_looks_again_after_a_while(cache: SemanticCache, searches: Searches) -> None:
    await ask(cache)
    await ask(cache)
    first = searches.looks
    searches.now += REFRESH_SECONDS - 1
    await ask(cache)
    within = searches.looks
    searches.now += 1
    await cache.clear()
    await ask(cache)
    await ask(cache)

    assert (first, within, searches.looks) == (2, 2, 4)
    assert searches.graph == [False, True, True, True, False]


async def test_a_scope_that_is_a_small_part_of_its_index_is_gone_through(
    cache_client: AsyncRedis, cache: SemanticCache, searches: Searches, prefix: str
) -> None:
    small = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, graph_from_entries=0)
    await ask(small, OTHER)
    await ask(small, OTHER)
    before = list(searches.graph)
    await cache.clear(stream=OTHER.stream)
    await fill(cache, OTHER, 1)
    alone = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, graph_from_entries=0)
    await ask(alone, OTHER)
    await ask(alone, OTHER)

    assert before == [False, True]  # Two of 22
    assert searches.graph[2:] == [False, False]  # One of 21


async def test_a_flat_index_has_no_graph(
    cache_client: AsyncRedis, prefix: str, searches: Searches
) -> None:
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, graph_from_entries=0)
    keys, model = CacheKeys(prefix), model_digest("test/one", 4)
    await VectorIndex(cache_client, keys, model, 4, hnsw_from_entries=10**9).ensure()

    await ask(cache)
    await ask(cache)

    assert searches.graph == [False, False]


async def test_an_index_that_has_grown_is_looked_at_at_once(
    cache_client: AsyncRedis, prefix: str, searches: Searches
) -> None:
    cache = SemanticCache(
        cache_client, prefix=prefix, timeout_seconds=5, hnsw_from_entries=5, graph_from_entries=5
    )
    keys, model = CacheKeys(prefix), model_digest("test/one", 4)
    await VectorIndex(cache_client, keys, model, 4, hnsw_from_entries=10**9).ensure()
    await fill(cache, SCOPE, 5)
    await ask(cache)
    await ask(cache)

    await cache.maintain()
    await ask(cache)
    await ask(cache)

    assert searches.graph == [False, False, False, True]


async def test_after_a_search_that_failed_nothing_is_taken_for_granted(
    cache: SemanticCache, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was counted before may be gone, and the graph of what is left takes long."""

    async def breaks(self: object, pipeline: object, call: str) -> tuple[None, str]:
        return None, "no reply"

    await ask(cache)
    await ask(cache)
    with monkeypatch.context() as broken:
        broken.setattr(Searcher, "_execute", breaks)
        await cache.look_up([query("The app is slow on Venus")], OneVector())
    await ask(cache)
    await ask(cache)

    assert searches.graph == [False, True, True, False, True]


async def test_a_server_that_does_not_know_the_choice_is_left_to_its_own(
    cache: SemanticCache, searches: Searches
) -> None:
    await ask(cache)
    searches.refuse = True
    refused = await ask(cache)
    found = await ask(cache)

    assert refused is None  # One miss, and never again.
    assert searches.graph == [False, True, False]
    assert found == pytest.approx(1.0)


async def test_looks_that_are_refused_leave_the_choice_to_the_server(
    cache: SemanticCache, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(reply: object) -> object:
        raise ResponseError("in other words")

    monkeypatch.setattr("eventstream.cache.plan.read_info", unreadable)

    found = [await ask(cache), await ask(cache)]

    assert searches.graph == [False, False]
    assert found == [pytest.approx(1.0)] * 2
