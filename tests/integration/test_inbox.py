"""The inbox keeps its promise: accepted = answered + failed + duplicates, one result an id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from redis.asyncio.client import PubSub

from eventstream import kafka_gap
from eventstream.claims import Arrival, Cancellation, Held, Outcome
from eventstream.errors import StoreUnavailable
from eventstream.events import Event, State, TaskStatus
from eventstream.inbox import Inbox
from eventstream.keys import INBOX_GROUP, QUEUE_HTTP, SCHEMA, Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.results import FinishedListener, Results, _close
from tests.support.events import a_failure, an_answer, an_event
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

ME = "worker-1/1"
OTHER = "worker-2/1"


@pytest.fixture
def short_lease(redis_client: AsyncRedis, keys: Keys) -> Inbox:
    """A lease that has ended as soon as anybody looks."""
    return Inbox(redis_client, keys, result_ttl_seconds=3600, lease_seconds=0)


@pytest.fixture
async def listener(redis_client: AsyncRedis, keys: Keys) -> AsyncIterator[FinishedListener]:
    listener = FinishedListener(redis_client, keys)
    yield listener
    await listener.aclose()


async def test_an_accepted_event_is_pending_and_never_expires(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    [accepted] = await inbox.accept([Arrival(an_event("a"))])

    assert (accepted.outcome, accepted.queue, accepted.wake) == (Outcome.ACCEPTED, QUEUE_HTTP, True)
    status = await results.status("a")
    assert status is not None
    assert status.status is State.PENDING
    assert await redis_client.ttl(keys.task_meta("a")) == -1


async def test_the_same_id_is_a_duplicate_only_with_the_same_content(
    inbox: Inbox, results: Results
) -> None:
    answers = await inbox.accept(
        [
            Arrival(an_event("a", "one")),
            Arrival(an_event("a", "one")),
            Arrival(an_event("a", "two")),
        ]
    )

    assert [answer.outcome for answer in answers] == [
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
        Outcome.CONFLICT,
    ]
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.duplicates, counters.conflicts) == (2, 1, 1)


FILLED = frozenset({"task_type", "temperature", "max_tokens"})
CHANGED_SPEC: dict[str, Any] = {"task_type": "summarization", "temperature": 0.2, "max_tokens": 50}


async def accepted_as(inbox: Inbox, event: Event) -> Outcome:
    [acceptance] = await inbox.accept([Arrival(event)])
    return acceptance.outcome


async def test_a_change_of_the_streams_spec_makes_no_conflict_of_the_same_record(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a", filled=FILLED))])

    again = an_event("a", filled=FILLED, **CHANGED_SPEC)
    assert await accepted_as(inbox, again) is Outcome.DUPLICATE
    # What is said is compared as it always was: what comes of it is what comes of the first.
    assert await accepted_as(inbox, an_event("a")) is Outcome.DUPLICATE
    others: list[dict[str, Any]] = [
        {"text": "Else."},
        {"use_cache": False},
        {"filled": frozenset()},
    ]
    for otherwise in others:
        other = again.model_copy(update=otherwise)
        assert await accepted_as(inbox, other) is Outcome.CONFLICT
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.duplicates, counters.conflicts) == (3, 2, 3)


async def test_versions_that_know_one_digest_and_two_take_each_others_events_for_known(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    event = an_event("a", filled=FILLED)
    await inbox.accept([Arrival(event)])
    assert await redis_client.hget(keys.task_meta("a"), "digest") == event.digest.encode()

    await redis_client.hdel(keys.task_meta("a"), "sent")  # as 0.1.0 leaves it
    assert await accepted_as(inbox, event) is Outcome.DUPLICATE
    assert await accepted_as(inbox, an_event("a", "Else.", filled=FILLED)) is Outcome.CONFLICT


async def another_programs(redis: AsyncRedis, keys: Keys, event_id: str) -> None:
    """What somebody else keeps in the same database where the event's metadata would be."""
    await redis.delete(keys.task_meta(event_id))
    await redis.set(keys.task_meta(event_id), '{"status": "mine"}')


