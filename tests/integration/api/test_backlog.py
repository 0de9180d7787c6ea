"""What waits: the estimate, the bound, and the gauges."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.support.clock import Clock

from eventstream.api.backlog import BacklogWatch
from eventstream.claims import Arrival, Held
from eventstream.events import Event
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.results import Results
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream.tasks import end

Answer = Callable[..., Awaitable[list[Held]]]


def events(count: int) -> list[Arrival]:
    return [
        Arrival(
            Event(
                id=f"event-{number}",
                stream="default",
                via="http",
                text="How is it?",
                task_type="general_analysis",
                temperature=0.7,
                max_tokens=1000,
            )
        )
        for number in range(count)
    ]


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def watch(inbox: Inbox, results: Results, registry: Registry, clock: Clock) -> BacklogWatch:
    """A watch over one stream, for at most five unfinished events."""
    await registry.ensure_default(Settings())
    return BacklogWatch(inbox, results, registry, max_backlog=5, clock=clock)


async def test_nothing_known_yet(watch: BacklogWatch) -> None:
    await watch.refresh()
    assert watch.estimated_seconds("default") == 2.0
    assert not watch.full


async def test_the_estimate_is_work_plus_waiting_over_rate(
    watch: BacklogWatch, inbox: Inbox, clock: Clock, answer: Answer
) -> None:
    await watch.refresh()
    await inbox.accept(events(4))
    await answer()  # four events, a quarter of a second of work each
    clock.now += 2  # so two a second
    await inbox.accept(events(7))  # four of them known, three new
    await watch.refresh()
    assert watch.estimated_seconds("default") == pytest.approx(0.25 + 3 / 2)


async def test_a_rate_older_than_its_window_is_no_rate(
    watch: BacklogWatch, inbox: Inbox, clock: Clock, answer: Answer
) -> None:
    await watch.refresh()
    await inbox.accept(events(4))
    await answer()
    clock.now += 1
    await watch.refresh()
    clock.now += 31
    await watch.refresh()
    await watch.refresh()
    assert watch.estimated_seconds("default") == 0.25


async def test_full_from_the_limit_on_and_a_burst_does_not_overshoot(
    watch: BacklogWatch, inbox: Inbox, answer: Answer
) -> None:
    await watch.refresh()
    await inbox.accept(events(4))
    watch.note_accepted(4)
    seen = [watch.full]
    watch.note_accepted(1)
    seen.append(watch.full)
    await watch.refresh()
    seen.append(watch.full)
    assert seen == [False, True, False]
    await answer()
    await watch.refresh()
    watch.note_accepted(5)
    assert watch.full


async def test_an_api_that_was_held_up_knows_no_deleted_stream(
    redis_client: AsyncRedis,
    keys: Keys,
    inbox: Inbox,
    results: Results,
    registry: Registry,
    clock: Clock,
) -> None:
    await registry.write({"reviews": StreamSpec()})
    its_own = Registry(redis_client, keys, clock=clock)
    watch = BacklogWatch(inbox, results, its_own, max_backlog=5, clock=clock)
    await watch.refresh()
    await registry.delete("reviews")
    assert await watch.find_stream("reviews") is not None, "read without waiting"

    clock.now += 60  # its requests waited in the socket meanwhile

    assert await watch.find_stream("reviews") is None


async def test_a_pass_that_fails_is_not_the_last(
    watch: BacklogWatch, redis_client: AsyncRedis, keys: Keys
) -> None:
    await redis_client.hset(keys.counters("default"), "answered", "not a number")
    running = asyncio.create_task(watch.run(0.001))
    while not watch.streams:
        await asyncio.sleep(0.001)
    await redis_client.hset(keys.counters("default"), "answered", "1")
    while watch.estimated_seconds("default") != 0:
        await asyncio.sleep(0.001)
    await end(running)


@pytest.mark.parametrize("name", ["inbox:reviews", "deferred:reviews", "counters:reviews"])
async def test_a_key_of_another_program_costs_the_figures_of_no_other_stream(
    watch: BacklogWatch,
    inbox: Inbox,
    registry: Registry,
    redis_client: AsyncRedis,
    keys: Keys,
    answer: Answer,
    name: str,
) -> None:
    await registry.write({"reviews": StreamSpec()})
    await redis_client.set(keys.prefix + name, "of another program")
    await inbox.accept(events(4))
    await answer()
    await inbox.accept(events(7))

    await watch.refresh()

    labels = {"stream": "default", "queue": "ai_processing"}
    assert REGISTRY.get_sample_value("eventstream_queue_length", labels) == 3
    assert watch.estimated_seconds("default") == 0.25
    labels = {"stream": "reviews", "queue": "reviews"}
    assert REGISTRY.get_sample_value("eventstream_queue_length", labels) == 0


async def test_the_gauges_follow_and_go_with_their_stream(
    watch: BacklogWatch, inbox: Inbox, registry: Registry
) -> None:
    await inbox.accept(events(3))
    [held] = (await inbox.claim("ai_processing", "worker", 1)).fresh
    await inbox.put_back("worker", [held.wait(60)])
    await watch.refresh()
    labels = {"stream": "default", "queue": "ai_processing"}
    assert REGISTRY.get_sample_value("eventstream_queue_length", labels) == 2
    assert REGISTRY.get_sample_value("eventstream_deferred_events", labels) == 1
    assert REGISTRY.get_sample_value("eventstream_oldest_event_seconds", labels) is not None
    await registry.delete("default")
    await watch.refresh()
    for gauge in ("queue_length", "deferred_events", "oldest_event_seconds"):
        assert REGISTRY.get_sample_value(f"eventstream_{gauge}", labels) is None


async def test_a_full_backlog_is_503_with_a_time_to_come_back(
    open_client: Callable[..., Any],
) -> None:
    async with open_client(api_max_backlog=10) as client:
        answers = [await client.post("/process", json={"text": "a"}) for _ in range(11)]
        batch = await client.post("/process/batch", json={"events": [{"text": "a"}]})
    assert answers[0].status_code == 202
    assert answers[10].status_code == batch.status_code == 503
    assert answers[10].json()["reason"] == batch.json()["reason"] == "backlog_full"
    assert int(answers[10].headers["retry-after"]) > 0
