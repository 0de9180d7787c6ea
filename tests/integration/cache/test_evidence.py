"""Labelled pairs in Redis: what is counted, when it begins anew, and what workers make of it."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eventstream.cache.contract import CacheAnswer, CacheEntry, CacheQuery
from eventstream.cache.evidence import (
    REFRESH_SECONDS,
    WINDOW_SECONDS,
    Evidence,
    evidence_id,
    read_evidence,
)
from eventstream.cache.keys import CacheKeys
from eventstream.cache.server import PAUSE_SECONDS
from eventstream.cache.store import SemanticCache
from eventstream.redis_client import AsyncRedis
from tests.integration.cache.support import SCOPE, OneVector, query
from tests.support.clock import Clock

BOUND = 0.05
ENOUGH = 130
"""So many agreeing pairs open the first kind of difference at this bound."""


class Worker:
    """A worker process in miniature, with a model that is told what it says."""

    def __init__(self, client: AsyncRedis, prefix: str, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self.keys = CacheKeys(prefix)
        self._seats = itertools.count()
        self.cache = SemanticCache(
            client, prefix=prefix, timeout_seconds=5, clock=clock, monotonic=clock
        )

    async def look_up(self, text: str) -> CacheAnswer:
        """What the cache has for a `bounded` stream; a second passes."""
        self.clock.now += REFRESH_SECONDS
        [answer] = await self.cache.look_up([bounded(text)], OneVector())
        return answer

    async def remember(self, text: str) -> None:
        answer = await self.look_up(text)
        await self.cache.store([CacheEntry(bounded(text), b"known", 10**8, answer.embedding)])

    async def learn(self, text: str, *, agreed: bool, times: int = 1) -> None:
        """The model's word about so many pairs like that of `text` and what was remembered."""
        answer = await self.look_up(text)
        assert answer.pair is not None
        for _ in range(times):
            like = replace(answer.pair, text=f"{answer.pair.text}, seat {next(self._seats)}")
            self.cache.learn(bounded(text), replace(answer, pair=like), agreed=agreed)
        await self.cache.flush()

    async def evidence(self) -> Evidence:
        key = self.keys.evidence(
            SCOPE.stream, SCOPE.task_type, evidence_id(bounded(""), OneVector.name)
        )
        fields: Any = await self.client.hgetall(key)
        return read_evidence(fields, self.clock())


def bounded(text: str) -> CacheQuery:
    return CacheQuery(text, SCOPE, "bounded", bound=BOUND)


@pytest.fixture
def clock() -> Clock:
    return Clock(float(500_000 * WINDOW_SECONDS))


@pytest.fixture
def make_worker(cache_client: AsyncRedis, prefix: str, clock: Clock) -> Callable[[], Worker]:
    return lambda: Worker(cache_client, prefix, clock)


@pytest.fixture
async def worker(make_worker: Callable[[], Worker]) -> Worker:
    worker = make_worker()
    await worker.remember("I ordered 2 tickets")
    return worker


async def test_pairs_are_counted_by_kinds_and_similarity(worker: Worker) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=2)
    await worker.learn("I ordered 4 tickets", agreed=False)
    await worker.learn("I ordered 5 boxes", agreed=False)

    found = await worker.evidence()

    assert found.embedding_model == OneVector.name
    assert {name: (each.rank, each.epoch) for name, each in found.kinds.items()} == {
        "number": (1, 0),
        "number+word_replaced": (2, 0),
    }
    number = found.kinds["number"].counts[100]
    assert (number.agreed, number.disagreed) == (2, 1)


async def test_what_is_learned_while_the_server_is_left_alone_is_told_afterwards(
    worker: Worker,
) -> None:
    answer = await worker.look_up("I ordered 3 tickets")
    worker.cache.learn(bounded("I ordered 3 tickets"), answer, agreed=True)
    worker.cache._pipelines._failed("away", aside=False)
    await worker.cache.flush()
    await worker.cache.look_up([bounded("I ordered 3 tickets")], None)
    worker.clock.now += PAUSE_SECONDS
    await worker.cache.flush()

    number = (await worker.evidence()).kinds["number"].counts[100]
    assert (number.agreed, number.disagreed) == (1, 0)


