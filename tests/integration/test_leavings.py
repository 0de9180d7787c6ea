"""A deleted stream whose leavings can't be removed now: nobody else pays for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from eventstream.cache.store import SemanticCache
from eventstream.claims import Arrival
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect_cache
from eventstream.registry import Registry
from eventstream.spec import OnDelete, Source, StreamSpec
from eventstream.worker.leavings import (
    QUIET_SECONDS,
    TRY_AGAIN_SECONDS,
    Leavings,
    is_due,
    take_up_again,
)
from tests.support.clock import Clock
from tests.support.events import a_failure, an_event

SPEC = StreamSpec(on_delete=OnDelete(cached_answers="Delete"))


def long_after(registry: Registry) -> Callable[[], Awaitable[float]]:
    """Redis' clock, when nobody accepts events of what is deleted now any more."""

    async def then() -> float:
        return await registry.store_seconds() + QUIET_SECONDS + 1

    return then


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
    clock = Clock(0.0)
    answers = Answers(away={"first", "second"})
    leavings = Leavings(
        registry,
        inbox,
        answers,
        None,
        store_seconds=long_after(registry),
        clock=clock,
    )

    with capture_logs() as lines:
        for _ in range(5):
            await leavings.settle()
        clock.now = TRY_AGAIN_SECONDS
        await leavings.settle()
        assert sorted(map(str, answers.asked)) == ["first", "first", "second", "second", "third"]
        assert (await registry.tombstones()).keys() == {"first", "second"}

        answers.away.clear()
        clock.now *= 2
        await leavings.settle()

    assert await registry.tombstones() == {}
    failed = [line["stream"] for line in lines if line["event"] == "deleted_stream_not_settled"]
    assert sorted(failed) == ["first", "second"]


@dataclass
class Topics:
    """A client of a Kafka that is away at first."""

    away: bool = True
    deleted: list[str] = field(default_factory=list)
    closed: bool = False

    async def delete_topics(self, names: list[str]) -> list[str]:
        if self.away:
            raise StoreUnavailable("Kafka did not answer")
        self.deleted += names
        return names

    async def aclose(self) -> None:
        self.closed = True


async def test_all_tries_share_one_client_of_kafka(registry: Registry, inbox: Inbox) -> None:
    for name in ("first", "second"):
        spec = StreamSpec(source=Source(topic=f"{name}.raw"), on_delete=OnDelete(topics="Delete"))
        await registry.write({name: spec})
        await registry.delete(name)
    clock = Clock(0.0)
    made: list[Topics] = []

    def make() -> Topics:
        made.append(Topics())
        return made[-1]

    leavings = Leavings(
        registry,
        inbox,
        Answers(away=set()),
        make,
        store_seconds=long_after(registry),
        clock=clock,
    )
    assert made == []  # a client is several threads: only where one is needed
    await leavings.settle()
    clock.now = TRY_AGAIN_SECONDS
    await leavings.settle()
    made[0].away = False
    clock.now *= 2
    await leavings.settle()
    await leavings.aclose()

    [topics] = made
    assert sorted(topics.deleted) == ["first.raw", "first.raw.dlq", "second.raw", "second.raw.dlq"]
    assert topics.closed


async def test_no_machines_clock_makes_a_deleted_stream_old(
    registry: Registry, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    leavings = Leavings(registry, inbox, Answers(away=set()), None)
    await registry.write({"reviews": SPEC})
    monkeypatch.setattr(time, "time", lambda: 1e9)  # who deletes it is behind
    await registry.delete("reviews")
    monkeypatch.setattr(time, "time", lambda: 9e9)  # who settles it is ahead

    await leavings.settle()

    assert list(await registry.tombstones()) == ["reviews"]


async def test_a_clock_of_redis_that_went_back_far_is_not_waited_for(registry: Registry) -> None:
    await registry.write({"reviews": SPEC})
    await registry.delete("reviews")
    tombstone = (await registry.tombstones())["reviews"]

    assert not is_due(tombstone, tombstone.deleted_at - 5)
    assert is_due(tombstone, tombstone.deleted_at - 3600)


async def test_an_event_that_comes_into_a_settled_stream_is_served_all_the_same(
    registry: Registry, inbox: Inbox
) -> None:
    await registry.write({"reviews": SPEC, "letters": SPEC})
    for name in ("reviews", "letters"):
        await registry.delete(name)
    leavings = Leavings(
        registry, inbox, Answers(away=set()), None, store_seconds=long_after(registry)
    )
    await leavings.settle()
    await inbox.accept([Arrival(an_event("late", stream="reviews"))])

    await take_up_again(registry, inbox)
    await leavings.settle()  # it is not over before the event is
    assert await registry.queues() == ("reviews",)

    claim = await inbox.claim("reviews", "worker", 10)
    await inbox.finish([a_failure(held) for held in claim.fresh])
    await leavings.settle()
    await take_up_again(registry, inbox)
    assert await registry.queues() == ()


async def test_a_cluster_cache_that_is_away_is_an_unavailable_store() -> None:
    client = connect_cache("redis+cluster://127.0.0.1:1/0", timeout_seconds=1)
    cache = SemanticCache(client)

    with pytest.raises(StoreUnavailable, match="clearing the cache"):
        await cache.clear(stream="reviews")
    await client.aclose()


OWN = StreamSpec(
    source=Source(topic="reviews"), on_delete=OnDelete(cached_answers="Delete", topics="Delete")
)


async def test_a_stream_that_is_written_anew_keeps_its_answers_and_topics(
    registry: Registry, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": OWN})
    await registry.delete("reviews")
    # Another process, whose look at the streams is still good for an hour.
    looked = Registry(redis_client, keys, max_age_seconds=3_600)
    assert (await looked.tombstones()).keys() == {"reviews"}
    answers, topics = Answers(away=set()), Topics(away=False)
    leavings = Leavings(looked, inbox, answers, lambda: topics, store_seconds=long_after(registry))

    await registry.write({"reviews": OWN})
    await leavings.settle()

    assert answers.asked == []
    assert topics.deleted == []


async def test_while_its_answers_go_a_stream_may_be_written_anew_and_keep_its_topics(
    registry: Registry, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": OWN})
    await registry.delete("reviews")
    looked = Registry(redis_client, keys, max_age_seconds=3_600)
    topics = Topics(away=False)

    class Slow(Answers):
        async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
            await registry.write({"reviews": OWN})
            return 0

    leavings = Leavings(
        looked, inbox, Slow(away=set()), lambda: topics, store_seconds=long_after(registry)
    )

    await leavings.settle()

    assert topics.deleted == []
    assert (await registry.all()).keys() == {"reviews"}


async def test_while_a_stream_cannot_be_read_no_topics_go(
    registry: Registry, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": OWN})
    await registry.delete("reviews")
    await redis_client.hset(keys.streams, "lives", '{"schema_number": 99}')
    topics, clock = Topics(away=False), Clock(0.0)
    leavings = Leavings(
        registry,
        inbox,
        Answers(away=set()),
        lambda: topics,
        store_seconds=long_after(registry),
        clock=clock,
    )

    with capture_logs() as lines:
        await leavings.settle()
    assert topics.deleted == []
    assert "lives can't be read" in str(lines)

    await redis_client.hdel(keys.streams, "lives")
    clock.now = TRY_AGAIN_SECONDS
    await leavings.settle()
    assert topics.deleted == ["reviews", "reviews.dlq"]
