"""Single flight: the same question, asked twice at once, is asked of the model once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventstream.cache.contract import CacheEntry, CacheQuery
from eventstream.cache.flight import FlightLease, Flights, FlightWait
from eventstream.cache.keys import CacheKeys
from eventstream.cache.server import BoundedPipelines
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import query
from tests.support.clock import Clock


class Process:
    """A worker process in miniature: looks up, claims, asks a model, stores."""

    def __init__(self, client: AsyncRedis, prefix: str, model: "SlowModel") -> None:
        self.cache = SemanticCache(client, prefix=prefix, timeout_seconds=5)
        self.model = model

    async def answer(self, asked: CacheQuery) -> bytes:
        while True:
            found = (await self.cache.look_up([asked], None))[0]
            if found.response is not None:
                return found.response
            claim, again = await self.cache.lead(asked)
            if isinstance(claim, FlightLease):
                async with claim:
                    if again.response is not None:
                        return again.response
                    response = await self.model.ask(asked.text)
                    await self.cache.store([CacheEntry(asked, response, 60)], claim)
                    return response
            await claim.wait()


class SlowModel:
    """A model that answers once it is told to, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def ask(self, text: str) -> bytes:
        self.calls += 1
        self.asked.set()
        await self.may_answer.wait()
        return b"answer"


def pipelines(client: AsyncRedis) -> BoundedPipelines:
    return BoundedPipelines(client, timeout_seconds=5, monotonic=time.monotonic)


def flights(client: AsyncRedis, prefix: str, *, lease_seconds: float = 5.0) -> Flights:
    return Flights(
        pipelines(client),
        CacheKeys(prefix),
        clock=time.monotonic,
        lease_seconds=lease_seconds,
        tick_seconds=0.01,
    )


async def never(seconds: float) -> None:
    """A sleep that does not end: its process has stopped doing anything."""
    await asyncio.Event().wait()


async def test_one_question_in_many_processes_is_asked_once(
    cache_client: AsyncRedis, prefix: str
) -> None:
    model = SlowModel()
    processes = [Process(cache_client, prefix, model) for _ in range(3)]

    async with asyncio.TaskGroup() as group:
        # Each process has the question four times, as a stream full of copies has.
        tasks = [
            group.create_task(process.answer(query("Where is my parcel?")))
            for process in processes
            for _ in range(4)
        ]
        await model.asked.wait()
        model.may_answer.set()

    assert [task.result() for task in tasks] == [b"answer"] * 12
    assert model.calls == 1
    for process in processes:
        await process.cache.aclose()


async def test_an_answer_that_came_between_look_up_and_lead_is_found(
    cache: SemanticCache,
) -> None:
    await cache.look_up([query("Where?")], None)
    await cache.store([CacheEntry(query("Where?"), b"here", 60)])

    claim, again = await cache.lead(query("Where?"))

    assert isinstance(claim, FlightLease)
    assert again.response == b"here"
    (window,) = await cache.histogram("reviews")
    assert window.outcomes == {"miss": 1}


async def test_a_stored_answer_gives_its_lead_up_in_every_process(
    cache: SemanticCache, cache_client: AsyncRedis, prefix: str
) -> None:
    other = SemanticCache(cache_client, prefix=prefix, timeout_seconds=5)
    lead, _ = await cache.lead(query("Where?"))
    here, _ = await cache.lead(query("Where?"))
    there, _ = await other.lead(query("Where?"))
    assert isinstance(lead, FlightLease)
    assert isinstance(here, FlightWait)
    assert isinstance(there, FlightWait)

    await cache.store([CacheEntry(query("Where?"), b"here", 60)], lead)

    async with asyncio.timeout(10):
        assert await here.wait()
        assert await there.wait()
    (_, found) = await other.lead(query("Where?"))
    assert found.response == b"here"
    await other.aclose()


