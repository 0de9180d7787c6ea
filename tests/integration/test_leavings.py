"""A deleted stream whose leavings can't be removed now: nobody else pays for it."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from eventstream.cache.store import SemanticCache
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.redis_client import connect_cache
from eventstream.registry import Registry
from eventstream.spec import OnDelete, StreamSpec
from eventstream.worker.leavings import QUIET_SECONDS, TRY_AGAIN_SECONDS, Leavings

SPEC = StreamSpec(on_delete=OnDelete(cached_answers="Delete"))


class Answers:
    """A cache that does not answer for some streams."""

    def __init__(self, away: set[str]) -> None:
        self.away = away
        self.asked: list[str | None] = []

    async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
        self.asked.append(stream)
        if stream in self.away:
            raise StoreUnavailable("Redis can't be reached while clearing the cache")
        return 0


async def test_one_that_cannot_be_settled_blocks_no_other_and_is_tried_once_a_minute(
    registry: Registry, inbox: Inbox
) -> None:
    names = ["first", "second", "third"]
    await registry.write(dict.fromkeys(names, SPEC))
    for name in names:
        await registry.delete(name)
    now = [0.0]
    answers = Answers(away={"first", "second"})
    leavings = Leavings(
        registry,
        inbox,
        answers,
        None,
        unix_clock=lambda: time.time() + QUIET_SECONDS + 1,
        clock=lambda: now[0],
    )

    with capture_logs() as lines:
        for _ in range(5):
            await leavings.settle()
        now[0] = TRY_AGAIN_SECONDS
        await leavings.settle()
        assert sorted(map(str, answers.asked)) == ["first", "first", "second", "second", "third"]
        assert (await registry.tombstones()).keys() == {"first", "second"}

        answers.away.clear()
        now[0] *= 2
        await leavings.settle()

    assert await registry.tombstones() == {}
    failed = [line["stream"] for line in lines if line["event"] == "deleted_stream_not_settled"]
    assert sorted(failed) == ["first", "second"]


async def test_a_cluster_cache_that_is_away_is_an_unavailable_store() -> None:
    client = connect_cache("redis+cluster://127.0.0.1:1/0", timeout_seconds=1)
    cache = SemanticCache(client)

    with pytest.raises(StoreUnavailable, match="clearing the cache"):
        await cache.clear(stream="reviews")
    await client.aclose()