async def test_a_pair_that_comes_back_is_no_second_opinion(
    worker: Worker, make_worker: Callable[[], Worker]
) -> None:
    """Until its answer has expired it is asked again, by any process and in any order."""
    other = make_worker()
    for each, text in ((worker, "I ordered 3 tickets"), (other, "I ORDERED 3 tickets.")):
        answer = await each.look_up(text)
        for _ in range(5):
            each.cache.learn(bounded(text), answer, agreed=True)
        await each.cache.flush()

    number = (await worker.evidence()).kinds["number"].counts[100]
    worker.clock.now += WINDOW_SECONDS
    await worker.learn("I ordered 5 tickets", agreed=True)
    later = (await worker.evidence()).kinds["number"].counts[100]

    assert (number.agreed, later.agreed) == (1, 2)


async def test_without_evidence_bounded_does_what_guarded_does(worker: Worker) -> None:
    for text in ("Hi, I ordered 2 tickets", "I ordered 3 tickets", "I did not order 2 tickets"):
        [guarded] = await worker.cache.look_up([query(text)], OneVector())
        [found] = await worker.cache.look_up([bounded(text)], OneVector())

        assert (found.outcome, found.refused_kinds) == (guarded.outcome, guarded.refused_kinds)


async def test_enough_pairs_open_their_kind_and_no_other(
    worker: Worker, make_worker: Callable[[], Worker]
) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=ENOUGH // 2)
    assert (await worker.look_up("I ordered 4 tickets")).outcome == "near_miss"

    await worker.learn("I ordered 5 tickets", agreed=True, times=ENOUGH // 2)

    # Another process knows it too.
    elsewhere = make_worker()
    hit = await elsewhere.look_up("I ordered 6 tickets")
    assert (hit.outcome, hit.response) == ("semantic", b"known")
    assert (await elsewhere.look_up("I ordered 6 boxes")).outcome == "near_miss"


async def test_wrong_answers_close_a_kind_at_once_everywhere(
    worker: Worker, make_worker: Callable[[], Worker]
) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=20 * ENOUGH)
    elsewhere = make_worker()
    assert (await elsewhere.look_up("I ordered 4 tickets")).outcome == "semantic"

    await worker.learn("I ordered 5 tickets", agreed=False, times=2)

    assert (await worker.look_up("I ordered 6 tickets")).outcome == "near_miss"
    assert (await elsewhere.look_up("I ordered 6 tickets")).outcome == "near_miss"
    found = (await worker.evidence()).kinds["number"]
    assert (found.epoch, found.counts) == (1, {})


async def test_a_closed_kind_opens_again_when_it_has_shown_more(worker: Worker) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=ENOUGH)
    await worker.learn("I ordered 4 tickets", agreed=False, times=2)

    await worker.learn("I ordered 5 tickets", agreed=True, times=ENOUGH)
    assert (await worker.look_up("I ordered 6 tickets")).outcome == "near_miss"
    await worker.learn("I ordered 7 tickets", agreed=True, times=ENOUGH // 2)

    assert (await worker.look_up("I ordered 8 tickets")).outcome == "semantic"


async def test_what_was_refused_rings_no_alarm(worker: Worker) -> None:
    """A kind that was never given can't have become wrong: it just is."""
    await worker.learn("I ordered 3 tickets", agreed=False, times=30)

    found = (await worker.evidence()).kinds["number"]

    assert (found.epoch, found.counts[100].disagreed) == (0, 30)


async def test_a_check_of_an_earlier_epoch_rings_no_second_alarm(worker: Worker) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=ENOUGH)
    given = await worker.look_up("I ordered 4 tickets")
    for _ in range(10):  # all under way when the first two come back
        worker.cache.learn(bounded("I ordered 4 tickets"), given, agreed=False)
    await worker.cache.flush()

    found = (await worker.evidence()).kinds["number"]

    assert (found.epoch, found.counts[100].disagreed) == (1, 8)


