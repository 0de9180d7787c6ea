"""A deleted stream whose leavings can't be removed now: nobody else pays for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventstream.cache.store import SemanticCache
from eventstream.claims import Arrival
from eventstream.errors import StoreUnavailable, StreamBeingRemoved
from eventstream.inbox import Inbox
from eventstream.kafka.errors import Unconfirmed
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect_cache
from eventstream.registry import Registry
from eventstream.spec import OnDelete, Source, StreamSpec, TopicRef
from eventstream.tasks import end
from eventstream.worker.leavings import (
    QUIET_SECONDS,
    REMOVAL_SECONDS,
    TRY_AGAIN_SECONDS,
    Leavings,
    is_due,
    take_up_again,
)
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
    now = [0.0]
    answers = Answers(away={"first", "second"})
    leavings = Leavings(
        registry,
        inbox,
        answers,
        None,
        store_seconds=long_after(registry),
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
    now = [0.0]
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
        clock=lambda: now[0],
    )
    assert made == []  # a client is several threads: only where one is needed
    await leavings.settle()
    now[0] = TRY_AGAIN_SECONDS
    await leavings.settle()
    made[0].away = False
    now[0] *= 2
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


GONE = StreamSpec(
    source=Source(topic="reviews.raw"),
    on_delete=OnDelete(cached_answers="Delete", topics="Delete"),
)
NAMES_ITS_TOPIC = StreamSpec(sink=TopicRef(topic="reviews.raw"))


def settling(
    registry: Registry, inbox: Inbox, answers: Answers, topics: Topics, **options: Any
) -> Leavings:
    return Leavings(
        registry,
        inbox,
        answers,
        lambda: topics,
        store_seconds=long_after(registry),
        **options,
    )


@pytest.mark.parametrize("anew", [{"reviews": GONE}, {"other": NAMES_ITS_TOPIC}])
async def test_what_was_written_after_a_worker_looked_keeps_its_topics_and_answers(
    registry: Registry,
    redis_client: AsyncRedis,
    keys: Keys,
    inbox: Inbox,
    anew: dict[str, StreamSpec],
) -> None:
    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    seconds_old = Registry(redis_client, keys, max_age_seconds=60)
    assert list(await seconds_old.tombstones()) == ["reviews"]
    answers, topics = Answers(away=set()), Topics(away=False)
    await registry.write(anew)

    await settling(seconds_old, inbox, answers, topics).settle()

    assert "reviews.raw" not in topics.deleted
    assert answers.asked == ([] if "reviews" in anew else ["reviews"])
    assert (await registry.all()).keys() == anew.keys()


async def test_a_look_that_began_before_a_removal_takes_no_topic_from_another_stream(
    registry: Registry, redis_client: AsyncRedis, keys: Keys, inbox: Inbox
) -> None:
    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    shared = Registry(redis_client, keys, max_age_seconds=60)
    await shared.tombstones()
    before = shared._snapshot
    await registry.write({"other": NAMES_ITS_TOPIC})
    topics = Topics(away=False)

    class Meanwhile(Answers):
        async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
            shared._snapshot = before  # as somebody who had asked before leaves it
            return 0

    await settling(shared, inbox, Meanwhile(set()), topics).settle()

    assert topics.deleted == ["reviews.raw.dlq"]


@dataclass
class HeldUp(Topics):
    """A deletion that goes on until it is let go on."""

    away: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def delete_topics(self, names: list[str]) -> list[str]:
        self.asked.set()
        await self.go_on.wait()
        return await super().delete_topics(names)


@pytest.mark.parametrize("anew", [{"reviews": GONE}, {"other": NAMES_ITS_TOPIC}])
async def test_nothing_is_written_anew_under_a_removal_and_all_else_is(
    registry: Registry, inbox: Inbox, anew: dict[str, StreamSpec]
) -> None:
    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    topics = HeldUp()
    removal = asyncio.create_task(settling(registry, inbox, Answers(set()), topics).settle())
    await topics.asked.wait()

    writing = asyncio.create_task(registry.write({**anew, "letters": SPEC}))
    while "letters" not in await registry.all():
        await asyncio.sleep(0)
    assert list(await registry.all()) == ["letters"]
    topics.go_on.set()
    await removal
    assert topics.deleted == ["reviews.raw", "reviews.raw.dlq"]
    await writing
    assert (await registry.all()).keys() == {*anew, "letters"}


async def test_who_waits_long_for_a_removal_is_told(
    registry: Registry, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstream.registry._LOOKS_AGAIN_SECONDS", (0.0,))
    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    topics = HeldUp()
    removal = asyncio.create_task(settling(registry, inbox, Answers(set()), topics).settle())
    await topics.asked.wait()

    with pytest.raises(StreamBeingRemoved, match="so reviews can't be written yet"):
        await registry.write({"reviews": GONE})
    await end(removal)  # a worker that ends in the midst of it: nobody is kept waiting for long
    monkeypatch.setattr("eventstream.registry.SETTLING_SECONDS", 0.0)
    await registry.write({"reviews": GONE})
    assert list(await registry.all()) == ["reviews"]


async def test_one_removes_at_a_time(
    registry: Registry, redis_client: AsyncRedis, keys: Keys, inbox: Inbox
) -> None:
    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    topics, answers = HeldUp(), Answers(set())
    removal = asyncio.create_task(settling(registry, inbox, answers, topics).settle())
    await topics.asked.wait()

    other = Registry(redis_client, keys, max_age_seconds=0)
    await settling(other, inbox, answers, Topics(away=False)).settle()

    assert answers.asked == ["reviews"]
    assert list(await registry.tombstones()) == ["reviews"]
    topics.go_on.set()
    await removal
    assert await registry.tombstones() == {}


async def test_a_removal_that_failed_keeps_nobody_but_one_that_may_still_happen_does(
    registry: Registry, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Topics):
        async def delete_topics(self, names: list[str]) -> list[str]:
            raise Unconfirmed("Kafka did not say what became of it")

    monkeypatch.setattr("eventstream.registry._LOOKS_AGAIN_SECONDS", ())

    async def deleted_with(topics: Topics) -> None:
        await registry.write({"reviews": GONE})
        await registry.delete("reviews")
        await settling(registry, inbox, Answers(set()), topics).settle()

    await deleted_with(Topics(away=True))
    await deleted_with(Silent())  # so it could be written
    with pytest.raises(StreamBeingRemoved):
        await registry.write({"reviews": GONE})


async def test_a_process_that_was_held_up_deletes_no_topics_any_more(
    registry: Registry, inbox: Inbox
) -> None:
    now = [0.0]

    class Slow(Answers):
        async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
            now[0] += REMOVAL_SECONDS
            return 0

    await registry.write({"reviews": GONE})
    await registry.delete("reviews")
    topics = Topics(away=False)

    await settling(registry, inbox, Slow(set()), topics, clock=lambda: now[0]).settle()

    assert topics.deleted == []
    assert list(await registry.tombstones()) == ["reviews"]


async def test_a_cluster_cache_that_is_away_is_an_unavailable_store() -> None:
    client = connect_cache("redis+cluster://127.0.0.1:1/0", timeout_seconds=1)
    cache = SemanticCache(client)

    with pytest.raises(StoreUnavailable, match="clearing the cache"):
        await cache.clear(stream="reviews")
    await client.aclose()
