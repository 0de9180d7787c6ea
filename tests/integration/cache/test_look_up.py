"""What a look-up finds, what it refuses, and what it costs."""

from dataclasses import replace

import numpy as np
import pytest
from redis.exceptions import ResponseError

from eventstream.cache.contract import CacheAnswer, CacheEntry, CacheQuery, Embedder
from eventstream.cache.entries import append_write, entry_key, read_writes
from eventstream.cache.guard import MAX_CHARACTERS
from eventstream.cache.keys import CacheKeys
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import (
    SCOPE,
    BrokenEmbedder,
    OneVector,
    WrittenVectors,
    entry,
    query,
)


async def ask(cache: SemanticCache, asked: CacheQuery, embedder: Embedder | None) -> CacheAnswer:
    return (await cache.look_up([asked], embedder))[0]


async def answer_and_store(
    cache: SemanticCache, asked: CacheQuery, embedder: Embedder, response: bytes = b"praise"
) -> None:
    missed = await ask(cache, asked, embedder)
    assert missed.kind == "miss"
    kept = await cache.store([CacheEntry(asked, response, 60, missed.embedding)])
    assert kept == 1


async def test_the_same_text_is_an_exact_hit_and_asks_for_no_vector(cache: SemanticCache) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query("The app is slow."), embedder)

    answer = await ask(cache, query("  the APP is slow"), embedder)

    assert (answer.kind, answer.response, answer.similarity) == ("exact", b"praise", 1.0)
    assert embedder.calls == 1


async def test_a_paraphrase_is_a_semantic_hit(cache: SemanticCache) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query("Where is my parcel?"), embedder)

    answer = await ask(cache, query("Hi, can you tell me where my parcel is?"), embedder)

    assert (answer.kind, answer.outcome, answer.response) == ("semantic", "semantic", b"praise")
    assert answer.similarity == pytest.approx(1.0)


async def test_a_look_alike_is_a_near_miss_that_says_why(cache: SemanticCache) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query("I ordered 2 tickets"), embedder)

    answer = await ask(cache, query("I ordered 3 tickets"), embedder)

    assert (answer.kind, answer.outcome, answer.response) == ("miss", "near_miss", None)
    assert answer.refused_kinds == ("number",)
    assert answer.similarity == pytest.approx(1.0)


async def test_the_threshold_policy_goes_by_similarity_alone(cache: SemanticCache) -> None:
    # cos(0.5) = 0.8776, which is 0.9388 on the documented scale.
    embedder = WrittenVectors({"two tickets": 0.0, "three tickets": 0.5})
    await answer_and_store(cache, query("two tickets", policy="threshold"), embedder)

    below = await ask(cache, query("three tickets", policy="threshold", threshold=0.94), embedder)
    above = await ask(cache, query("three tickets", policy="threshold", threshold=0.93), embedder)

    assert (below.kind, below.outcome, below.refused_kinds) == ("miss", "miss", ("similarity",))
    assert (above.kind, above.response) == ("semantic", b"praise")
    assert above.similarity == pytest.approx(0.9388, abs=1e-4)
    assert above.cosine == pytest.approx(0.8776, abs=1e-4)


