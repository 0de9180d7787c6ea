"""An id may be accepted, forgotten and accepted again: no answer crosses from one to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventstream.claims import Arrival, Cancellation, Held, Outcome
from eventstream.inbox import Inbox
from eventstream.keys import INBOX_GROUP, QUEUE_HTTP, Keys
from eventstream.redis_client import AsyncRedis
from eventstream.results import Results
from tests.support.events import a_failure, an_answer, an_event

ME = "worker-1/1"
OTHER = "worker-2/1"


async def accept_and_claim(inbox: Inbox, text: str) -> Held:
    [acceptance] = await inbox.accept([Arrival(an_event("a", text))])
    assert acceptance.outcome is Outcome.ACCEPTED
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    return held


async def response_of(results: Results, event_id: str) -> str | None:
    status = await results.status(event_id)
    return status.result.response if status is not None and status.result is not None else None


Freeing = Callable[[Inbox, AsyncRedis, Keys], Awaitable[object]]


async def forgotten(inbox: Inbox, redis: AsyncRedis, keys: Keys) -> None:
    assert await inbox.cancel("a") is Cancellation.FORGOTTEN


async def expired(inbox: Inbox, redis: AsyncRedis, keys: Keys) -> None:
    assert await redis.delete(keys.task_meta("a"), keys.result("a")) == 2


async def emptied(inbox: Inbox, redis: AsyncRedis, keys: Keys) -> None:
    async for key in redis.scan_iter(match=keys.prefix + "*"):
        await redis.delete(key)


@pytest.mark.parametrize("becomes_free", [forgotten, expired, emptied])
async def test_an_end_that_is_told_again_is_none_to_another_text_of_that_id(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, becomes_free: Freeing
) -> None:
    """The reply was lost, so the worker tells it until it is sure."""
    one = an_answer(await accept_and_claim(inbox, "one text"), "to the one")
    assert await inbox.finish([one]) == [True]
    await becomes_free(inbox, redis_client, keys)
    other = await accept_and_claim(inbox, "another text")

    assert await inbox.finish([one]) == [False]

    assert await response_of(results, "a") is None
    assert await inbox.finish([an_answer(other, "to the other")]) == [True]
    assert await response_of(results, "a") == "to the other"
    counters = (await results.counters(["default"]))["default"]
    assert (counters.late_answers, counters.recovered, counters.open) == (1, 0, 0)


async def test_a_failure_that_is_told_again_does_not_end_the_second_try(
    inbox: Inbox, results: Results
) -> None:
    """As after `dlq replay`: the same text again."""
    failure = a_failure(await accept_and_claim(inbox, "one text"))
    await inbox.finish([failure])
    await inbox.cancel("a")
    again = await accept_and_claim(inbox, "one text")

    assert await inbox.finish([failure]) == [False]

    assert await inbox.finish([an_answer(again)]) == [True]


async def test_a_forgotten_result_does_not_come_back_when_its_end_is_told_again(
    inbox: Inbox, results: Results
) -> None:
    answer = an_answer(await accept_and_claim(inbox, "one text"))
    await inbox.finish([answer])
    await inbox.cancel("a")

    assert await inbox.finish([answer]) == [False]

    assert await results.status("a") is None
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.answered, counters.recovered) == (1, 1, 0)


async def test_an_event_stays_the_same_when_it_is_put_back_deferred_and_taken_over(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    first = await accept_and_claim(inbox, "one text")
    await inbox.put_back(ME, [first.wait(0)])
    [second] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.put_back(ME, [second.wait(60)])
    await redis_client.zadd(keys.deferred(QUEUE_HTTP), {"a": 1})
    [third] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    short_lease = Inbox(redis_client, keys, result_ttl_seconds=3600, lease_seconds=0)
    [taken] = (await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")).suspects

    assert first.acceptance
    assert {held.acceptance for held in (second, third, taken)} == {first.acceptance}
    assert await inbox.finish([an_answer(taken)]) == [True]


async def test_a_result_that_outlived_its_metadata_is_not_the_next_ones(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    """A server that evicts takes the two apart."""
    await inbox.finish([an_answer(await accept_and_claim(inbox, "one text"), "to the one")])
    await redis_client.delete(keys.task_meta("a"))

    other = await accept_and_claim(inbox, "another text")

    assert await response_of(results, "a") is None
    await inbox.finish([an_answer(other, "to the other")])
    assert await response_of(results, "a") == "to the other"


async def test_only_a_failure_is_forgotten_where_nothing_else_is_meant(
    inbox: Inbox, results: Results
) -> None:
    """Of two replays at once, one finds an event that the other has sent on its way again."""
    failure = a_failure(await accept_and_claim(inbox, "one text"))
    await inbox.finish([failure])
    assert await inbox.forget_failure("a") is Cancellation.FORGOTTEN
    assert await inbox.forget_failure("a") is Cancellation.NOT_FOUND

    await inbox.accept([Arrival(an_event("a", "one text"))])
    assert await inbox.forget_failure("a") is Cancellation.UNFINISHED
    [again] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    assert await inbox.forget_failure("a") is Cancellation.UNFINISHED
    assert await inbox.finish([an_answer(again, "at last")]) == [True]
    assert await inbox.forget_failure("a") is Cancellation.ANSWERED

    assert await response_of(results, "a") == "at last"


# -- side by side with processes of earlier versions ---------------------------------------------


async def accepted_by_an_earlier_version(
    inbox: Inbox, redis: AsyncRedis, keys: Keys, text: str, *, since: bool = False
) -> None:
    """Neither entry nor metadata says which acceptance; `since`: of an id that it knew before."""
    await inbox.accept([Arrival(an_event("a", text))])
    stored: Any = await redis.xrange(keys.inbox(QUEUE_HTTP))
    [(entry, fields)] = stored
    del fields[b"acceptance"]
    await redis.xdel(keys.inbox(QUEUE_HTTP), entry)
    anew = await redis.xadd(keys.inbox(QUEUE_HTTP), fields)
    await redis.hset(keys.task_meta("a"), "entry", anew)
    await redis.hdel(keys.task_meta("a"), "acceptance", "since")
    if since:
        await redis.hset(keys.task_meta("a"), "since", anew)


@pytest.mark.parametrize("since", [True, False])
async def test_what_an_earlier_version_accepted_is_finished(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys, since: bool
) -> None:
    await accepted_by_an_earlier_version(inbox, redis_client, keys, "one text", since=since)
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.put_back(ME, [held.wait(0)])
    [again] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    assert await inbox.finish([an_answer(again)]) == [True]
    assert again.acceptance == ""


async def test_no_answer_crosses_into_what_an_earlier_version_accepted(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    ours = an_answer(await accept_and_claim(inbox, "one text"))
    await inbox.finish([ours])
    await inbox.cancel("a")
    await accepted_by_an_earlier_version(inbox, redis_client, keys, "another text")
    [theirs] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    assert await inbox.finish([ours]) == [False]
    assert await inbox.finish([an_answer(theirs)]) == [True]
    await inbox.cancel("a")
    await accepted_by_an_earlier_version(inbox, redis_client, keys, "a third text", since=True)
    assert await inbox.finish([an_answer(theirs)]) == [False]


async def test_no_answer_to_what_an_earlier_version_accepted_crosses_into_ours(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await accepted_by_an_earlier_version(inbox, redis_client, keys, "one text")
    [theirs] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.finish([an_answer(theirs)])
    await inbox.cancel("a")
    ours = await accept_and_claim(inbox, "another text")

    assert await inbox.finish([an_answer(theirs)]) == [False]
    assert await inbox.finish([an_answer(ours)]) == [True]


async def test_a_worker_of_an_earlier_version_knows_by_since_what_is_not_the_same(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    first = await accept_and_claim(inbox, "one text")
    await inbox.finish([an_answer(first)])
    await redis_client.delete(keys.task_meta("a"))
    second = await accept_and_claim(inbox, "another text")

    assert await redis_client.hget(keys.task_meta("a"), "since") == second.entry.encode()
    assert (await redis_client.xpending(keys.inbox(QUEUE_HTTP), INBOX_GROUP))["pending"] == 1


async def test_a_result_that_an_earlier_version_left_is_not_the_next_ones(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await accepted_by_an_earlier_version(inbox, redis_client, keys, "another text")
    await redis_client.set(keys.result("a"), b"of one whose metadata was evicted")
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    await inbox.finish([an_answer(held, "to the other")])

    assert await response_of(results, "a") == "to the other"


async def test_a_late_answer_does_not_replace_a_result_whose_metadata_was_evicted(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    held = await accept_and_claim(inbox, "one text")
    await inbox.finish([an_answer(held, "the first")])
    await redis_client.delete(keys.task_meta("a"))

    await inbox.finish([an_answer(held, "a late one")])

    assert await response_of(results, "a") == "the first"
