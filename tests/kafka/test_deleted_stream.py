"""What a deleted stream takes along, and what it leaves: on Apache Kafka and real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from eventstream.cache.store import SemanticCache
from eventstream.claims import Arrival
from eventstream.consumer.backlog import Backlog
from eventstream.consumer.handover import Handover, Polled
from eventstream.consumer.intake import Intake
from eventstream.events import KafkaSource
from eventstream.inbox import Inbox
from eventstream.kafka.config import admin_config
from eventstream.kafka.records import SourceRecord
from eventstream.kafka.topics import KafkaAdmin, plans_for
from eventstream.redis_client import connect_cache
from eventstream.spec import OnDelete, StreamSpec, TopicRef
from eventstream.worker.leavings import QUIET_SECONDS, Leavings
from tests.integration.cache.support import SCOPE, entry, query
from tests.kafka.harness import Stream, a_text, until
from tests.support.events import an_event


@dataclass
class House:
    """A stream with topics and a cached answer, and the one that clears up behind it."""

    stream: Stream
    inbox: Inbox
    answers: SemanticCache
    leavings: Leavings
    waited_seconds: float = 0.0

    async def write(self, on_delete: OnDelete) -> StreamSpec:
        spec = self.stream.spec.model_copy(
            update={"sink": TopicRef(topic=f"{self.stream.topic}.out"), "on_delete": on_delete}
        )
        await self.stream.registry.write({"reviews": spec})
        await self.stream.tools.admin.ensure_topics(plans_for(spec))

        async def there() -> bool:
            return await self.topics_left(spec) == set(spec.topics)

        # A broker hears of a new topic a moment after it was made.
        await until(there, "the topics are there")
        await self.answers.store([entry(query("lovely", scope=replace(SCOPE, stream="reviews")))])
        return spec

    async def delete_and_wait(self) -> None:
        await self.stream.registry.delete("reviews")
        self.waited_seconds = QUIET_SECONDS + 1

    async def store_seconds(self) -> float:
        return await self.stream.registry.store_seconds() + self.waited_seconds

    async def topics_left(self, spec: StreamSpec) -> set[str]:
        return set(spec.topics) & set(await self.stream.tools.admin.topics())

    async def kept_answers(self) -> int:
        return (await self.answers.stats()).entries


@pytest.fixture
async def house(stream: Stream, inbox: Inbox, cache_url: str, prefix: str) -> AsyncIterator[House]:
    redis = connect_cache(cache_url, timeout_seconds=5)
    answers = SemanticCache(redis, prefix=prefix, timeout_seconds=5)
    settings = stream.settings
    made = House(
        stream,
        inbox,
        answers,
        Leavings(
            stream.registry,
            inbox,
            answers,
            lambda: KafkaAdmin(admin_config(settings), "the test's broker"),
            store_seconds=lambda: made.store_seconds(),
        ),
    )
    yield made
    await answers.aclose()
    await redis.aclose()


async def test_topics_and_answers_stay_unless_the_spec_says_otherwise(house: House) -> None:
    spec = await house.write(OnDelete())
    await house.delete_and_wait()

    await house.leavings.settle()

    assert await house.stream.registry.tombstones() == {}
    assert await house.topics_left(spec) == set(spec.topics)
    assert await house.kept_answers() == 1


async def test_what_the_spec_says_goes_with_the_stream(house: House) -> None:
    spec = await house.write(OnDelete(topics="Delete", cached_answers="Delete"))
    await house.delete_and_wait()

    await house.leavings.settle()

    async def gone() -> bool:
        return not await house.topics_left(spec)

    await until(gone, "end of the topics")
    assert await house.kept_answers() == 0
    assert await house.stream.registry.tombstones() == {}


async def test_a_topic_that_another_stream_names_stays(house: House) -> None:
    spec = await house.write(OnDelete(topics="Delete"))
    assert spec.sink is not None
    await house.stream.registry.write({"other": StreamSpec(sink=spec.sink)})
    await house.delete_and_wait()

    await house.leavings.settle()

    async def only_the_shared_one() -> bool:
        return await house.topics_left(spec) == {f"{house.stream.topic}.out"}

    await until(only_the_shared_one, "end of the other topics")


async def test_nothing_goes_while_events_wait_or_may_still_come(house: House) -> None:
    spec = await house.write(OnDelete(topics="Delete", cached_answers="Delete"))
    await house.inbox.accept([Arrival(an_event("a", stream="reviews"))])
    await house.stream.registry.delete("reviews")

    await house.leavings.settle()
    house.waited_seconds = QUIET_SECONDS + 1
    await house.leavings.settle()

    assert await house.topics_left(spec) == set(spec.topics)
    assert await house.kept_answers() == 1
    assert list(await house.stream.registry.tombstones()) == ["reviews"]


async def test_a_stream_that_is_there_again_keeps_everything(house: House) -> None:
    spec = await house.write(OnDelete(topics="Delete", cached_answers="Delete"))
    await house.delete_and_wait()
    await house.stream.registry.write({"reviews": spec})

    await house.leavings.settle()

    assert await house.topics_left(spec) == set(spec.topics)
    assert await house.kept_answers() == 1


@dataclass
class InHand:
    """A consumer's loop with one batch, and what it is told of its stream, look by look."""

    stream: Stream
    looks: list[bool]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_there(self) -> bool:
        if not self.looks:
            self.stop.set()
            return False
        return self.looks.pop(0)

    async def run(self) -> dict[tuple[int, int], int]:
        """What it has acknowledged at its end."""
        tools = self.stream.tools
        source = KafkaSource(topic=self.stream.topic, partition=0, offset=7, timestamp_ms=0)
        handover = Handover(asyncio.get_running_loop(), 500)
        handover.offer([Polled(SourceRecord(source, a_text("late")), 1)])
        intake = Intake(
            "reviews",
            self.stream.spec,
            handover,
            is_there=self.is_there,
            inbox=tools.inbox,
            results=tools.results,
            backlog=Backlog(tools.inbox, "reviews", ["reviews"], 1000),
            producer=tools.producer,
            wake_ups=tools.wake_ups,
            max_bytes=1000,
            now=tools.now,
        )
        running = asyncio.create_task(intake.run(self.stop))
        if self.looks[-1]:
            await self.stream.accepted(1)
            handover.close()
        await running
        assert handover.wait_until_done([0], 0), "the polling thread waits for nothing"
        return handover.acknowledged()


async def test_a_batch_in_hand_of_a_stream_that_is_gone_is_left_in_its_topic(
    stream: Stream,
) -> None:
    assert await InHand(stream, [False]).run() == {}
    assert (await stream.counters()).accepted == 0


async def test_and_it_is_accepted_where_the_stream_comes_back(stream: Stream) -> None:
    assert await InHand(stream, [False, True]).run() == {(0, 1): 8}
