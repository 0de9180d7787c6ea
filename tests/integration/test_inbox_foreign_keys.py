"""Other programs' keys beside ours in one Redis: a batch is whole, and costs no answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eventstream.answers import MOST_MICRODOLLARS
from eventstream.claims import Arrival, Cancellation, Held
from eventstream.errors import StoreUnavailable
from eventstream.events import State
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import AsyncRedis
from eventstream.results import Results
from tests.support.events import an_answer, an_event

ME = "worker-1/1"
GOOD = ("reviews", "tickets", "mails")
STREAMS = (*GOOD[:2], "support", GOOD[2])

KEYS = ("inbox:support", "counters:support")
"""Which of the keys of the stream `support` is somebody else's."""


async def taken(redis: AsyncRedis, keys: Keys, name: str) -> None:
    await redis.delete(keys.prefix + name)
    await redis.set(keys.prefix + name, "of another program")


async def held_of_all(inbox: Inbox) -> list[Held]:
    await inbox.accept([Arrival(an_event(f"of-{name}", stream=name)) for name in STREAMS])
    return [(await inbox.claim(name, ME, 1)).fresh[0] for name in STREAMS]


@pytest.mark.parametrize("name", KEYS)
async def test_a_batch_that_can_not_be_accepted_whole_is_not_accepted_at_all(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await taken(redis_client, keys, name)
    batch = [Arrival(an_event(f"of-{stream}", stream=stream)) for stream in STREAMS]

    with pytest.raises(StoreUnavailable, match=f"another program .* under {keys.prefix}{name}"):
        await inbox.accept(batch)

    assert await results.statuses([arrival.event.id for arrival in batch]) == [None] * 4
    assert {d.unfinished for d in (await inbox.depth(GOOD)).values()} == {0}
    await redis_client.delete(keys.prefix + name)
    await inbox.accept(batch)
    assert {c.open for c in (await results.counters(STREAMS)).values()} == {1}


@pytest.mark.parametrize("name", [*KEYS, "deferred:support", "deferred_entries:support"])
async def test_a_key_that_is_written_over_costs_no_answer_and_no_others_count(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    held = await held_of_all(inbox)
    await redis_client.hset(
        keys.task_meta("of-support"), mapping={"status": "RETRY", "entry": "1-1"}
    )
    await taken(redis_client, keys, name)

    assert await inbox.finish([an_answer(each) for each in held]) == [True] * 4

    statuses = await results.statuses([each.event.id for each in held])
    assert [status and status.status for status in statuses] == [State.SUCCESS] * 4
    assert {c.open for c in (await results.counters(GOOD)).values()} == {0}


@pytest.mark.parametrize("name", [*KEYS, "deferred:support", "deferred_entries:support"])
async def test_an_event_is_cancelled_whole_whatever_became_of_the_keys_around_it(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await held_of_all(inbox)
    await taken(redis_client, keys, name)

    assert await inbox.cancel("of-support") is Cancellation.CANCELLED

    [status] = await results.statuses(["of-support"])
    assert status is not None
    assert status.status is State.FAILURE


@pytest.mark.parametrize("name", ["deferred:support", "deferred_entries:support", "again:support"])
async def test_an_event_that_can_not_be_deferred_stays_where_it_is(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await inbox.accept([Arrival(an_event("a", stream="support"), raw=b"a")])
    [held] = (await inbox.claim("support", ME, 1)).fresh
    await taken(redis_client, keys, name)

    with pytest.raises(StoreUnavailable, match="another program"):
        await inbox.put_back(ME, [held.wait(60)])

    await redis_client.delete(keys.prefix + name)
    assert await inbox.put_back(ME, [held.wait(60)]) == [True]


async def test_what_is_due_stays_deferred_while_the_inbox_is_another_programs(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a", stream="support"))])
    [held] = (await inbox.claim("support", ME, 1)).fresh
    await inbox.put_back(ME, [held.wait(60)])
    await redis_client.zadd(keys.deferred("support"), {"a": 1})
    await taken(redis_client, keys, "inbox:support")

    with pytest.raises(StoreUnavailable):
        await inbox.claim("support", ME, 1)

    await redis_client.delete(keys.inbox("support"))
    assert [each.event.id for each in (await inbox.claim("support", ME, 1)).fresh] == ["a"]


async def test_a_sum_that_redis_can_not_count_costs_no_answer_and_no_other_count(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    [held] = (await held_of_all(inbox))[:1]
    await redis_client.hset(keys.counters("reviews"), "tokens", 2**63 - 1)

    assert await inbox.finish([an_answer(held)]) == [True]

    counters = (await results.counters(["reviews"]))["reviews"]
    assert (counters.open, counters.tokens, counters.cost_microdollars) == (0, 2**63 - 1, 3)


async def test_the_sum_of_a_batch_is_exact_at_the_most_that_calls_may_cost(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event(f"e-{number}")) for number in range(256)])
    held = (await inbox.claim(QUEUE_HTTP, ME, 256)).fresh
    most = MOST_MICRODOLLARS - 1

    await inbox.finish(
        [replace(an_answer(each), cost_microdollars=most, saved_microdollars=most) for each in held]
    )

    counters = (await results.counters(["default"]))["default"]
    assert (counters.cost_microdollars, counters.saved_microdollars) == (256 * most, 256 * most)
