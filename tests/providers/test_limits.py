"""The shared limit: never more than allowed in any window, everything given back, nobody starves.

Real Redis, the project's own scripts; the clock is the scenario's, so that minutes cost nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import uuid
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstream.keys import Keys
from eventstream.llm.calls import MAX_RETRY_AFTER_SECONDS
from eventstream.llm.limits import (
    Advertised,
    Freeze,
    Limit,
    Limiter,
    Quantity,
    Refused,
    Reservation,
)
from eventstream.redis_client import AsyncRedis, connect

BUCKET = "openai:abc:gpt-4o-mini"
PERIOD_SECONDS = 6.0
PERIOD_MS = 6000


class Clock:
    """Milliseconds that a scenario moves. It starts far from a slot's border."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_037

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(redis_client: AsyncRedis, keys: Keys, clock: Clock) -> Limiter:
    return Limiter(redis_client, keys, now_milliseconds=clock)


def per_period(requests: int | None = None, tokens: int | None = None) -> Limit:
    return Limit(requests, PERIOD_SECONDS, tokens, PERIOD_SECONDS)


async def admitted(limiter: Limiter, limit: Limit, tokens: int = 1, holder: str = "") -> bool:
    got = await limiter.reserve(BUCKET, limit, tokens=tokens, holder=holder or uuid.uuid4().hex)
    return isinstance(got, Reservation)


# -- tables ------------------------------------------------------------------------------------


async def test_without_a_limit_everything_goes(limiter: Limiter) -> None:
    assert all([await admitted(limiter, Limit(), 10_000) for _ in range(50)])


async def test_the_limit_is_all_used_and_not_passed(limiter: Limiter, clock: Clock) -> None:
    results = [await admitted(limiter, per_period(requests=5)) for _ in range(8)]
    assert results == [True] * 5 + [False] * 3


async def test_who_waits_has_a_place_and_gets_it(limiter: Limiter, clock: Clock) -> None:
    limit = per_period(requests=1)
    await admitted(limiter, limit, holder="first")
    waits = []
    for holder in ("second", "third"):
        got = await limiter.reserve(BUCKET, limit, tokens=1, holder=holder)
        assert isinstance(got, Refused)
        assert got.shortage == "requests"
        waits.append(got.wait_seconds)
    assert waits[0] <= PERIOD_SECONDS * 1.02
    clock.now += round(waits[0] * 1000)
    assert not await admitted(limiter, limit, holder="newcomer")
    assert await admitted(limiter, limit, holder="second")


async def test_beyond_one_period_no_place_is_kept(limiter: Limiter) -> None:
    limit = per_period(requests=1)
    waits = []
    for holder in ("now", "next", "too late"):
        got = await limiter.reserve(BUCKET, limit, tokens=1, holder=holder)
        waits.append(got.wait_seconds if isinstance(got, Refused) else 0.0)
    assert waits[2] == PERIOD_SECONDS


async def test_what_was_not_used_is_free_at_once(limiter: Limiter) -> None:
    limit = per_period(tokens=100)
    got = await limiter.reserve(BUCKET, limit, tokens=90, holder="a")
    assert isinstance(got, Reservation)
    assert not await admitted(limiter, limit, 20)
    await limiter.settle(got, tokens=5)
    assert await admitted(limiter, limit, 60)


async def test_a_request_larger_than_the_limit_runs_alone(limiter: Limiter) -> None:
    limit = per_period(tokens=100)
    assert await admitted(limiter, limit, 5_000)
    assert not await admitted(limiter, limit, 1)


async def test_a_place_that_is_left_is_free(limiter: Limiter, clock: Clock) -> None:
    limit = per_period(requests=1)
    await admitted(limiter, limit)
    first = await limiter.reserve(BUCKET, limit, tokens=1, holder="leaver")
    await limiter.leave(BUCKET, "leaver")
    second = await limiter.reserve(BUCKET, limit, tokens=1, holder="other")
    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert second.wait_seconds == first.wait_seconds


async def test_a_place_that_nobody_comes_for_is_free_soon_after_its_time(
    limiter: Limiter, clock: Clock
) -> None:
    limit = per_period(requests=1)
    await admitted(limiter, limit)
    got = await limiter.reserve(BUCKET, limit, tokens=1, holder="never comes")
    assert isinstance(got, Refused)
    clock.now += round(got.wait_seconds * 1000) + PERIOD_MS // 10
    assert await admitted(limiter, limit)


async def test_a_holder_who_is_very_late_is_still_served_before_newcomers(
    limiter: Limiter, clock: Clock
) -> None:
    limit = per_period(requests=1)
    await admitted(limiter, limit)
    waits = []
    for holder in ("second", "third"):
        got = await limiter.reserve(BUCKET, limit, tokens=1, holder=holder)
        assert isinstance(got, Refused)
        waits.append(got.wait_seconds)
    clock.now += PERIOD_MS * 3 // 2
    assert await admitted(limiter, limit, holder="second")


