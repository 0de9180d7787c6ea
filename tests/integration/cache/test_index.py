"""The vector index: made when missing, rebuilt as HNSW when grown, by one process."""

import asyncio

import pytest

from eventstream.cache.contract import CacheEntry
from eventstream.cache.index import HNSW_EF_RUNTIME, VectorIndex, model_digest
from eventstream.cache.keys import CacheKeys
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import OneVector, command, query

MODEL = model_digest("test/one", 4)


async def fill(cache: SemanticCache, count: int) -> None:
    texts = [query(f"The app is slow on phone {number}") for number in range(count)]
    answers = await cache.look_up(texts, OneVector())
    pairs = zip(texts, answers, strict=True)
    await cache.store([CacheEntry(text, b"x", 60, answer.embedding) for text, answer in pairs])


async def algorithms(client: AsyncRedis, prefix: str) -> list[str]:
    names = [name.decode() for name in await command(client, "FT._LIST")]
    ours = f"{prefix}cache:index:"
    return [name.removeprefix(ours).split(":")[1] for name in names if name.startswith(ours)]


async def test_a_grown_index_is_rebuilt_and_keeps_its_answers(
    cache_client: AsyncRedis, prefix: str
) -> None:
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5, hnsw_from_entries=50)
    # The server is shared: other tests' keys must not make the new index start out as HNSW.
    index = VectorIndex(cache_client, CacheKeys(prefix), MODEL, 4, hnsw_from_entries=10**9)
    await index.ensure()
    await fill(cache, 60)
    assert await algorithms(cache_client, prefix) == ["flat"]

    await cache.maintain()

    assert await algorithms(cache_client, prefix) == ["hnsw"]
    answer = (await cache.look_up([query("App is slow on phone 7")], OneVector()))[0]
    assert answer.similarity == pytest.approx(1.0)
    assert (await cache.stats()).entries == 60


async def test_a_search_of_a_grown_index_keeps_more_candidates_than_the_servers_default(
    cache_client: AsyncRedis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 10 it finds the nearest of 100,000 in fewer than half of all searches."""
    sent: list[tuple[object, ...]] = []
    execute = cache_client.execute_command

    async def recorded(*words: object, **options: object) -> object:
        sent.append(words)
        return await execute(*words, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(cache_client, "execute_command", recorded)
    index = VectorIndex(cache_client, CacheKeys(prefix), MODEL, 4, hnsw_from_entries=0)
    await index.ensure()
    # A flat index has nothing of the kind, and its search refuses it.
    keys = CacheKeys(f"{prefix}flat:")
    await VectorIndex(cache_client, keys, MODEL, 4, hnsw_from_entries=10**9).ensure()

    grown, flat = (words for words in sent if words[0] == "FT.CREATE")
    assert grown[grown.index("EF_RUNTIME") + 1] == HNSW_EF_RUNTIME
    assert "EF_RUNTIME" not in flat


async def test_a_small_index_stays_flat(cache_client: AsyncRedis, prefix: str) -> None:
    cache = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5)
    await fill(cache, 5)

    await cache.maintain()

    assert await algorithms(cache_client, prefix) == ["flat"]


async def test_many_processes_make_one_index(cache_client: AsyncRedis, prefix: str) -> None:
    indexes = [VectorIndex(cache_client, CacheKeys(prefix), MODEL, 4) for _ in range(8)]

    await asyncio.gather(*(index.ensure() for index in indexes))

    assert await algorithms(cache_client, prefix) == ["flat"]


async def test_what_a_killed_builder_left_is_removed(cache_client: AsyncRedis, prefix: str) -> None:
    leftover = CacheKeys(prefix).index(MODEL, "hnsw", "dead")
    await command(cache_client, "FT.CREATE", leftover, "SCHEMA", "scope", "TAG")

    await VectorIndex(cache_client, CacheKeys(prefix), MODEL, 4).ensure()

    assert await algorithms(cache_client, prefix) == ["flat"]


async def test_a_vanished_index_comes_back_by_itself(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    await fill(cache, 3)
    async for key in cache_client.scan_iter(f"{prefix}*"):
        await cache_client.delete(key)
    index = await VectorIndex(cache_client, CacheKeys(prefix), MODEL, 4).info()
    assert index is not None
    await command(cache_client, "FT.DROPINDEX", index.name)

    first = (await cache.look_up([query("The app is slow on phone 1")], OneVector()))[0]
    await fill(cache, 3)
    later = (await cache.look_up([query("App is slow on phone 1")], OneVector()))[0]

    assert first.similarity is None
    assert later.similarity == pytest.approx(1.0)