async def test_an_unknown_embedding_model_begins_at_a_safe_threshold_and_says_so(
    cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    """The angles are similarities of 0.88 and 0.92: on either side of its 0.90."""
    known, far, near = (
        "Where is my parcel?",
        "Hi, where is my parcel?",
        "Please, where's my parcel?",
    )
    embedder = WrittenVectors({known: 0.0, far: 0.7076, near: 0.5735})
    await answer_and_store(cache, query(known), embedder)

    assert (await ask(cache, query(far), embedder)).kind == "miss"
    assert (await ask(cache, query(near), embedder)).kind == "semantic"
    [warning] = [each for each in caplog.messages if "threshold" in each]
    assert "0.9 is a cautious value: nothing was measured for test/angles" in warning


async def test_the_nearest_candidate_is_taken(cache: SemanticCache) -> None:
    embedder = WrittenVectors({"a": 0.0, "b": 0.4, "c": 0.3})
    await answer_and_store(cache, query("a", policy="threshold"), embedder, b"A")
    await answer_and_store(cache, query("b", policy="threshold"), embedder, b"B")

    answer = await ask(cache, query("c", policy="threshold", threshold=0.9), embedder)

    assert answer.response == b"B"


@pytest.mark.parametrize(
    "field", ["stream", "task_type", "model", "prompt_version", "parameters_digest"]
)
async def test_another_scope_shares_nothing(cache: SemanticCache, field: str) -> None:
    embedder = OneVector()
    other = replace(SCOPE, **{field: "another"})
    await answer_and_store(cache, query("The app is slow", policy="threshold"), embedder)

    same_text = await ask(cache, query("The app is slow", scope=other), embedder)
    similar = query("App is slow", scope=other, policy="threshold")

    assert same_text.kind == "miss"
    assert same_text.similarity is None
    assert (await ask(cache, similar, embedder)).similarity is None


async def test_a_whole_claim_needs_one_call_of_the_embedder(cache: SemanticCache) -> None:
    angles = {f"text {number}": number / 100 for number in range(100)}
    embedder = WrittenVectors(angles)
    queries = [query(text) for text in angles]

    await cache.look_up([*queries, *queries], embedder)

    assert embedder.calls == [list(angles)]


async def test_a_text_is_embedded_once_while_its_vector_is_kept(cache: SemanticCache) -> None:
    embedder = OneVector()
    first = await ask(cache, query("The app is slow"), embedder)
    again = await ask(cache, query("The app is slow"), embedder)

    assert embedder.calls == 1
    assert first.embedding is not None
    assert again.embedding is not None
    assert (first.embedding.vector == again.embedding.vector).all()


async def test_two_servers_of_one_models_name_share_no_vectors(cache: SemanticCache) -> None:
    class There(WrittenVectors):
        server = "http://10.0.0.7:8000/v1"

    text = "The app is slow"
    here, there = WrittenVectors({text: 0.0}), There({text: 1.0})
    for _ in range(2):
        first = await ask(cache, query(text), here)
        second = await ask(cache, query(text), there)
        assert first.embedding is not None
        assert second.embedding is not None
        assert first.embedding.vector[0] == pytest.approx(1.0)
        assert second.embedding.vector[0] == pytest.approx(np.cos(1.0))

    assert here.calls == there.calls == [[text]]


@pytest.mark.parametrize("others", [0, 20], ids=["one text", "a claim"])
async def test_kept_vectors_find_candidates_without_the_embedder(
    cache: SemanticCache, others: int
) -> None:
    texts = ["Hi, the app is slow", *(f"report {number}" for number in range(others))]
    await answer_and_store(cache, query("The app is slow"), OneVector())
    await cache.look_up([query(text, policy="threshold") for text in texts], OneVector())
    embedder = OneVector()

    answers = await cache.look_up([query(text) for text in texts], embedder)

    assert embedder.calls == 0
    assert answers[0].kind == "semantic"


async def test_duplicates_in_a_claim_share_their_answer(cache: SemanticCache) -> None:
    embedder = OneVector()
    await cache.store([entry(query("Known"))])

    answers = await cache.look_up([query("Known"), query("New"), query("known.")], embedder)

    assert [answer.kind for answer in answers] == ["exact", "miss", "exact"]
    assert answers[0].key == answers[2].key != answers[1].key


async def test_disabled_reads_nothing_and_exact_asks_for_no_vector(cache: SemanticCache) -> None:
    embedder = OneVector()
    await cache.store([entry(query("Known"))])

    disabled = await ask(cache, query("Known", policy="disabled"), embedder)
    exact = await ask(cache, query("Known", policy="exact"), embedder)
    other = await ask(cache, query("Unknown", policy="exact"), embedder)

    assert (disabled.kind, disabled.outcome) == ("miss", "off")
    assert exact.kind == "exact"
    assert other.kind == "miss"
    assert embedder.calls == 0


async def test_a_text_too_long_for_the_guard_matches_exactly_only(cache: SemanticCache) -> None:
    embedder = OneVector()
    text = "word " * MAX_CHARACTERS
    await cache.store([entry(query(text))])

    assert (await ask(cache, query(text), embedder)).kind == "exact"
    assert (await ask(cache, query(text + "more"), embedder)).kind == "miss"
    assert embedder.calls == 0


async def test_without_embeddings_exact_hits_work(cache: SemanticCache) -> None:
    await cache.store([entry(query("Known"))])

    answers = await cache.look_up([query("Known"), query("Unknown")], BrokenEmbedder())

    assert answers[0].kind == "exact"
    assert answers[1].kind == "miss"
    assert "the provider is away" in answers[1].unavailable
    assert (await ask(cache, query("Known"), None)).kind == "exact"


@pytest.mark.parametrize(
    "text", ["", "   ", "\ud800", "\x00\x07", "😀" * 50, "a: b|c {d} @e -f (g) *", "é" * 1400]
)
async def test_any_text_can_be_stored_and_found(cache: SemanticCache, text: str) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query(text), embedder)

    assert (await ask(cache, query(text), embedder)).kind == "exact"
    assert (await ask(cache, query(text + " x"), embedder)).similarity is not None