async def test_a_frozen_bucket_refuses_everyone_until_it_thaws(
    limiter: Limiter, clock: Clock
) -> None:
    got = await limiter.reserve(BUCKET, Limit(), tokens=1, holder="a")
    assert isinstance(got, Reservation)
    await limiter.settle(got, tokens=0, freeze=Freeze(3.0, "rate_limited"))
    refused = await limiter.reserve(BUCKET, Limit(), tokens=1, holder="b")
    assert refused == Refused(3.0, "frozen", "rate_limited")
    clock.now += 3000
    assert await admitted(limiter, Limit())


async def test_a_shorter_freeze_does_not_thaw_a_longer_one(limiter: Limiter) -> None:
    for seconds in (30.0, 1.0):
        reservation = Reservation(BUCKET, 0)
        await limiter.settle(reservation, tokens=0, freeze=Freeze(seconds, f"for {seconds}"))
    assert await limiter.reserve(BUCKET, Limit(), tokens=1, holder="b") == Refused(
        30.0, "frozen", "for 30.0"
    )


async def test_the_providers_headers_rule_without_a_limit(limiter: Limiter, clock: Clock) -> None:
    said = Advertised(requests=Quantity(limit=60, remaining=2, reset_seconds=58.0))
    await limiter.settle(Reservation(BUCKET, 0), tokens=0, said=said)
    assert [await admitted(limiter, Limit()) for _ in range(3)] == [True, True, False]
    # 58 requests come back in 58 seconds: one a second.
    clock.now += 1000
    assert [await admitted(limiter, Limit()) for _ in range(2)] == [True, False]


async def test_a_clock_that_goes_back_makes_no_freeze_longer_than_any_is(
    limiter: Limiter, clock: Clock
) -> None:
    await limiter.settle(
        Reservation(BUCKET, 0), tokens=0, freeze=Freeze(MAX_RETRY_AFTER_SECONDS, "rate_limited")
    )
    clock.now -= 1  # another server took over
    assert await admitted(limiter, Limit())

    await limiter.settle(Reservation(BUCKET, 0), tokens=0, freeze=Freeze(2.0, "rate_limited"))
    refused = await limiter.reserve(BUCKET, Limit(), tokens=1, holder="b")
    assert refused == Refused(2.0, "frozen", "rate_limited"), "a new one counts"


async def test_what_the_provider_said_refills_also_after_the_clock_went_back(
    limiter: Limiter, clock: Clock
) -> None:
    said = Advertised(requests=Quantity(limit=60, remaining=1, reset_seconds=59.0))
    await limiter.settle(Reservation(BUCKET, 0), tokens=0, said=said)
    clock.now -= 600_000
    assert [await admitted(limiter, Limit()) for _ in range(2)] == [True, False]
    clock.now += 1000
    assert [await admitted(limiter, Limit()) for _ in range(2)] == [True, False]

    await limiter.settle(
        Reservation(BUCKET, 0), tokens=0, said=Advertised(requests=Quantity(60, 0, 60.0))
    )
    clock.now -= 600_000
    got = await limiter.reserve(BUCKET, Limit(), tokens=1, holder="a")
    assert got == Refused(1.0, "requests")
    clock.now += 1000
    assert await admitted(limiter, Limit())


async def test_the_providers_token_header_says_how_long_to_wait(limiter: Limiter) -> None:
    said = Advertised(tokens=Quantity(limit=1000, remaining=100, reset_seconds=9.0))
    await limiter.settle(Reservation(BUCKET, 0), tokens=0, said=said)
    got = await limiter.reserve(BUCKET, Limit(), tokens=300, holder="a")
    assert got == Refused(2.0, "tokens")


async def test_a_configured_limit_is_above_the_headers(limiter: Limiter) -> None:
    said = Advertised(requests=Quantity(limit=60, remaining=0, reset_seconds=60.0))
    await limiter.settle(Reservation(BUCKET, 0), tokens=0, said=said)
    assert await admitted(limiter, per_period(requests=5))


async def test_buckets_do_not_touch_each_other(limiter: Limiter) -> None:
    await limiter.settle(Reservation("other", 0), tokens=0, freeze=Freeze(60, "rate_limited"))
    assert await admitted(limiter, Limit())


async def test_a_large_request_is_not_starved_by_small_ones(limiter: Limiter, clock: Clock) -> None:
    limit = per_period(tokens=100)
    due: int | None = None
    for step in range(200):
        clock.now += 100
        await admitted(limiter, limit, 10)
        if step >= 50 and (due is None or clock.now >= due):
            got = await limiter.reserve(BUCKET, limit, tokens=80, holder="large")
            if isinstance(got, Reservation):
                break
            due = clock.now + round(got.wait_seconds * 1000)
    else:
        pytest.fail("the large request never had its turn")
    # Told to come back after a period, then at most two periods ahead.
    assert step <= 50 + 3 * 61