async def test_another_programs_key_is_a_conflict_of_its_own_event_alone(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await another_programs(redis_client, keys, "taken")

    answers = await inbox.accept([Arrival(an_event(name)) for name in ("a", "taken", "b")])

    assert [(answer.outcome, answer.foreign) for answer in answers] == [
        (Outcome.ACCEPTED, False),
        (Outcome.CONFLICT, True),
        (Outcome.ACCEPTED, False),
    ]
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.conflicts) == (2, 1)
    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].queued == 2
    assert await redis_client.get(keys.task_meta("taken")) == b'{"status": "mine"}'
    assert [status and status.status for status in await results.statuses(["a", "taken"])] == [
        State.PENDING,
        None,
    ]
    assert await inbox.cancel("taken") is Cancellation.NOT_FOUND


async def test_a_key_that_another_program_writes_over_costs_no_answer(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    names = ["a", "b", "c"]
    await inbox.accept([Arrival(an_event(name)) for name in names])
    await another_programs(redis_client, keys, "a")
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    assert [held.event.id for held in claim.fresh] == names
    assert await inbox.cancel("a") is Cancellation.NOT_FOUND  # its queue went with the key
    await another_programs(redis_client, keys, "b")

    assert await inbox.finish([an_answer(held) for held in claim.fresh]) == [True, True, True]

    statuses = await results.statuses(names)
    assert [status and status.status for status in statuses] == [State.SUCCESS] * 3
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.answered, counters.recovered) == (3, 3, 0)


