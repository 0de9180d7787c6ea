"""Other programs' keys beside ours in one Redis: no answer is lost, no other stream held up."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from eventstream.answers import MOST_MICRODOLLARS
from eventstream.claims import (
    Acceptance,
    Answered,
    Arrival,
    Cancellation,
    Claim,
    Failed,
    Held,
    Outcome,
)
from eventstream.errors import StoreUnavailable
from eventstream.events import State
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.pipeline import Deferral
from eventstream.redis_client import AsyncRedis
from eventstream.results import Results
from eventstream.worker.ending import Endings
from tests.support.events import an_answer, an_event

ME = "worker-1/1"
GOOD = ("reviews", "tickets", "mails")
STREAMS = (*GOOD[:2], "support", GOOD[2])

KEYS = ("inbox:support", "counters:support")
"""Which of the keys of the stream `support` is somebody else's."""
NOTHING = Claim((), (), (), suspect_waits=False, wake=False)
DEFERRING = ("deferred:support", "deferred_entries:support", "again:support")


class NothingToPublish:
    async def publish(self, held: Held, ending: Answered | Failed) -> None:
        raise AssertionError("a deferral is not published")

    async def is_due(self, held: Held, ending: Answered | Failed) -> bool:
        return False


async def taken(redis: AsyncRedis, keys: Keys, name: str) -> None:
    await redis.delete(keys.prefix + name)
    await redis.set(keys.prefix + name, "of another program")


async def held_of_all(inbox: Inbox) -> list[Held]:
    await inbox.accept([Arrival(an_event(f"of-{name}", stream=name), raw=b"-") for name in STREAMS])
    return [(await inbox.claim(name, ME, 1)).fresh[0] for name in STREAMS]


async def test_an_event_without_an_inbox_is_not_accepted_and_no_other_refused(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await taken(redis_client, keys, "inbox:support")
    batch = [Arrival(an_event(f"of-{stream}", stream=stream)) for stream in STREAMS]

    answers = await inbox.accept_each(batch)

    assert [isinstance(answer, Acceptance) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[2], StoreUnavailable)
    assert re.search(f"another program .* under {keys.prefix}inbox:support:", str(answers[2]))
    statuses = await results.statuses([arrival.event.id for arrival in batch])
    assert [status is None for status in statuses] == [False, False, True, False]
    assert {d.unfinished for d in (await inbox.depth(GOOD)).values()} == {1}
    await redis_client.delete(keys.inbox("support"))
    again = await inbox.accept(batch)
    assert [each.outcome is Outcome.ACCEPTED for each in again] == [False, False, True, False]
    assert {c.open for c in (await results.counters(STREAMS)).values()} == {1}


async def test_who_hands_in_one_stream_only_is_told_by_an_error(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await taken(redis_client, keys, "inbox:support")

    with pytest.raises(StoreUnavailable, match=f"under {keys.prefix}inbox:support:"):
        await inbox.accept([Arrival(an_event("a", stream="support"))])


async def test_what_can_not_be_counted_is_accepted_all_the_same(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await taken(redis_client, keys, "counters:support")

    held = await held_of_all(inbox)

    assert [each.event.stream for each in held] == list(STREAMS)
    assert {c.open for c in (await results.counters(GOOD)).values()} == {1}


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


@pytest.mark.parametrize("name", DEFERRING)
async def test_an_event_that_can_not_be_deferred_stays_where_it_is_and_no_other_does(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    held = await held_of_all(inbox)
    await taken(redis_client, keys, name)

    answers = await inbox.put_back(ME, [each.wait(60) for each in held])

    assert [answer for answer in answers if answer is True] == [True] * 3
    assert isinstance(answers[2], StoreUnavailable)
    assert re.search(f"another program .* under {keys.prefix}{name}:", str(answers[2]))
    assert await inbox.renew("support", ME, [held[2].entry]) == set()
    assert {depth.deferred for depth in (await inbox.depth(GOOD)).values()} == {1}
    await redis_client.delete(keys.prefix + name)
    assert await inbox.put_back(ME, [each.wait(60) for each in held]) == [False, False, True, False]
    [status] = await results.statuses(["of-support"])
    assert status is not None
    assert status.status is State.RETRY


@pytest.mark.parametrize("name", DEFERRING)
async def test_what_can_not_be_deferred_holds_up_the_deferrals_of_no_other_stream(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    held = await held_of_all(inbox)
    await taken(redis_client, keys, name)
    endings = Endings(inbox, NothingToPublish(), consumer=ME)

    tasks = [asyncio.create_task(endings.end(each, Deferral(60, "budget", "-"))) for each in held]
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks[:2], tasks[3])

    assert not tasks[2].done()
    await redis_client.delete(keys.prefix + name)
    async with asyncio.timeout(5):
        await tasks[2]
    assert {depth.deferred for depth in (await inbox.depth(STREAMS)).values()} == {1}


async def test_what_is_given_back_at_once_needs_no_place_for_what_is_deferred(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    [held] = (await held_of_all(inbox))[:1]
    await taken(redis_client, keys, f"deferred:{held.queue}")

    assert await inbox.put_back(ME, [held.wait(0)]) == [True]
    await redis_client.delete(keys.deferred(held.queue))
    assert len((await inbox.claim(held.queue, ME, 1)).fresh) == 1


async def test_what_is_due_stays_deferred_while_the_inbox_is_another_programs(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a", stream="support"))])
    [held] = (await inbox.claim("support", ME, 1)).fresh
    await inbox.put_back(ME, [held.wait(60)])
    await redis_client.zadd(keys.deferred("support"), {"a": 1})
    await taken(redis_client, keys, "inbox:support")

    assert await inbox.claim("support", ME, 1) == NOTHING

    await redis_client.delete(keys.inbox("support"))
    assert [each.event.id for each in (await inbox.claim("support", ME, 1)).fresh] == ["a"]


@pytest.mark.parametrize("name", ["inbox:support", *DEFERRING])
async def test_nothing_is_claimed_around_another_programs_key_which_is_told_once_a_time(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await inbox.accept([Arrival(an_event(f"of-{each}", stream=each)) for each in STREAMS])
    waiting = await redis_client.dump(keys.inbox("support"))
    assert waiting is not None

    with capture_logs() as lines:
        for _ in range(2):
            await taken(redis_client, keys, name)
            for _ in range(2):
                assert await inbox.claim("support", ME, 1) == NOTHING
                assert not await inbox.needs_a_worker("support")
            await redis_client.delete(keys.prefix + name)
            await redis_client.restore(keys.inbox("support"), 0, waiting, replace=True)
            await inbox.claim("support", ME, 0, suspects="peek")

    assert [line["event"] for line in lines] == ["queue_not_claimed"] * 2
    assert f"under {keys.prefix}{name}:" in lines[0]["problem"]
    assert len((await inbox.claim("support", ME, 1)).fresh) == 1


@pytest.mark.parametrize("name", ["inbox:support", "deferred:support", "counters:support"])
async def test_the_figures_of_other_streams_are_there_beside_another_programs_key(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await held_of_all(inbox)
    await taken(redis_client, keys, name)

    depths, counters = await inbox.depth(STREAMS), await results.counters(STREAMS)

    assert [depths[stream].in_flight for stream in GOOD] == [1, 1, 1]
    assert [counters[stream].open for stream in GOOD] == [1, 1, 1]
    assert depths["support"].in_flight == (0 if name == "inbox:support" else 1)
    assert counters["support"].open == (0 if name == "counters:support" else 1)


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
