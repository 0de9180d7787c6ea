"""What people may ask of the cache: clear it, look at its state."""

from dataclasses import replace

import pytest

from eventstream.cache.contract import CacheQuery
from eventstream.cache.store import SemanticCache
from eventstream.errors import StoreUnavailable
from eventstream.redis_client import AsyncRedis, connect
from tests.integration.cache.support import SCOPE, OneVector, entry, query

SUMMARY = replace(SCOPE, task_type="summarization")
OTHER_STREAM = replace(SCOPE, stream="tickets")
ODD = replace(SCOPE, stream="re*s", task_type="a:b[c]")


@pytest.fixture
async def questions(cache: SemanticCache) -> list[CacheQuery]:
    questions = [query("text", scope=scope) for scope in (SCOPE, SUMMARY, OTHER_STREAM, ODD)]
    assert await cache.store([entry(asked) for asked in questions]) == 4
    return questions


@pytest.mark.parametrize(
    ("task_type", "stream", "left"),
    [
        (None, None, []),
        ("classification", None, ["reviews/summarization", "re*s/a:b[c]"]),
        (None, "tickets", ["reviews/classification", "reviews/summarization", "re*s/a:b[c]"]),
        (
            "classification",
            "reviews",
            ["reviews/summarization", "tickets/classification", "re*s/a:b[c]"],
        ),
        (
            "a:b[c]",
            "re*s",
            ["reviews/classification", "reviews/summarization", "tickets/classification"],
        ),
    ],
)
async def test_clear_removes_what_was_named_and_counts_it(
    cache: SemanticCache,
    questions: list[CacheQuery],
    task_type: str | None,
    stream: str | None,
    left: list[str],
) -> None:
    removed = await cache.clear(task_type=task_type, stream=stream)

    answers = await cache.look_up(questions, None)
    found = [
        f"{asked.scope.stream}/{asked.scope.task_type}"
        for asked, answer in zip(questions, answers, strict=True)
        if answer.kind == "exact"
    ]
    assert found == left
    assert removed == 4 - len(left)


async def test_clear_leaves_other_prefixes_alone(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    neighbour = SemanticCache(cache_client, prefix=f"{prefix}x", timeout_seconds=5)
    await neighbour.store([entry(query("Known"))])

    await cache.clear()

    assert (await neighbour.look_up([query("Known")], None))[0].kind == "exact"


async def test_a_prefix_is_taken_literally(cache_client: AsyncRedis, prefix: str) -> None:
    mine, neighbour = (
        SemanticCache(cache_client, prefix=f"{prefix}{end}", timeout_seconds=5)
        for end in ("[ab]*", "ax")
    )
    await mine.store([entry(query("Known"))])
    await neighbour.store([entry(query("Known"))])

    assert await mine.clear() == 1

    assert (await neighbour.look_up([query("Known")], None))[0].kind == "exact"


async def test_stats_tell_entries_and_index(cache: SemanticCache) -> None:
    await cache.look_up([query("One")], OneVector())
    await cache.store([entry(query("One")), entry(query("Two"))])

    stats = await cache.stats()

    assert stats.entries == 2
    assert stats.semantic_available
    assert list(stats.indexes.values()) == ["FLAT"]


async def test_people_are_told_when_redis_is_away() -> None:
    client = connect("redis://127.0.0.1:1/0", timeout_seconds=1)
    cache = SemanticCache(client, timeout_seconds=1)

    with pytest.raises(StoreUnavailable, match="clearing the cache"):
        await cache.clear()
    await client.aclose()