async def test_an_entry_is_stored_in_one_step_so_that_none_is_left_without_an_end(
    cache_client: AsyncRedis, prefix: str
) -> None:
    keys = CacheKeys(prefix)
    stored = entry(query("Known"), ttl_seconds=60)
    pipeline = cache_client.pipeline(transaction=False)

    append_write(pipeline, keys, stored)

    assert len(pipeline) == 1
    assert read_writes(await pipeline.execute(raise_on_error=False), 1) == 1
    assert 30 < await cache_client.ttl(entry_key(keys, stored.query)) <= 60


async def test_what_is_no_hash_under_an_entrys_name_is_replaced(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    await cache_client.set(entry_key(CacheKeys(prefix), query("Odd")), "no hash")

    assert await cache.store([entry(query("Odd"))]) == 1
    assert [each.kind for each in await cache.look_up([query("Odd")], None)] == ["exact"]


def test_only_what_was_stored_is_counted() -> None:
    assert read_writes([1, ResponseError("OOM"), 1, 1], 3) == 2


async def test_entries_expire_at_a_fixed_time(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    await cache.store([entry(query("Known"), ttl_seconds=60)])
    (key,) = [key async for key in cache_client.scan_iter(f"{prefix}cache:entry:*")]
    assert 30 < await cache_client.ttl(key) <= 60
    await cache_client.expire(key, 30)

    assert (await ask(cache, query("Known"), None)).kind == "exact"

    assert 0 < await cache_client.ttl(key) <= 30


@pytest.mark.parametrize("schema", ["99", ""])
async def test_an_entry_of_another_schema_is_a_miss(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str, schema: str
) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query("The app is slow"), embedder)
    (key,) = [key async for key in cache_client.scan_iter(f"{prefix}cache:entry:*")]
    await cache_client.hset(key, "schema", schema)

    assert (await ask(cache, query("The app is slow"), embedder)).kind == "miss"
    assert (await ask(cache, query("App is slow"), embedder)).kind == "miss"


async def test_foreign_values_under_our_keys_are_a_miss(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    embedder = OneVector()
    await answer_and_store(cache, query("The app is slow"), embedder)
    async for key in cache_client.scan_iter(f"{prefix}cache:e*"):
        await cache_client.delete(key)
        await cache_client.set(key, b"not ours")

    answer = await ask(cache, query("The app is slow"), embedder)

    assert (answer.kind, answer.unavailable) == ("miss", "")