async def test_harmless_differences_close_too_where_they_turn_out_wrong(worker: Worker) -> None:
    text = "Hi, I ordered 2 tickets"
    await worker.learn(text, agreed=False, times=2)

    refused = await worker.look_up(text)

    assert (refused.outcome, refused.refused_kinds) == ("near_miss", ("disproved",))


async def test_evidence_ages(worker: Worker, clock: Clock) -> None:
    await worker.learn("I ordered 3 tickets", agreed=True, times=ENOUGH)
    clock.now += WINDOW_SECONDS
    assert (await worker.look_up("I ordered 4 tickets")).outcome == "semantic"

    clock.now += WINDOW_SECONDS

    assert (await worker.look_up("I ordered 4 tickets")).outcome == "near_miss"
    await worker.learn("I ordered 5 tickets", agreed=True)
    fields = await worker.client.hgetall((await keys_of(worker))[0])
    assert sum(b"|agreed" in name for name in fields) == 1  # the old window is gone


async def test_a_scope_with_many_kinds_stays_small(worker: Worker) -> None:
    key = worker.keys.evidence(
        SCOPE.stream, SCOPE.task_type, evidence_id(bounded(""), OneVector.name)
    )
    await worker.client.hset(key, mapping={"kinds": 64, "window": 500_000})

    await worker.learn("I ordered 3 tickets", agreed=True)

    assert (await worker.evidence()).kinds == {}
    # What differs in nothing that matters is given from the first day, and watched from the first.
    await worker.learn("Hi, I ordered 2 tickets", agreed=False)
    assert list((await worker.evidence()).kinds) == [""]


async def keys_of(worker: Worker) -> list[bytes]:
    pattern = f"{worker.keys.prefix}cache:evidence:*"
    return [key async for key in worker.client.scan_iter(match=pattern)]


async def test_scopes_and_embedding_models_learn_apart(worker: Worker) -> None:
    other = CacheQuery("x", SCOPE.__class__("reviews", "classification", "m2", "v1", "p1"))

    assert evidence_id(bounded("x"), "a") != evidence_id(bounded("x"), "b")
    assert evidence_id(bounded("x"), "a") != evidence_id(other, "a")


async def test_learning_costs_no_round_trip_of_its_own(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await worker.look_up("I ordered 3 tickets")
    trips = 0
    execute = worker.cache._pipelines.execute

    async def counted(pipeline: object) -> object:
        nonlocal trips
        trips += 1
        return await execute(pipeline)

    monkeypatch.setattr(worker.cache._pipelines, "execute", counted)
    worker.cache.learn(bounded("I ordered 3 tickets"), answer, agreed=True)
    await worker.cache.store([CacheEntry(bounded("I ordered 3 tickets"), b"x", 60)])
    [exact] = await worker.cache.look_up([bounded("I ordered 3 tickets")], OneVector())

    assert exact.outcome == "exact"
    assert trips == 2
    assert (await worker.evidence()).kinds["number"].counts[100].agreed == 1


async def test_evidence_that_can_not_be_written_is_dropped(
    worker: Worker, cache_client: AsyncRedis
) -> None:
    """Nothing waits for it, and it is never counted twice."""
    key = worker.keys.evidence(
        SCOPE.stream, SCOPE.task_type, evidence_id(bounded(""), OneVector.name)
    )
    await cache_client.set(key, "not a hash")

    await worker.learn("I ordered 3 tickets", agreed=True)
    answer = await worker.look_up("I ordered 3 tickets")

    assert answer.unavailable == ""
    assert await cache_client.get(key) == b"not a hash"