async def test_a_deferred_event_whose_key_is_written_over_comes_back_once(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"), raw=b"a"), Arrival(an_event("b"))])
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    await another_programs(redis_client, keys, "a")
    assert await inbox.put_back(ME, [held.wait(60) for held in claim.fresh]) == [True, True]
    await another_programs(redis_client, keys, "a")
    await redis_client.zadd(keys.deferred(QUEUE_HTTP), {"a": 1})

    await kafka_gap.look(redis_client, keys, "default", QUEUE_HTTP)
    again = await inbox.claim(QUEUE_HTTP, ME, 10)

    assert [held.event.id for held in again.fresh] == ["a"]
    depth = (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
    assert (depth.queued, depth.in_flight, depth.deferred) == (0, 1, 1)


async def test_a_second_batch_asks_for_no_second_wake_up_until_somebody_claims(
    inbox: Inbox,
) -> None:
    [first] = await inbox.accept([Arrival(an_event("a"))])
    [second] = await inbox.accept([Arrival(an_event("b"))])
    await inbox.claim(QUEUE_HTTP, ME, 10)
    [third] = await inbox.accept([Arrival(an_event("c"))])

    assert (first.wake, second.wake, third.wake) == (True, False, True)


async def test_a_claimed_event_is_started_and_finishing_stores_one_result(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    started = await results.status("a")
    first = await inbox.finish([an_answer(claim.fresh[0], "first")])
    again = await inbox.finish([an_answer(claim.fresh[0], "second")])

    assert started is not None
    assert started.status is State.STARTED
    assert (first, again) == ([True], [False])
    status = await results.status("a")
    assert status is not None
    assert status.status is State.SUCCESS
    assert status.result is not None
    assert status.result.response == "first"
    assert 3590 < await redis_client.ttl(keys.result("a")) <= 3600
    assert 3590 < await redis_client.ttl(keys.task_meta("a")) <= 3600
    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].unfinished == 0
    counters = (await results.counters(["default"]))["default"]
    assert (counters.answered, counters.tokens, counters.late_answers) == (1, 7, 1)


async def test_a_failure_has_a_reason(inbox: Inbox, results: Results) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    await inbox.finish([a_failure(claim.fresh[0])])

    status = await results.status("a")
    assert status is not None
    assert status.status is State.FAILURE
    assert status.error == "the provider said no"
    assert status.progress is not None
    assert status.progress["reason"] == "provider_refused"
    assert (await results.counters(["default"]))["default"].failed == 1


async def test_a_held_event_is_taken_over_when_its_lease_ends(
    inbox: Inbox, short_lease: Inbox
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    await inbox.claim(QUEUE_HTTP, ME, 10)

    before = await inbox.claim(QUEUE_HTTP, OTHER, 10, suspects="take")
    peek = await short_lease.claim(QUEUE_HTTP, OTHER, 10, suspects="peek")
    after = await short_lease.claim(QUEUE_HTTP, OTHER, 10, suspects="take")

    assert before.suspects == ()
    assert peek.suspect_waits
    assert peek.suspects == ()
    assert [(held.event.id, held.deliveries) for held in after.suspects] == [("a", 2)]
    assert len(await inbox.history("a")) == 2


async def test_one_suspect_at_a_time_is_taken(inbox: Inbox, short_lease: Inbox) -> None:
    await inbox.accept([Arrival(an_event(name)) for name in "abc"])
    await inbox.claim(QUEUE_HTTP, ME, 10)

    claim = await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")

    assert [held.event.id for held in claim.suspects] == ["a"]


async def test_a_successor_of_the_same_name_need_not_wait_for_the_lease(inbox: Inbox) -> None:
    await inbox.accept([Arrival(an_event("a")), Arrival(an_event("b"))])
    await inbox.claim(QUEUE_HTTP, ME, 1)
    await inbox.claim(QUEUE_HTTP, OTHER, 1)

    claim = await inbox.claim(QUEUE_HTTP, ME, 0, suspects="own")

    assert [(held.event.id, held.deliveries) for held in claim.suspects] == [("a", 2)]


async def test_consumers_that_hold_nothing_are_forgotten(inbox: Inbox) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    await inbox.claim(QUEUE_HTTP, ME, 1)
    await inbox.claim(QUEUE_HTTP, OTHER, 1)

    assert await inbox.tidy(QUEUE_HTTP, idle_seconds=3600) == 0
    assert await inbox.tidy(QUEUE_HTTP, idle_seconds=-1) == 1


async def test_a_consumer_that_claims_while_it_is_forgotten_keeps_what_it_claimed(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    names = [f"quiet/{number}" for number in range(100)]
    await inbox.accept([Arrival(an_event(name)) for name in names])
    for name in names:
        await inbox.claim(QUEUE_HTTP, name, 0)
        await redis_client.xgroup_createconsumer(keys.inbox(QUEUE_HTTP), INBOX_GROUP, name)

    forgetting = asyncio.create_task(inbox.tidy(QUEUE_HTTP, idle_seconds=-1))
    claims = await asyncio.gather(*(inbox.claim(QUEUE_HTTP, name, 1) for name in names))
    await forgetting

    assert sum(len(claim.fresh) for claim in claims) == len(names)
    pending = await redis_client.xpending(keys.inbox(QUEUE_HTTP), INBOX_GROUP)
    assert pending["pending"] == len(names)


async def test_renewing_keeps_what_is_ours_and_names_what_is_not(
    inbox: Inbox, short_lease: Inbox
) -> None:
    await inbox.accept([Arrival(an_event("a")), Arrival(an_event("b"))])
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    taken = await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")

    lost = await inbox.renew(QUEUE_HTTP, ME, [held.entry for held in claim.fresh])

    assert lost == {taken.suspects[0].entry}


async def test_given_back_events_wait_again_at_once(inbox: Inbox, results: Results) -> None:
    await inbox.accept([Arrival(an_event("a"), raw=b"\xff\x00raw", key=b"k")])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    await inbox.put_back(ME, [held.wait(0)])

    status = await results.status("a")
    assert status is not None
    assert status.status is State.PENDING
    [again] = (await inbox.claim(QUEUE_HTTP, OTHER, 10)).fresh
    assert (again.event.id, again.raw, again.key, again.deliveries) == (
        "a",
        b"\xff\x00raw",
        b"k",
        1,
    )


async def test_deferred_events_come_back_when_they_are_due(inbox: Inbox, results: Results) -> None:
    await inbox.accept([Arrival(an_event(name), raw=b"\x00\xff") for name in "ab"])
    late, soon = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    await inbox.put_back(
        ME,
        [late.wait(3600), soon.wait(0.001)],
    )

    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].unfinished == 2
    status = await results.status(late.event.id)
    assert status is not None
    assert status.status is State.RETRY
    claim = await _claim_until_something_comes(inbox)
    assert [(held.event.id, held.raw) for held in claim] == [(soon.event.id, b"\x00\xff")]


async def _claim_until_something_comes(inbox: Inbox) -> tuple[Held, ...]:
    async with asyncio.timeout(5):
        while True:
            claim = await inbox.claim(QUEUE_HTTP, OTHER, 10)
            if claim.fresh:
                return claim.fresh


async def test_a_deferred_event_says_what_it_waits_for_until_it_is_finished(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.put_back(
        ME, [held.wait(0.001, why="configuration", detail="OPENAI_API_KEY: is not set" + "x" * 500)]
    )
    waiting = await results.status("a")
    [again] = await _claim_until_something_comes(inbox)
    tried = await results.status("a")
    await inbox.finish([an_answer(again)])
    finished = await results.status("a")

    assert waiting is not None
    assert waiting.progress is not None
    assert "due_at" in waiting.progress
    assert waiting.progress["reason"] == "configuration"
    assert str(waiting.progress["detail"]).startswith("OPENAI_API_KEY: is not set")
    assert len(str(waiting.progress["detail"])) == 300
    assert tried is not None
    assert tried.progress is not None
    assert (tried.status, tried.progress["reason"]) == (State.RETRY, "configuration")
    assert "due_at" not in tried.progress
    assert finished is not None
    assert "reason" not in (finished.progress or {})


async def test_a_deferred_event_that_is_cancelled_never_comes_back(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.put_back(ME, [held.wait(3600)])

    assert await inbox.cancel("a") is Cancellation.CANCELLED
    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].unfinished == 0
    counters = (await results.counters(["default"]))["default"]
    assert (counters.failed, counters.open) == (1, 0)


async def test_cancel_forgets_what_is_finished_and_knows_what_it_never_saw(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("waiting")), Arrival(an_event("running"))])
    assert await inbox.cancel("waiting") is Cancellation.CANCELLED
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    assert await inbox.cancel("running") is Cancellation.CANCELLED
    # The worker that was on it comes too late, and nothing is counted twice.
    assert await inbox.finish([an_answer(held)]) == [False]

    assert await inbox.cancel("running") is Cancellation.FORGOTTEN
    assert await inbox.cancel("running") is Cancellation.NOT_FOUND
    assert await results.status("running") is None
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.failed, counters.answered) == (2, 2, 0)


async def test_what_was_cancelled_and_forgotten_stays_so_when_its_answer_comes_late(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    assert await inbox.cancel("a") is Cancellation.CANCELLED
    assert await inbox.cancel("a") is Cancellation.FORGOTTEN

    assert await inbox.finish([an_answer(held)]) == [False]

    assert await results.status("a") is None
    assert await inbox.cancel("a") is Cancellation.NOT_FOUND
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.failed, counters.recovered) == (1, 1, 0)
    # The id is free again, for whatever content.
    [again] = await inbox.accept([Arrival(an_event("a", "something else"))])
    assert again.outcome is Outcome.ACCEPTED
    status = await results.status("a")
    assert status is not None
    assert status.status is State.PENDING


async def test_an_answer_to_what_was_forgotten_is_none_to_another_text_of_that_id(
    inbox: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a", "one text"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.cancel("a")
    await inbox.cancel("a")
    await inbox.accept([Arrival(an_event("a", "another text"))])

    assert await inbox.finish([an_answer(held, "of the one")]) == [False]

    [anew] = (await inbox.claim(QUEUE_HTTP, OTHER, 10)).fresh
    assert await inbox.finish([an_answer(anew, "of the other")]) == [True]
    status = await results.status("a")
    assert status is not None
    assert status.result is not None
    assert status.result.response == "of the other"
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.failed, counters.answered) == (2, 1, 1)
    assert (counters.late_answers, counters.open) == (1, 0)


@pytest.mark.parametrize("wait_seconds", [0.0, 0.001, 3600.0])
async def test_what_was_finished_by_a_late_process_does_not_begin_again(
    inbox: Inbox, short_lease: Inbox, results: Results, wait_seconds: float
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [frozen] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    [taken] = (await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")).suspects
    assert await inbox.put_back(OTHER, [taken.wait(0)]) == [True]
    [third] = (await inbox.claim(QUEUE_HTTP, OTHER, 10)).fresh
    assert await inbox.finish([an_answer(frozen)]) == [True]

    assert await inbox.put_back(OTHER, [third.wait(wait_seconds)]) == [False]

    status = await results.status("a")
    assert status is not None
    assert status.status is State.SUCCESS
    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].unfinished == 0
    assert await inbox.finish([an_answer(third)]) == [False]
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.answered, counters.open) == (1, 1, 0)


@pytest.mark.parametrize("wait_seconds", [0, 60])
async def test_what_is_put_back_is_as_old_as_before(
    wait_seconds: float, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event(id)) for id in ("a", "b", "c")])
    held, *others = (await inbox.claim(QUEUE_HTTP, ME, 3)).fresh
    waits = [each.wait(wait_seconds) for each in (held, *others)]
    assert await inbox.put_back(ME, waits) == [True] * 3
    # Made older than it is, for a clock that nobody waits for.
    made_older = await redis_client.zadd(keys.again(QUEUE_HTTP), {"a": 1_000}, xx=True, ch=True)

    assert made_older == 1
    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].oldest_age_seconds > 86_400

    await inbox.finish([an_answer(others[0])])
    await inbox.cancel("c")
    assert await redis_client.zrange(keys.again(QUEUE_HTTP), 0, -1) == [b"a"]
    await inbox.finish([an_answer(held)])
    depth = (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
    assert (depth.unfinished, depth.oldest_age_seconds) == (0, 0)
    assert not await redis_client.exists(keys.again(QUEUE_HTTP))


async def test_where_another_programs_key_hides_what_is_unfinished_nothing_counts_as_finished(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    await redis_client.set(keys.again(QUEUE_HTTP), "of another program")

    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].oldest_age_seconds == 0
    with pytest.raises(StoreUnavailable, match="looking for lost data"):
        await kafka_gap.look(redis_client, keys, "default", QUEUE_HTTP)


async def test_a_server_that_takes_no_writes_still_says_how_much_waits(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    # As an earlier version leaves it: over, and still there.
    await redis_client.zadd(keys.again(QUEUE_HTTP), {"over": 1_000})
    await redis_client.config_set("min-replicas-to-write", 1)
    try:
        depth = (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
    finally:
        await redis_client.config_set("min-replicas-to-write", 0)
    assert depth.queued == 1
    assert depth.oldest_age_seconds < 86_400


async def test_a_late_answer_takes_what_was_put_back_out_of_the_inbox(
    inbox: Inbox, short_lease: Inbox
) -> None:
    """It may wait there for longer than is known that it is over."""
    await inbox.accept([Arrival(an_event("a"))])
    [frozen] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    [taken] = (await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")).suspects
    await inbox.put_back(OTHER, [taken.wait(0)])

    assert await inbox.finish([an_answer(frozen)]) == [True]

    assert (await inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].unfinished == 0


async def test_a_result_that_was_forgotten_does_not_come_back_with_a_late_answer(
    inbox: Inbox, short_lease: Inbox, results: Results
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [frozen] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    [taken] = (await short_lease.claim(QUEUE_HTTP, OTHER, 0, suspects="take")).suspects
    await inbox.finish([an_answer(taken)])
    assert await inbox.cancel("a") is Cancellation.FORGOTTEN

    assert await inbox.finish([an_answer(frozen)]) == [False]

    assert await results.status("a") is None
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.answered, counters.recovered) == (1, 1, 0)


async def test_a_claim_is_bounded_in_bytes_too(inbox: Inbox, redis_client: AsyncRedis) -> None:
    names = [f"e-{number}" for number in range(60)]
    await inbox.accept([Arrival(an_event(name, "x" * 200_000)) for name in names])

    taken: list[str] = []
    claims = 0
    while claim := (await inbox.claim(QUEUE_HTTP, ME, 256)).fresh:
        claims += 1
        assert sum(len(held.event.text) for held in claim) < 8_000_000
        taken += [held.event.id for held in claim]

    assert taken == names
    assert claims == 2


async def test_many_small_events_are_one_claim(inbox: Inbox) -> None:
    names = [f"e-{number}" for number in range(300)]
    await inbox.accept([Arrival(an_event(name)) for name in names])

    claim = await inbox.claim(QUEUE_HTTP, ME, 250)

    assert [held.event.id for held in claim.fresh] == names[:250]
    assert claim.wake


async def test_what_a_clock_that_went_back_made_due_far_off_is_due_now(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a")), Arrival(an_event("b"))])
    claim = await inbox.claim(QUEUE_HTTP, ME, 10)
    await inbox.put_back(ME, [held.wait(24 * 3600) for held in claim.fresh])
    assert not await inbox.needs_a_worker(QUEUE_HTTP), "the longest wait is a legitimate one"
    assert not (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh

    await redis_client.zincrby(keys.deferred(QUEUE_HTTP), 60_000, "b")

    assert await inbox.needs_a_worker(QUEUE_HTTP)
    assert [held.event.id for held in (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh] == ["b"]
    assert not await inbox.needs_a_worker(QUEUE_HTTP)


async def test_a_full_server_gives_out_what_is_due(
    redis_server: RedisServer, redis_client: AsyncRedis, inbox: Inbox
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    await inbox.put_back(ME, [held.wait(0.001)])
    before = await redis_client.config_get("maxmemory")
    await redis_client.config_set("maxmemory", 1)
    try:
        async with asyncio.timeout(5):
            while not (claim := await inbox.claim(QUEUE_HTTP, OTHER, 10, begins=False)).fresh:
                pass
        assert await inbox.finish([an_answer(claim.fresh[0])]) == [True]
    finally:
        await redis_client.config_set("maxmemory", str(before["maxmemory"]))


async def test_an_entry_of_a_newer_process_is_named_not_lost(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    newer = orjson.dumps({"schema_number": SCHEMA + 1, "shape": "unknown"})
    await redis_client.xadd(keys.inbox(QUEUE_HTTP), {"id": "n", "event": newer})
    await redis_client.xadd(keys.inbox(QUEUE_HTTP), {"id": "x", "event": b"\xff not json"})

    claim = await inbox.claim(QUEUE_HTTP, ME, 10)

    assert [(item.event_id, item.newer) for item in claim.unreadable] == [("n", True), ("x", False)]


async def test_an_entry_of_a_newer_process_is_left_to_one_though_it_can_be_read(
    inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    newer = an_event("n").model_dump() | {"schema_number": SCHEMA + 1, "answer_in": "Spanish"}
    await redis_client.xadd(keys.inbox(QUEUE_HTTP), {"id": "n", "event": orjson.dumps(newer)})

    claim = await inbox.claim(QUEUE_HTTP, ME, 10)

    assert not claim.fresh
    assert [(item.event_id, item.newer) for item in claim.unreadable] == [("n", True)]


async def test_an_answer_outlives_a_store_that_lost_its_data(
    inbox: Inbox, results: Results, redis_client: AsyncRedis, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    async for key in redis_client.scan_iter(match=keys.prefix + "*"):
        await redis_client.delete(key)

    assert await inbox.finish([an_answer(held)]) == [True]
    status = await results.status("a")
    assert status is not None
    assert status.status is State.SUCCESS
    counters = (await results.counters(["default"]))["default"]
    assert (counters.accepted, counters.answered, counters.recovered) == (1, 1, 1)
    # The inbox itself works on: its group is made again.
    await inbox.accept([Arrival(an_event("b"))])
    assert len((await inbox.claim(QUEUE_HTTP, ME, 10)).fresh) == 1


async def test_a_worker_is_needed_while_something_waits_or_a_lease_has_ended(
    inbox: Inbox, short_lease: Inbox
) -> None:
    assert not await inbox.needs_a_worker(QUEUE_HTTP)
    await inbox.accept([Arrival(an_event("a"))])
    assert await inbox.needs_a_worker(QUEUE_HTTP)
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    assert not await inbox.needs_a_worker(QUEUE_HTTP)
    assert await short_lease.needs_a_worker(QUEUE_HTTP)
    await inbox.finish([an_answer(held)])
    assert not await short_lease.needs_a_worker(QUEUE_HTTP)


async def test_who_waits_is_told(
    inbox: Inbox, results: Results, listener: FinishedListener
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    waiting = asyncio.create_task(listener.wait_for(results, "a", 30))
    while not listener.listening:
        await asyncio.sleep(0)

    await inbox.finish([an_answer(held)])

    status = await asyncio.wait_for(waiting, 5)
    assert status is not None
    assert status.status is State.SUCCESS


async def test_waiting_ends_with_what_is_so(
    inbox: Inbox, results: Results, listener: FinishedListener
) -> None:
    await inbox.accept([Arrival(an_event("a"))])

    status = await listener.wait_for(results, "a", 0.01)

    assert status is not None
    assert status.status is State.PENDING
    assert await listener.wait_for(results, "never accepted", 30) is None


async def test_a_subscription_that_fails_takes_no_connection_out_of_the_pool(
    redis_server: RedisServer, inbox: Inbox, keys: Keys
) -> None:
    await inbox.accept([Arrival(an_event("a"))])
    with Proxy(redis_server.port) as proxy:
        client = connect(proxy.redis_url(2), timeout_seconds=0.2, max_connections=2)
        listener, results = FinishedListener(client, keys), Results(client, keys)
        for _ in range(3):
            await client.ping()
            # A connection that was idle for a while is asked first whether it is still there.
            [idle] = client.connection_pool._available_connections
            idle.next_health_check = 0
            proxy.hang()
            with pytest.raises(StoreUnavailable):
                await listener.wait_for(results, "a", 30)
            proxy.mend()

        assert await client.ping()
        await listener.aclose()
        await client.aclose()


async def test_all_who_wait_share_one_try_to_subscribe(
    redis_server: RedisServer, keys: Keys
) -> None:
    """Or each would sit out the time-outs of all who came before."""
    with Proxy(redis_server.port) as proxy:
        client = connect(proxy.redis_url(2), timeout_seconds=0.5)
        listener, results = FinishedListener(client, keys), Results(client, keys)
        proxy.hang()

        ended = await asyncio.gather(
            *(listener.wait_for(results, "a", 30) for _ in range(20)), return_exceptions=True
        )

        assert [type(error) for error in ended] == [StoreUnavailable] * 20
        assert proxy.connections == 1
        await listener.aclose()
        await client.aclose()


@dataclass
class Waiting:
    """Somebody who waits for an event that is held, and is told through a proxy."""

    held: Held
    listener: FinishedListener
    proxy: Proxy
    waiter: asyncio.Task[TaskStatus | None]

    async def is_told(self, inbox: Inbox) -> None:
        """Finish the event, and see that whoever waits learns of it."""
        await inbox.finish([an_answer(self.held)])
        status = await asyncio.wait_for(self.waiter, 60)
        assert status is not None
        assert status.status is State.SUCCESS


@pytest.fixture
async def waiting(
    redis_server: RedisServer, inbox: Inbox, results: Results, keys: Keys
) -> AsyncIterator[Waiting]:
    await inbox.accept([Arrival(an_event("a"))])
    [held] = (await inbox.claim(QUEUE_HTTP, ME, 10)).fresh
    with Proxy(redis_server.port) as proxy:
        client = connect(proxy.redis_url(2), timeout_seconds=5)
        listener = FinishedListener(client, keys, silent_seconds=0.2)
        waiter = asyncio.create_task(listener.wait_for(results, "a", 300))
        while not listener.listening:
            await asyncio.sleep(0)
        yield Waiting(held, listener, proxy, waiter)
        await listener.aclose()
        await client.aclose()


async def test_a_subscription_that_a_firewall_forgot_is_found_out(
    waiting: Waiting, inbox: Inbox
) -> None:
    waiting.proxy.forget()
    await waiting.is_told(inbox)


async def test_a_subscription_that_answers_is_kept_while_it_is_silent(
    waiting: Waiting, inbox: Inbox
) -> None:
    # Each look takes a second: it is asked and answers twice meanwhile.
    await asyncio.wait({waiting.waiter}, timeout=5)
    made = waiting.proxy.connections

    await waiting.is_told(inbox)

    assert waiting.proxy.connections == made


async def test_who_comes_while_a_broken_subscription_is_closed_gets_one_of_his_own(
    waiting: Waiting, inbox: Inbox, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()

    async def slow_close(pubsub: PubSub) -> None:
        closing.set()
        await go_on.wait()
        await _close(pubsub)

    monkeypatch.setattr("eventstream.results._close", slow_close)
    waiting.proxy.reset()
    await asyncio.wait_for(closing.wait(), 30)

    waiting.waiter = asyncio.create_task(waiting.listener.wait_for(results, "a", 300))
    async with asyncio.timeout(30):
        while not waiting.listener.listening:
            await asyncio.sleep(0)
    await waiting.is_told(inbox)
    go_on.set()


async def test_an_absent_redis_is_a_clear_answer() -> None:
    client = connect("redis://127.0.0.1:1/2", timeout_seconds=1)
    inbox = Inbox(client, Keys(), result_ttl_seconds=60, lease_seconds=30)
    with pytest.raises(StoreUnavailable, match="can't be reached while accepting events"):
        await inbox.accept([Arrival(an_event("a"))])
    await client.aclose()
