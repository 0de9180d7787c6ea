"""Back-pressure on a real inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.clock import Clock
from tests.support.events import an_answer, an_event

from eventstream.claims import Arrival, Depth
from eventstream.consumer.backlog import LOOK_EVERY_SECONDS, Backlog
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_KAFKA, Keys
from eventstream.redis_client import AsyncRedis, connect


class Counted(Inbox):
    """Counts how often it was asked how full it is."""

    looks = 0

    async def depth(self, queues: Sequence[str]) -> dict[str, Depth]:
        self.looks += 1
        return await super().depth(queues)


@pytest.fixture
def counted(redis_client: AsyncRedis, keys: Keys) -> Counted:
    return Counted(redis_client, keys, result_ttl_seconds=3600, lease_seconds=30)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlog(counted: Counted, clock: Clock) -> Backlog:
    return Backlog(counted, "default", [QUEUE_KAFKA], 10, clock=clock)


async def accept(inbox: Inbox, backlog: Backlog, events: int, name: str = "e") -> None:
    arrivals = [Arrival(an_event(f"{name}-{n}", via="kafka")) for n in range(events)]
    await inbox.accept(arrivals)
    backlog.add(events)


async def answer(inbox: Inbox, events: int) -> None:
    claim = await inbox.claim(QUEUE_KAFKA, "worker", events)
    await inbox.finish([an_answer(held) for held in claim.fresh])


async def test_it_looks_once_a_second_while_there_is_room(
    counted: Counted, backlog: Backlog, clock: Clock
) -> None:
    for _ in range(5):
        await backlog.wait_for_room(asyncio.Event())
    assert counted.looks == 1

    clock.now += LOOK_EVERY_SECONDS
    await backlog.wait_for_room(asyncio.Event())
    assert counted.looks == 2


async def test_what_was_accepted_since_the_last_look_counts(
    counted: Counted, backlog: Backlog
) -> None:
    await backlog.wait_for_room(asyncio.Event())
    await accept(counted, backlog, 11)

    waiting = asyncio.create_task(backlog.wait_for_room(asyncio.Event()))
    while counted.looks < 3:
        await asyncio.sleep(0.01)
    assert not waiting.done()

    await answer(counted, 5)  # 6 are left: above half of the limit
    looks = counted.looks
    while counted.looks < looks + 2:
        await asyncio.sleep(0.01)
    assert not waiting.done()

    await answer(counted, 1)
    await waiting


async def test_events_in_flight_and_deferred_count_as_unfinished(
    counted: Counted, backlog: Backlog
) -> None:
    await accept(counted, backlog, 11)
    claim = await counted.claim(QUEUE_KAFKA, "worker", 11)
    held = claim.fresh[0]
    await counted.put_back("worker", [held.wait(3600.0)])

    stop = asyncio.Event()
    waiting = asyncio.create_task(backlog.wait_for_room(stop))
    while counted.looks < 3:
        await asyncio.sleep(0.01)

    assert not waiting.done()
    stop.set()
    await waiting


async def test_a_redis_that_is_away_is_left_to_accepting(keys: Keys) -> None:
    nowhere = connect("redis://127.0.0.1:1/0", timeout_seconds=1)
    inbox = Inbox(nowhere, keys, result_ttl_seconds=3600, lease_seconds=30)

    await Backlog(inbox, "default", [QUEUE_KAFKA], 10).wait_for_room(asyncio.Event())

    await nowhere.aclose()
