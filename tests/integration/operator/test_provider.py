"""What the provider lets through, as the operator reads it from the buckets that workers share.

Real Redis, and the real Limiter on the workers' side.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from kubernetes.aio import client

from eventstream.claims import Arrival
from eventstream.heartbeat import Heartbeats, ModelInUse, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.failures import ErrorKind
from eventstream.llm.in_use import models_in_use
from eventstream.llm.limits import Advertised, Freeze, Limit, Limiter, Quantity, Reservation
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream_operator.cluster import Cluster
from eventstream_operator.observe.observation import Frozen, ProviderUse
from eventstream_operator.observe.observer import Observer
from eventstream_operator.world import World
from tests.support.clock import Clock
from tests.support.events import an_event
from tests.support.redis_server import free_port

KEY = "sk-a-real-looking-secret"
SETTINGS = Settings.model_validate({"openai_api_key": KEY})
REVIEWS = StreamSpec.model_validate(
    {"model": {"name": "gpt-4o-mini", "allow": ["gpt-4o"]}, "limits": {"requestsPerMinute": 100}}
)
UNLIMITED = StreamSpec.model_validate({"model": {"name": "gpt-4o-mini"}})


@dataclass
class Scene:
    """Workers of the stream `reviews` on one side, the operator's observer on the other."""

    redis: AsyncRedis
    keys: Keys
    observer: Observer
    clock: Clock
    spec: StreamSpec = REVIEWS
    limiter: Limiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.redis, self.keys)

    async def beat(self, *, worker: str = "w@pod", key: str = KEY, says: bool = True) -> None:
        """A worker's heartbeat; an older worker does not say which models it uses."""
        settings = Settings.model_validate({"openai_api_key": key})
        models = {"reviews": models_in_use(self.spec, settings, {})} if says else {}
        beat = WorkerHeartbeat(
            name=worker,
            pid=1,
            started_at=0,
            beat_at=0,
            concurrency=4,
            queues=["reviews"],
            registered_tasks=[],
            models=models,
        )
        await Heartbeats(self.redis, self.keys).beat(beat, 600)

    def model(self, place: int = 0, key: str = KEY) -> ModelInUse:
        settings = Settings.model_validate({"openai_api_key": key})
        return models_in_use(self.spec, settings, {})[place]

    async def call(
        self,
        *,
        place: int = 0,
        key: str = KEY,
        said: Advertised | None = None,
        freeze: Freeze | None = None,
    ) -> bool:
        """One call of a worker; whether it was let through."""
        model = self.model(place, key)
        limit = Limit(model.requests, model.requests_period_seconds, model.tokens)
        got = await self.limiter.reserve(model.bucket, limit, tokens=10, holder=uuid.uuid4().hex)
        if isinstance(got, Reservation):
            await self.limiter.settle(got, tokens=10, said=said, freeze=freeze)
        return isinstance(got, Reservation)

    async def answered(self, calls: int) -> None:
        """What a call that brought an answer adds to the day's usage."""
        spending = Spending(self.redis, self.keys)
        await spending.record(
            spending.no_hold("reviews"), calls=calls, tokens=Tokens(1, 1), cost=None
        )

    async def look(self) -> ProviderUse:
        """One pass."""
        self.clock.now += 2
        await self.observer.refresh({"reviews": self.spec})
        provider = self.observer.observe("reviews").provider
        assert provider is not None
        return provider.value

    async def know_the_workers(self) -> None:
        """Names, then heartbeats, then buckets: in the third pass all of it is known."""
        for _ in range(3):
            await self.look()


@pytest.fixture
async def scene(redis_client: AsyncRedis, keys: Keys) -> AsyncIterator[Scene]:
    clock = Clock()
    nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
    async with Cluster(nowhere, "ai", timeout_seconds=1, clock=clock) as cluster:
        observer = Observer(
            Settings(eventstream_prefix=keys.prefix),
            state=redis_client,
            cache=redis_client,
            cluster=cluster,
            world=World(),
            labels="",
            clock=clock,
        )
        yield Scene(redis_client, keys, observer, clock)


async def test_a_retry_after_is_seen_with_its_seconds(scene: Scene) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await scene.call(freeze=Freeze(40, ErrorKind.RATE_LIMITED))
    assert not await scene.call()
    use = await scene.look()
    assert use.frozen is not None
    assert (use.frozen.model, use.frozen.cause) == ("openai (gpt-4o-mini)", "rate_limited")
    assert use.frozen.everything
    assert 30 < use.frozen.seconds <= 40
    # The 429 itself, and the call that was held back by it.
    assert use.throttled == 2


async def test_a_configured_limit_counts_everybodys_calls_and_who_had_to_wait(
    scene: Scene,
) -> None:
    await scene.beat()
    await scene.know_the_workers()
    assert [await scene.call() for _ in range(105)].count(True) == 100
    await scene.answered(60)
    use = await scene.look()
    requests = use.requests_per_minute
    assert requests is not None
    # 40 of them were calls of other streams on the same account.
    assert (requests.limit, requests.used, requests.own) == (100, 100, 60)
    assert (use.calls, use.throttled) == (60, 5)
    scene.clock.now += 61
    assert (await scene.look()).throttled == 0