async def test_redis_own_clock_and_many_callers_at_once(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    limiter = Limiter(redis_client, keys)
    limit = Limit(requests=10, requests_period_seconds=60)
    results = await asyncio.gather(*(admitted(limiter, limit) for _ in range(40)))
    assert sum(results) == 10


async def test_a_bucket_is_forgotten_when_nobody_uses_it(
    limiter: Limiter, redis_client: AsyncRedis, keys: Keys
) -> None:
    await admitted(limiter, per_period(requests=1), holder="a")
    await admitted(limiter, per_period(requests=1), holder="b")
    async for key in redis_client.scan_iter(match=f"{keys.prefix}*"):
        assert await redis_client.pttl(key) > 0


# -- any schedule --------------------------------------------------------------------------------


@dataclass
class Arrival:
    """One caller: when it comes, what it asks for, how its call ends."""

    gap_ms: int
    tokens: int
    used_percent: int
    made: bool
    late_ms: int
    latency_ms: int


@dataclass
class Story:
    """What happened: (time, tokens that were really used), only for requests that were made."""

    calls: list[tuple[int, int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)


arrivals = st.lists(
    st.builds(
        Arrival,
        gap_ms=st.sampled_from([0, 0, 0, 1, 50, 99, 100, 101, 700, 3000, 5999, 6000, 6001]),
        tokens=st.integers(1, 60),
        used_percent=st.integers(0, 100),
        made=st.booleans(),
        late_ms=st.sampled_from([0, 0, 0, 3, 130, 900]),
        latency_ms=st.sampled_from([0, 20, 500, 7000]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals=arrivals, requests=st.integers(1, 6), tokens=st.integers(10, 100))
def test_any_schedule_keeps_the_limit_and_everyone_has_a_turn(
    state_url: str, arrivals: list[Arrival], requests: int, tokens: int
) -> None:
    story = asyncio.run(_play(state_url, arrivals, per_period(requests, tokens)))
    for start, _ in story.calls:
        within = [used for at, used in story.calls if start <= at < start + PERIOD_MS]
        assert len(within) <= requests
        assert sum(within) <= tokens
    # A turn comes at the latest when everybody before has had a whole period to himself.
    assert max(story.waits) <= (len(arrivals) + 2) * (PERIOD_MS + 1000)


async def _play(state_url: str, arrivals: list[Arrival], limit: Limit) -> Story:
    redis = connect(state_url, timeout_seconds=5)
    keys = Keys(f"limits-{uuid.uuid4().hex}:")
    clock = Clock()
    limiter = Limiter(redis, keys, now_milliseconds=clock)
    story = Story()
    number = itertools.count()
    # (time, order, arrival, came at, its reservation)
    todo: list[tuple[int, int, Arrival, int, Reservation | None]] = []
    at = clock.now
    for arrival in arrivals:
        at += arrival.gap_ms
        heapq.heappush(todo, (at, next(number), arrival, at, None))
    holders = {id(arrival): f"event-{index}" for index, arrival in enumerate(arrivals)}
    try:
        while todo:
            at, _, arrival, came, reservation = heapq.heappop(todo)
            clock.now = at
            assert at - came <= (len(arrivals) + 2) * 2 * PERIOD_MS, "a caller starves"
            if reservation is not None:
                used = arrival.tokens * arrival.used_percent // 100 if arrival.made else 0
                used = min(used, reservation.tokens)
                await limiter.settle(reservation, tokens=used, made=arrival.made)
                continue
            got = await limiter.reserve(
                BUCKET, limit, tokens=arrival.tokens, holder=holders[id(arrival)]
            )
            if isinstance(got, Refused):
                again = at + max(1, round(got.wait_seconds * 1000)) + arrival.late_ms
                heapq.heappush(todo, (again, next(number), arrival, came, None))
                continue
            story.waits.append(at - came)
            if arrival.made:
                used = min(arrival.tokens * arrival.used_percent // 100, got.tokens)
                story.calls.append((at, used))
            heapq.heappush(todo, (at + arrival.latency_ms, next(number), arrival, came, got))
        assert len(story.waits) == len(arrivals)
        places = [key async for key in redis.scan_iter(match=keys.limit(f"{BUCKET}:place:*"))]
        assert places == []
    finally:
        async for key in redis.scan_iter(match=f"{keys.prefix}*"):
            await redis.delete(key)
        await redis.aclose()
    return story


async def test_everything_reserved_is_released(
    limiter: Limiter, redis_client: AsyncRedis, keys: Keys
) -> None:
    limit = per_period(requests=50, tokens=5000)
    reservations = [
        await limiter.reserve(BUCKET, limit, tokens=70, holder=f"h{n}") for n in range(20)
    ]
    for reservation in reservations:
        assert isinstance(reservation, Reservation)
        await limiter.settle(reservation, tokens=0, made=False)
    counted = await redis_client.hgetall(keys.limit(BUCKET))
    assert [name for name in counted if name[:2] in (b"r:", b"t:")] == []