async def test_a_lead_is_given_up_when_the_look_under_it_is_interrupted(
    cache: SemanticCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster the look is a round trip; a lead that nobody has is renewed for ever."""

    async def interrupted(asked: CacheQuery) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(cache, "_clustered", True)
        patched.setattr(cache, "look_again", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await cache.lead(query("Where?"))

    assert isinstance((await cache.lead(query("Where?")))[0], FlightLease)


async def test_one_claim_of_many_keys_leads_each_of_them_once(
    cache_client: AsyncRedis, prefix: str
) -> None:
    mine, theirs = flights(cache_client, prefix), flights(cache_client, prefix)

    first = await mine.claim(["a", "b", "a"])
    second = await theirs.claim(["a", "c"])

    assert [type(claim) for claim in first] == [FlightLease, FlightLease, FlightWait]
    assert [type(claim) for claim in second] == [FlightWait, FlightLease]
    await mine.aclose()
    await theirs.aclose()


async def test_claims_at_the_same_moment_have_one_leader(
    cache_client: AsyncRedis, prefix: str
) -> None:
    processes = [flights(cache_client, prefix) for _ in range(5)]

    claims = await asyncio.gather(*(each.claim(["q"]) for each in processes for _ in range(3)))

    leads = [claim for (claim,) in claims if isinstance(claim, FlightLease)]
    waits = [claim for (claim,) in claims if isinstance(claim, FlightWait)]
    assert (len(leads), len(waits)) == (1, 14)
    await leads[0].release()
    assert await asyncio.gather(*(wait.wait() for wait in waits)) == [True] * 14
    for each in processes:
        await each.aclose()


async def test_after_the_leader_the_next_may_lead(cache_client: AsyncRedis, prefix: str) -> None:
    mine, theirs = flights(cache_client, prefix), flights(cache_client, prefix)
    (lead,) = await mine.claim(["q"])
    (wait,) = await theirs.claim(["q"])
    assert isinstance(lead, FlightLease)
    assert isinstance(wait, FlightWait)

    await lead.release()

    assert await wait.wait()
    assert isinstance((await theirs.claim(["q"]))[0], FlightLease)
    await mine.aclose()
    await theirs.aclose()


async def test_a_dead_leader_is_replaced(cache_client: AsyncRedis, prefix: str) -> None:
    dead = Flights(
        pipelines(cache_client),
        CacheKeys(prefix),
        clock=time.monotonic,
        lease_seconds=0.1,
        sleep=never,
    )
    await dead.claim(["q"])
    alive = flights(cache_client, prefix)
    (wait,) = await alive.claim(["q"])
    assert isinstance(wait, FlightWait)

    assert await wait.wait()

    assert isinstance((await alive.claim(["q"]))[0], FlightLease)
    await alive.aclose()
    await dead.aclose()


async def test_a_living_leader_keeps_its_lead(cache_client: AsyncRedis, prefix: str) -> None:
    """Its lease is shorter than its question takes; renewing keeps the others waiting."""
    renewals = asyncio.Semaphore(0)

    async def counted_sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        renewals.release()

    leader = Flights(
        pipelines(cache_client),
        CacheKeys(prefix),
        clock=time.monotonic,
        lease_seconds=1.5,
        tick_seconds=0.2,
        sleep=counted_sleep,
    )
    other = flights(cache_client, prefix)
    await leader.claim(["q"])
    for _ in range(12):
        await renewals.acquire()

    assert isinstance((await other.claim(["q"]))[0], FlightWait)
    await other.aclose()
    await leader.aclose()


async def test_a_lead_that_was_lost_is_not_taken_from_its_new_owner(
    cache_client: AsyncRedis, prefix: str
) -> None:
    late, prompt = flights(cache_client, prefix), flights(cache_client, prefix)
    (lead,) = await late.claim(["q"])
    assert isinstance(lead, FlightLease)
    await cache_client.delete(CacheKeys(prefix).flight("q"))
    await prompt.claim(["q"])

    await lead.release()

    assert await cache_client.exists(CacheKeys(prefix).flight("q"))
    await late.aclose()
    await prompt.aclose()


async def test_a_wait_is_bounded(cache_client: AsyncRedis, prefix: str) -> None:
    leader = flights(cache_client, prefix)
    await leader.claim(["q"])
    impatient = Flights(
        pipelines(cache_client),
        CacheKeys(prefix),
        clock=time.monotonic,
        longest_wait_seconds=0.05,
    )
    (wait,) = await impatient.claim(["q"])
    assert isinstance(wait, FlightWait)

    assert not await wait.wait()
    await leader.aclose()
    await impatient.aclose()


class Overtaken(BoundedPipelines):
    """Something else reaches Redis before the next pipeline does."""

    before: Callable[[], Awaitable[None]] | None = None

    async def execute(self, pipeline: Any) -> tuple[list[Any] | None, str]:
        before, self.before = self.before, None
        if before is not None:
            await before()
        return await super().execute(pipeline)


async def test_a_lead_given_up_while_it_is_renewed_is_nobodys(
    cache_client: AsyncRedis, prefix: str
) -> None:
    clock = Clock(0.0)
    keys = CacheKeys(prefix)
    overtaken = Overtaken(cache_client, timeout_seconds=5, monotonic=time.monotonic)
    ours = Flights(overtaken, keys, clock=clock, lease_seconds=60, tick_seconds=0.01)
    [lease] = await ours.claim(["question"])
    assert isinstance(lease, FlightLease)
    tending = ours._tending
    assert tending is not None

    overtaken.before = lease.release
    clock.now = 30.0  # its renewal is due
    await asyncio.wait_for(tending, 30)  # without leads and waits there is nothing left to tend
    assert await cache_client.get(keys.flight("question")) is None
