"""`eventstream cache`: what the semantic cache holds, and emptying it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from eventstream.cache.contract import (
    CacheAnswer,
    CacheEntry,
    CacheQuery,
    CacheScope,
    Embedding,
    Pair,
)
from eventstream.cache.store import SemanticCache
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.spec import StreamSpec
from tests.integration.cli.command_line import run_meanwhile as run


def a_query(text: str, stream: str = "notes", task_type: str = "summarization") -> CacheQuery:
    return CacheQuery(text, CacheScope(stream, task_type, "test/model", "1", "0"))


def an_entry(text: str, stream: str = "notes", task_type: str = "summarization") -> CacheEntry:
    return CacheEntry(a_query(text, stream, task_type), b"{}", ttl_seconds=600)


@pytest.fixture
async def cache(cache_url: str, prefix: str) -> AsyncIterator[SemanticCache]:
    client = connect(cache_url, timeout_seconds=5)
    cache = SemanticCache(client, prefix=prefix, timeout_seconds=5)
    yield cache
    await cache.aclose()
    await client.aclose()


@pytest.fixture
async def counted(cache: SemanticCache, registry: Registry) -> None:
    """Two answers kept; four look-ups of `notes`: three hits and a miss."""
    await registry.write({"notes": StreamSpec(), "silent": StreamSpec()})
    await cache.store([an_entry("one"), an_entry("two")])
    for text in ("one", "one", "two", "three"):
        await cache.look_up([a_query(text)], None)
    await cache.flush()


@pytest.mark.usefixtures("counted")
async def test_stats_tell_what_is_kept_and_how_often_it_helped(env: dict[str, str]) -> None:
    ended = await run("cache", "stats", env=env)

    assert ended.code == 0
    assert ended.out.startswith("2 answers kept; semantic search: on")
    (row,) = [line for line in ended.out.splitlines() if "notes" in line]
    assert row.split() == ["notes", "summarization", "4", "3", "0", "0", "1", "75%"]


@pytest.mark.usefixtures("counted")
async def test_stats_as_json(env: dict[str, str]) -> None:
    ended = await run("cache", "stats", "--json", env=env)

    assert ended.json["entries"] == 2
    assert ended.json["semantic_available"] is True
    (row,) = ended.json["look_ups"]
    assert (row["stream"], row["total"], row["hit_rate"]) == ("notes", 4, 0.75)
    assert row["outcomes"] == {"exact": 3, "miss": 1}


async def test_a_stream_shows_similarities_and_what_was_refused(
    env: dict[str, str], cache_url: str, prefix: str, registry: Registry
) -> None:
    await registry.write({"notes": StreamSpec()})
    client = connect(cache_url, timeout_seconds=5)
    # As a worker's look-ups would have counted them.
    await client.hset(
        f"{prefix}cache:similarities:notes:summarization:480000",
        mapping={
            **{"semantic": 4, "semantic|97": 4, "near_miss": 2, "near_miss|97": 1},
            **{"near_miss|91": 1, "kind|97|number": 1, "kind|91|content_word": 1, "miss": 0},
        },
    )
    await client.aclose()

    table = await run("cache", "stats", "--stream", "notes", env=env)
    document = await run("cache", "stats", "--stream", "notes", "--json", env=env)

    rows = [line.split() for line in table.out.splitlines()]
    assert ["0.97", "to", "0.98", "4", "1", "0"] in rows
    assert ["0.91", "to", "0.92", "0", "1", "0"] in rows
    assert ["number", "1"] in rows
    assert ["content", "word", "1"] in rows
    assert document.json["similarities"]["notes"] == {
        "0.97": {"semantic": 4, "near_miss": 1},
        "0.91": {"near_miss": 1},
    }


async def test_clearing_everything(env: dict[str, str], cache: SemanticCache) -> None:
    await cache.store([an_entry("one"), an_entry("two", stream="other")])

    ended = await run("cache", "clear", env=env)

    assert (ended.code, ended.out) == (0, "2 cached answers removed\n")
    assert (await cache.stats()).entries == 0


async def test_clearing_one_task_type_of_one_stream(
    env: dict[str, str], cache: SemanticCache, registry: Registry
) -> None:
    await registry.write({"notes": StreamSpec()})
    await cache.store(
        [
            an_entry("one", task_type="sentiment_analysis"),
            an_entry("two"),
            an_entry("one", stream="other", task_type="sentiment_analysis"),
        ]
    )

    ended = await run(
        *("cache", "clear", "--stream", "notes", "--task-type", "sentiment", "--json"), env=env
    )

    assert ended.json == {"cleared": 1, "task_type": "sentiment_analysis", "stream": "notes"}
    assert (await cache.stats()).entries == 2


async def test_without_redis_all_end_with_3() -> None:
    for command in ("stats", "advise", "clear"):
        ended = await run("cache", command, env={"REDIS_URL": "redis://127.0.0.1:1/0"})

        assert ended.code == 3
        assert ended.err.startswith("eventstream: Redis can't be reached while ")


async def test_an_answer_to_an_event_outlives_the_cache(
    env: dict[str, str], redis_client: AsyncRedis, keys: Keys
) -> None:
    await redis_client.set(keys.result("a"), b"{}")

    await run("cache", "clear", env=env)

    assert await redis_client.get(keys.result("a")) == b"{}"


@pytest.fixture
async def learned(cache: SemanticCache, registry: Registry) -> None:
    """A stream that answered 100 near texts, which differ in a number, like their candidates."""
    await registry.write({"notes": StreamSpec(), "silent": StreamSpec()})
    vector = Embedding("local/all-MiniLM-L6-v2", np.array([1, 0, 0, 0], dtype=np.float32))
    asked = a_query("I ordered 3 tickets")
    for number in range(100):
        near = f"I ordered {number} tickets"
        pair = Pair(near, b"", 0.96, given=False, kinds="number", epoch=0)
        looked_up = CacheAnswer("miss", "near_miss", asked.key, embedding=vector, pair=pair)
        cache.learn(asked, looked_up, agreed=True)
    await cache.look_up([a_query(f"text {n}") for n in range(250)], None)
    await cache.flush()


@pytest.mark.usefixtures("learned")
async def test_advice_for_people(env: dict[str, str]) -> None:
    ended = await run("cache", "advise", env=env)

    assert ended.code == 0
    assert "notes, summarization: 250 look-ups, 100 labelled pairs" in ended.out
    assert "0.85 is the value calibrated for all-MiniLM-L6-v2" in ended.out
    assert "guarded 0.85 (now)" in ended.out
    assert "silent: nothing learned yet" in ended.out


@pytest.mark.usefixtures("learned")
async def test_advice_as_json(env: dict[str, str]) -> None:
    ended = await run("cache", "advise", "--stream", "notes", "--json", env=env)

    [advice] = ended.json["notes"]
    assert (advice["task_type"], advice["pairs"]) == ("summarization", 100)
    assert {"guarded 0.85", "bounded 1 %", "bounded 2 %", "bounded 5 %"} <= {
        option["name"] for option in advice["options"]
    }
    assert set(advice["in_force"]["hits"]) == {"value", "low", "high"}


@pytest.mark.parametrize("command", ["stats", "advise", "clear"])
async def test_an_unknown_stream_is_named(
    env: dict[str, str], registry: Registry, command: str
) -> None:
    await registry.write({"notes": StreamSpec()})

    ended = await run("cache", command, "--stream", "nots", env=env)

    assert ended.code == 1
    assert "no stream 'nots'" in ended.err