async def test_a_neighbours_lower_limit_on_the_same_account_holds_back_only_the_neighbour(
    scene: Scene,
) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await scene.call()
    model = scene.model()
    for holder in "abc":
        neighbour = await scene.limiter.reserve(model.bucket, Limit(1), tokens=1, holder=holder)
        assert not isinstance(neighbour, Reservation)
    use = await scene.look()
    assert use.throttled == 0
    assert use.requests_per_minute is not None
    assert (use.requests_per_minute.limit, use.requests_per_minute.used) == (100, 1)


async def test_a_limit_that_only_the_providers_headers_state(scene: Scene) -> None:
    scene.spec = UNLIMITED
    await scene.beat()
    await scene.know_the_workers()
    assert (await scene.look()).requests_per_minute is None
    said = Advertised(requests=Quantity(limit=60, remaining=2, reset_seconds=58))
    await scene.call(said=said)
    requests = (await scene.look()).requests_per_minute
    assert requests is not None
    assert requests.said_by_provider
    assert (requests.limit, requests.per_second) == (60, 1)
    assert 56 < requests.used <= 58


@pytest.mark.parametrize(
    ("kind", "cause"), [(ErrorKind.AUTH, "key_refused"), (ErrorKind.QUOTA, "account_spent")]
)
async def test_a_refusal_lasts_until_a_call_is_answered(
    scene: Scene, kind: ErrorKind, cause: str
) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await scene.call(freeze=Freeze(60, kind))
    assert not await scene.call()
    use = await scene.look()
    assert use.frozen is not None
    assert use.frozen.cause == cause
    # Nobody was throttled: a rate limit it is not.
    assert use.throttled == 0
    # The freeze is over, and the next attempt under way.
    await scene.redis.delete(scene.keys.limit(scene.model().bucket))
    scene.clock.now += 60
    assert (await scene.look()).frozen == Frozen("openai (gpt-4o-mini)", use.frozen.cause, 0.0)
    await scene.answered(1)
    assert (await scene.look()).frozen is None


async def test_a_refusal_that_nobody_tries_any_more_is_forgotten(scene: Scene) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await scene.call(freeze=Freeze(60, ErrorKind.AUTH))
    await scene.look()
    await scene.redis.delete(scene.keys.limit(scene.model().bucket))
    scene.clock.now += 95
    assert (await scene.look()).frozen is None


async def test_a_model_that_only_some_events_ask_for_freezes_only_them(scene: Scene) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await scene.call(place=1, freeze=Freeze(40, ErrorKind.RATE_LIMITED))
    frozen = (await scene.look()).frozen
    assert frozen is not None
    assert (frozen.model, frozen.everything) == ("openai (gpt-4o)", False)


async def test_while_a_new_key_is_rolled_out_the_old_ones_refusal_is_not_the_streams(
    scene: Scene,
) -> None:
    await scene.beat(key="sk-old")
    await scene.know_the_workers()
    await scene.call(key="sk-old", freeze=Freeze(40, ErrorKind.AUTH))
    frozen = (await scene.look()).frozen
    assert frozen is not None
    assert frozen.everything
    await scene.beat(worker="w@new-pod")
    await scene.know_the_workers()
    frozen = (await scene.look()).frozen
    assert frozen is not None
    assert not frozen.everything


async def test_an_older_worker_says_nothing_and_a_newer_one_beside_it_enough(
    scene: Scene, inbox: Inbox
) -> None:
    await scene.beat(worker="w@old-pod", says=False)
    await inbox.accept([Arrival(an_event("put-back", stream="reviews"))])
    [held] = (await inbox.claim("reviews", "w/0", 1)).fresh
    await inbox.put_back("w/0", [held.wait(3600)])
    await scene.know_the_workers()
    use = await scene.look()
    # The configured limit and the stream's own use, as long as nothing else is known.
    assert use.requests_per_minute is not None
    assert (use.requests_per_minute.limit, use.put_back) == (100, 1)
    await scene.beat(worker="w@new-pod")
    await scene.know_the_workers()
    await scene.call(freeze=Freeze(40, ErrorKind.RATE_LIMITED))
    use = await scene.look()
    assert (use.put_back, use.throttled) == (0, 1)


async def test_buckets_of_a_stream_without_workers_are_still_looked_at(scene: Scene) -> None:
    await scene.beat()
    await scene.know_the_workers()
    await Heartbeats(scene.redis, scene.keys).forget("w@pod")
    await scene.know_the_workers()
    await scene.call(freeze=Freeze(40, ErrorKind.RATE_LIMITED))
    assert (await scene.look()).frozen is not None


async def test_an_operator_that_comes_into_the_middle_of_it_knows_that_calls_are_held_back(
    scene: Scene,
) -> None:
    scene.spec = UNLIMITED
    await scene.beat()
    for _ in range(3):
        await scene.call(freeze=Freeze(0.05, ErrorKind.RATE_LIMITED))
    # However short the freeze: who watches sees it for a minute.
    assert await scene.redis.pttl(scene.keys.limit(scene.model().bucket)) > 50_000
    await scene.know_the_workers()
    # How many there were in the last minute nobody can tell it.
    assert (await scene.look()).throttled == 1


def test_no_secret_is_in_what_workers_say() -> None:
    said = [model.model_dump_json() for model in models_in_use(REVIEWS, SETTINGS, {})]
    assert len(said) == 2
    assert all(KEY not in each for each in said)
    # The local model has no limit, and without settings there is nobody to ask.
    assert models_in_use(StreamSpec(), Settings(), {}) == []
    gemini = StreamSpec.model_validate({"model": {"provider": "gemini"}})
    assert models_in_use(gemini, Settings(), {}) == []
