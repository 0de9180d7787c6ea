"""One process's drain on a real inbox: each way an event can go wrong, and the counts after."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventstream.claims import Answered, Arrival, Claim, Failed, Held
from eventstream.errors import Reason, StoreUnavailable
from eventstream.events import KafkaSource, State
from eventstream.inbox import Inbox
from eventstream.keys import INBOX_GROUP, QUEUE_HTTP, QUEUE_KAFKA, Keys
from eventstream.pipeline import Ask, Deferral, Ending
from eventstream.redis_client import AsyncRedis
from eventstream.results import Results
from eventstream.worker.drain import Drain
from eventstream.worker.drain_settings import DrainSettings
from eventstream.worker.ending import Endings
from tests.support.events import an_answer, an_ask, an_event

Answering = Callable[[Held], Awaitable[Ending]]


async def answered(held: Held) -> Ending:
    return an_answer(held)


@dataclass
class ScriptedPipeline:
    """A pipeline whose cache knows `hits`, and whose model does what the test says."""

    model: Answering = answered
    hits: frozenset[str] = frozenset()
    unstorable: str = ""
    look_up_errors: list[Exception] = field(default_factory=list)
    unbearable: str = ""
    claims: list[list[str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def look_up(self, claim: Sequence[Held]) -> list[Ending | Ask]:
        self.claims.append([held.event.id for held in claim])
        if self.look_up_errors:
            raise self.look_up_errors.pop()
        if self.unbearable in self.claims[-1]:
            raise ZeroDivisionError
        answers = {held.event.id: an_answer(held) for held in claim if held.event.id in self.hits}
        if self.unstorable in answers:
            answers[self.unstorable].result.metadata["what"] = object()
        return [answers.get(held.event.id) or an_ask(held) for held in claim]

    async def ask(self, ask: Ask, *, deadline: float) -> Ending:
        self.asked.append(ask.held.event.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.model(ask.held)
        finally:
            self.at_once -= 1


@dataclass
class Published:
    """What was published before an event left the inbox; of Kafka's, none while it is `away`."""

    away: bool = False
    due: bool = True
    tries: int = 0
    endings: list[Answered | Failed] = field(default_factory=list)

    async def is_due(self, held: Held, ending: Answered | Failed) -> bool:
        return self.due

    async def publish(self, held: Held, ending: Answered | Failed) -> None:
        if self.away and held.event.source is not None:
            self.tries += 1
            raise StoreUnavailable("Kafka is away")
        self.endings.append(ending)


class SlowlyFinishing(Inbox):
    """An inbox that finishes nothing until it may."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.finishing = asyncio.Event()
        self.may_finish = asyncio.Event()

    async def finish(self, endings: Sequence[Answered | Failed]) -> list[bool]:
        self.finishing.set()
        await self.may_finish.wait()
        return await super().finish(endings)


class AwayAtFirst(Inbox):
    """An inbox whose first claim finds no Redis."""

    away = True

    async def claim(self, *args: Any, **kwargs: Any) -> Claim:
        if self.away:
            self.away = False
            raise StoreUnavailable("Redis is away")
        return await super().claim(*args, **kwargs)


class AwayForHistory(Inbox):
    """An inbox whose Redis is away when it is first asked who had an event."""

    away = True

    async def history(self, event_id: str) -> tuple[str, ...]:
        if self.away:
            self.away = False
            raise StoreUnavailable("Redis is away")
        return await super().history(event_id)


@dataclass
class Bench:
    """A drain on a real inbox, with the knobs that a test turns."""

    inbox: Inbox
    results: Results
    stop: bool = False
    woken: list[str] = field(default_factory=list)

    def drain(
        self,
        pipeline: ScriptedPipeline,
        *,
        published: Published | None = None,
        inbox: Inbox | None = None,
        consumer: str = "worker/0",
        slots: int = 4,
        deadline_seconds: float = 30,
        shutdown_seconds: float = 5,
        most_seconds: float = 30,
        lease_seconds: float = 30,
        longest_seconds: float = math.inf,
        takes_over_from: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Drain:
        inbox = inbox or self.inbox
        endings = Endings(inbox, published or Published(), consumer=consumer)
        return Drain(
            inbox,
            pipeline,
            endings,
            consumer=consumer,
            queues=lambda: (QUEUE_HTTP, QUEUE_KAFKA),
            settings=DrainSettings(
                slots=slots,
                lease_seconds=lease_seconds,
                deadline_seconds=deadline_seconds,
                max_deliveries=3,
                shutdown_seconds=shutdown_seconds,
                most_seconds=most_seconds,
                linger_seconds=0.01,
                longest_seconds=longest_seconds,
            ),
            stopping=lambda: self.stop,
            wake=self.woken.extend,
            takes_over_from=takes_over_from,
            clock=clock,
        )

    async def accept(self, *names: str, via: str = "http") -> None:
        source = KafkaSource(topic="t", partition=0, offset=1) if via == "kafka" else None
        await self.inbox.accept(
            [Arrival(an_event(name, text=name, via=via, source=source)) for name in names]
        )

    async def states(self, *names: str) -> list[State | None]:
        statuses = await self.results.statuses(names)
        return [status.status if status else None for status in statuses]

    async def reason(self, name: str) -> str | None:
        status = await self.results.status(name)
        assert status is not None
        return (status.progress or {}).get("reason")

    async def assert_the_counts_add_up(self) -> None:
        counters = (await self.results.counters(["default"]))["default"]
        depths = await self.inbox.depth([QUEUE_HTTP, QUEUE_KAFKA])
        assert counters.open == sum(depth.unfinished for depth in depths.values())


@pytest.fixture
def bench(inbox: Inbox, results: Results) -> Bench:
    return Bench(inbox, results)


async def test_hits_and_misses_are_answered_and_nothing_is_left(bench: Bench) -> None:
    names = [f"e{number}" for number in range(40)]
    await bench.accept(*names)
    pipeline = ScriptedPipeline(hits=frozenset(names[:20]))

    await bench.drain(pipeline).run()

    assert Counter(await bench.states(*names)) == {State.SUCCESS: 40}
    assert sorted(pipeline.asked) == sorted(names[20:])
    await bench.assert_the_counts_add_up()


async def test_slots_are_filled_and_never_overfilled(bench: Bench) -> None:
    await bench.accept(*(f"e{number}" for number in range(30)))

    async def slow(held: Held) -> Ending:
        await asyncio.sleep(0.005)
        return an_answer(held)

    pipeline = ScriptedPipeline(slow)
    await bench.drain(pipeline, slots=8).run()

    assert pipeline.most_at_once == 8
    assert len(pipeline.asked) == 30


async def test_one_slot_is_one_call_at_a_time(bench: Bench) -> None:
    await bench.accept("a", "b", "c")
    pipeline = ScriptedPipeline()

    await bench.drain(pipeline, slots=1).run()

    assert pipeline.most_at_once == 1
    assert pipeline.asked == ["a", "b", "c"]


async def test_a_freed_slot_is_filled_while_a_slow_call_goes_on(bench: Bench) -> None:
    await bench.accept("slow", "b", "c", "d")
    last_is_answered = asyncio.Event()

    async def model(held: Held) -> Ending:
        if held.event.id == "slow":
            await asyncio.wait_for(last_is_answered.wait(), 10)
        if held.event.id == "d":
            last_is_answered.set()
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model), slots=2).run()

    assert await bench.states("slow", "b", "c", "d") == [State.SUCCESS] * 4


async def test_http_comes_first_and_the_rest_has_its_share(bench: Bench) -> None:
    await bench.accept(*(f"h{number}" for number in range(8)))
    await bench.accept(*(f"k{number}" for number in range(2)), via="kafka")
    pipeline = ScriptedPipeline()

    await bench.drain(pipeline, slots=1).run()

    assert [name[0] for name in pipeline.asked[:4]] == ["h", "h", "h", "k"]


async def test_a_call_that_never_returns_fails_at_its_deadline(bench: Bench) -> None:
    await bench.accept("stuck", "good")

    async def model(held: Held) -> Ending:
        if held.event.id == "stuck":
            await asyncio.Event().wait()
        return an_answer(held)

    drain = bench.drain(ScriptedPipeline(model), deadline_seconds=-4.9)
    await drain.run()

    assert await bench.states("stuck", "good") == [State.FAILURE, State.SUCCESS]
    assert await bench.reason("stuck") == Reason.DEADLINE_EXCEEDED
    await bench.assert_the_counts_add_up()


async def test_a_defect_ends_its_own_event_only(bench: Bench) -> None:
    await bench.accept("defect", "good")

    async def model(held: Held) -> Ending:
        if held.event.id == "defect":
            raise ZeroDivisionError
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model)).run()

    assert await bench.states("defect", "good") == [State.FAILURE, State.SUCCESS]
    assert await bench.reason("defect") == Reason.INTERNAL_ERROR


async def test_an_event_that_can_not_be_looked_up_fails_alone(bench: Bench) -> None:
    await bench.accept("a", "defect", "c")

    await bench.drain(ScriptedPipeline(unbearable="defect")).run()

    assert await bench.states("a", "defect", "c") == [State.SUCCESS, State.FAILURE, State.SUCCESS]


async def test_a_store_that_is_away_during_the_look_up_costs_no_event(bench: Bench) -> None:
    await bench.accept("a", "b")
    pipeline = ScriptedPipeline(look_up_errors=[StoreUnavailable("away", retry_after_seconds=0)])

    await bench.drain(pipeline).run()

    assert await bench.states("a", "b") == [State.SUCCESS, State.SUCCESS]


async def test_a_deferred_event_leaves_its_slot_and_waits(bench: Bench) -> None:
    await bench.accept("later")

    async def model(held: Held) -> Ending:
        return Deferral(3600, "budget", "the day's budget is spent")

    await bench.drain(ScriptedPipeline(model)).run()

    assert await bench.states("later") == [State.RETRY]
    status = await bench.results.status("later")
    assert status is not None
    assert status.progress is not None
    assert status.progress["detail"] == "the day's budget is spent"
    assert (await bench.inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].deferred == 1
    await bench.assert_the_counts_add_up()


async def test_what_a_dead_process_held_is_looked_up_one_by_one(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("a", "b", "c")
    await bench.inbox.claim(QUEUE_HTTP, "dead/0", 10)
    await bench.accept("d", "e")
    no_lease = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)

    async def slow(held: Held) -> Ending:
        await asyncio.sleep(0.005)
        return an_answer(held)

    pipeline = ScriptedPipeline(slow)
    await bench.drain(pipeline, inbox=no_lease).run()

    suspects = [claim for claim in pipeline.claims if set(claim) & set("abc")]
    assert sorted(suspects) == [["a"], ["b"], ["c"]]
    assert await bench.states(*"abcde") == [State.SUCCESS] * 5
    await bench.assert_the_counts_add_up()


async def test_what_a_dead_process_held_is_taken_over_side_by_side(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("a", "b", "c")
    short = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0.2)
    await short.claim(QUEUE_HTTP, "dead/0", 10)
    async with asyncio.timeout(60):
        while not await short.needs_a_worker(QUEUE_HTTP):
            await asyncio.sleep(0.01)
    together = asyncio.Barrier(3)

    async def model(held: Held) -> Ending:
        await together.wait()
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model), inbox=short, lease_seconds=0.2).run()

    assert await bench.states(*"abc") == [State.SUCCESS] * 3
    await bench.assert_the_counts_add_up()


async def test_an_event_that_kills_its_process_every_time_is_found(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("killer", "good")
    no_lease = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    await no_lease.claim(QUEUE_HTTP, "dead/0", 10)
    for life in (1, 2):
        # Each time, the process that took it over dies with it.
        await no_lease.claim(QUEUE_HTTP, f"dead/{life}", 0, suspects="take")

    pipeline = ScriptedPipeline()
    published = Published()
    await bench.drain(pipeline, inbox=no_lease, published=published).run()

    assert pipeline.asked == ["good"]
    assert await bench.reason("killer") == Reason.DELIVERED_TOO_OFTEN
    status = await bench.results.status("killer")
    assert status is not None
    assert status.progress is not None
    assert len(status.progress["history"]) == 4
    assert {type(ending).__name__ for ending in published.endings} == {"Failed", "Answered"}
    await bench.assert_the_counts_add_up()


async def test_an_event_that_kills_its_process_ends_although_redis_was_away_when_it_was_found(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("killer")
    no_lease = AwayForHistory(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    await no_lease.claim(QUEUE_HTTP, "dead/0", 10)
    for life in (1, 2):
        await no_lease.claim(QUEUE_HTTP, f"dead/{life}", 0, suspects="take")

    await bench.drain(ScriptedPipeline(), inbox=no_lease).run()

    assert await bench.reason("killer") == Reason.DELIVERED_TOO_OFTEN
    status = await bench.results.status("killer")
    assert status is not None
    assert status.progress is not None
    assert status.progress["deliveries"] == 4, "it was ended at once, and not taken over again"
    await bench.assert_the_counts_add_up()


async def test_a_successor_in_the_same_slot_takes_over_at_once(bench: Bench) -> None:
    await bench.accept("a")
    await bench.inbox.claim(QUEUE_HTTP, "worker/0", 10)

    await bench.drain(ScriptedPipeline(), consumer="worker/0").run()

    assert await bench.states("a") == [State.SUCCESS]


async def test_after_an_outage_those_who_hold_events_may_renew_first(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    """All leases are over then, and a call that is under way need not be made twice."""
    await bench.accept("a")
    await bench.inbox.claim(QUEUE_HTTP, "another/0", 10)
    later = 0.0
    no_lease = AwayAtFirst(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    pipeline = ScriptedPipeline()
    drain = bench.drain(pipeline, inbox=no_lease, clock=lambda: time.monotonic() + later)

    await drain.run()
    later = 5.0  # its holder renews it by then
    await drain.run()
    assert pipeline.asked == []

    later = 15.0
    await drain.run()
    assert pipeline.asked == ["a"]


async def test_who_was_idle_during_an_outage_takes_nothing_over_before_it_may(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("a")
    [left] = (await bench.inbox.claim(QUEUE_HTTP, "another/0", 10)).fresh
    # Its lease is over, while those of this drain last.
    await redis_client.xclaim(
        keys.inbox(QUEUE_HTTP), INBOX_GROUP, "another/0", 0, [left.entry], idle=3_600_000
    )
    may = time.monotonic() + 3600
    pipeline = ScriptedPipeline()
    drain = bench.drain(pipeline, takes_over_from=lambda: may)

    await bench.accept("b")
    await drain.run()
    assert pipeline.asked == ["b"]

    may = time.monotonic()
    await drain.run()
    assert pipeline.asked == ["b", "a"]


async def test_an_event_waits_with_its_ending_until_that_is_published(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    async def model(held: Held) -> Ending:
        if held.event.id == "bad":
            return held.failed(Reason.PROVIDER_REFUSED, "the provider said no", ("once",))
        return an_answer(held, "well kept")

    await bench.accept("good", "bad", via="kafka")
    pipeline = ScriptedPipeline(model)
    published = Published(away=True)

    await bench.drain(pipeline, published=published).run()

    assert await bench.states("good", "bad") == [State.RETRY, State.RETRY]
    await bench.assert_the_counts_add_up()
    published.away = False
    await redis_client.zadd(keys.deferred(QUEUE_KAFKA), {"good": 0, "bad": 0})
    await bench.drain(pipeline, published=published, consumer="another/0").run()
    assert await bench.states("good", "bad") == [State.SUCCESS, State.FAILURE]
    # Nobody asked the model again, and what is published and stored is what it had said.
    assert sorted(pipeline.asked) == ["bad", "good"]
    by_id = {_id_of(ending): ending for ending in published.endings}
    answer, failure = by_id["good"], by_id["bad"]
    assert isinstance(answer, Answered)
    assert (answer.result.response, answer.tokens, answer.cost_microdollars) == ("well kept", 7, 3)
    assert isinstance(failure, Failed)
    assert failure.failure.history == ("once",)
    await bench.assert_the_counts_add_up()


async def test_hits_that_go_nowhere_else_are_stored_together(bench: Bench) -> None:
    ids = [f"h{number}" for number in range(60)]
    await bench.accept(*ids)
    published = Published(due=False)

    await bench.drain(ScriptedPipeline(hits=frozenset(ids)), published=published).run()

    assert await bench.states(*ids) == [State.SUCCESS] * 60
    assert published.endings == []
    await bench.assert_the_counts_add_up()


async def test_one_that_can_t_be_stored_fails_alone_among_those_stored_together(
    bench: Bench,
) -> None:
    await bench.accept("good", "bad", "fine")
    pipeline = ScriptedPipeline(hits=frozenset({"good", "bad", "fine"}), unstorable="bad")

    await bench.drain(pipeline, published=Published(due=False)).run()

    assert await bench.states("good", "fine") == [State.SUCCESS] * 2
    assert await bench.reason("bad") == Reason.INTERNAL_ERROR
    await bench.assert_the_counts_add_up()


async def test_a_broker_that_is_away_holds_up_no_http_event(bench: Bench) -> None:
    await bench.accept(*(f"k{number}" for number in range(40)), via="kafka")
    await bench.accept("h1", "h2")
    published = Published(away=True)

    await bench.drain(ScriptedPipeline(), published=published, slots=4).run()

    assert await bench.states("h1", "h2") == [State.SUCCESS, State.SUCCESS]
    # Those under way together found out; the rest did not try.
    assert 0 < published.tries <= 4
    assert {_id_of(ending) for ending in published.endings} == {"h1", "h2"}


def _id_of(ending: Answered | Failed) -> str:
    return ending.event_id if isinstance(ending, Failed) else ending.held.event.id


async def test_what_can_not_be_given_back_holds_back_no_other_and_stays_held(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    both_run = asyncio.Barrier(2)

    async def model(held: Held) -> Ending:
        await both_run.wait()
        await redis_client.set(keys.again(QUEUE_KAFKA), "of another program")
        bench.stop = True
        await asyncio.Event().wait()
        return an_answer(held)

    await bench.accept("a")
    event = an_event("b", via="kafka", source=KafkaSource(topic="t", partition=0, offset=1))
    await bench.inbox.accept([Arrival(event, raw=b"b")])

    await bench.drain(ScriptedPipeline(model), shutdown_seconds=0.1).run()

    depths = await bench.inbox.depth([QUEUE_HTTP, QUEUE_KAFKA])
    assert (depths[QUEUE_HTTP].queued, depths[QUEUE_HTTP].in_flight) == (1, 0)
    assert (depths[QUEUE_KAFKA].queued, depths[QUEUE_KAFKA].in_flight) == (0, 1)


@pytest.mark.parametrize("name", ["inbox", "deferred", "deferred_entries", "again"])
async def test_a_queue_whose_key_is_another_programs_holds_up_no_other(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, name: str
) -> None:
    await redis_client.set(keys.prefix + f"{name}:{QUEUE_HTTP}", "of another program")
    await bench.accept("a", "b", via="kafka")

    with capture_logs() as lines:
        await bench.drain(ScriptedPipeline()).run()

    assert await bench.states("a", "b") == [State.SUCCESS, State.SUCCESS]
    [warning] = [line for line in lines if line["log_level"] == "warning"]
    assert f"under {keys.prefix}{name}:{QUEUE_HTTP}:" in warning["problem"]
    assert bench.woken == []


async def test_a_stopping_worker_finishes_what_it_can_and_gives_back_the_rest(
    bench: Bench,
) -> None:
    await bench.accept("quick", "endless")
    both_run = asyncio.Barrier(2)

    async def model(held: Held) -> Ending:
        await both_run.wait()
        bench.stop = True
        if held.event.id == "endless":
            await asyncio.Event().wait()
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model), shutdown_seconds=0.2).run()

    assert await bench.states("quick", "endless") == [State.SUCCESS, State.PENDING]
    assert bench.woken[-1] == QUEUE_HTTP
    await bench.assert_the_counts_add_up()
    bench.stop = False
    await bench.drain(ScriptedPipeline(), consumer="another/0").run()
    assert await bench.states("endless") == [State.SUCCESS]


@pytest.mark.parametrize("in_time", [True, False], ids=["in time", "too late"])
async def test_hits_that_are_being_stored_when_the_worker_stops(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, in_time: bool
) -> None:
    """They are stored if there is time, and else given back, to be answered by another."""
    names = [f"e{number}" for number in range(20)]
    await bench.accept(*names)
    inbox = SlowlyFinishing(redis_client, keys, result_ttl_seconds=60, lease_seconds=30)
    pipeline = ScriptedPipeline(hits=frozenset(names))
    drain = bench.drain(
        pipeline,
        inbox=inbox,
        published=Published(due=False),
        slots=len(names),  # all of them in one claim
        shutdown_seconds=30 if in_time else 0.1,
    )

    async with asyncio.timeout(30):
        running = asyncio.create_task(drain.run())
        await inbox.finishing.wait()
        bench.stop = True
        if in_time:
            inbox.may_finish.set()
        await running

    assert drain.counts.held == 0
    expected = State.SUCCESS if in_time else State.PENDING
    assert Counter(await bench.states(*names)) == {expected: 20}
    assert bench.woken == ([] if in_time else [QUEUE_HTTP])
    await bench.assert_the_counts_add_up()
    inbox.may_finish.set()  # what was given back is nobody's work any more
    assert Counter(await bench.states(*names)) == {expected: 20}
    bench.stop = False
    await bench.drain(ScriptedPipeline(), consumer="another/0").run()
    assert Counter(await bench.states(*names)) == {State.SUCCESS: 20}
    await bench.assert_the_counts_add_up()


async def test_where_no_time_is_left_for_a_call_nothing_is_claimed(bench: Bench) -> None:
    await bench.accept("a")
    pipeline = ScriptedPipeline()

    await bench.drain(pipeline, longest_seconds=100).run(ends_at=time.monotonic() + 20)

    assert pipeline.claims == []
    assert bench.woken  # another process has the time


@pytest.mark.parametrize(
    ("longest_seconds", "shutdown_seconds", "deadline_seconds", "call_seconds"),
    [
        (math.inf, 30, 120, 120),
        (285, 30, 120, 120),
        (285, 30, 250, 250),
        (285, 3600, 250, 285 - 71.25 - 5),
        (57, 30, 120, 57 - 14.25 - 5),
        (4, 30, 120, 2),
    ],
)
def test_a_call_has_the_time_that_its_run_leaves(
    longest_seconds: float, shutdown_seconds: float, deadline_seconds: float, call_seconds: float
) -> None:
    settings = DrainSettings(
        slots=1,
        lease_seconds=30,
        deadline_seconds=deadline_seconds,
        max_deliveries=3,
        shutdown_seconds=shutdown_seconds,
        longest_seconds=longest_seconds,
    )
    assert settings.call_seconds == call_seconds
    assert settings.call_seconds + settings.grace_seconds <= longest_seconds


async def test_what_takes_longer_than_a_task_may_is_given_back_before_its_end(
    bench: Bench,
) -> None:
    """Claimed by the look-ups' recent share of misses, more is in hand than slots get to."""
    await bench.accept("a", "b", "c", "d")

    async def model(held: Held) -> Ending:
        if held.event.id != "a":
            await asyncio.Event().wait()
        return an_answer(held)

    drain = bench.drain(ScriptedPipeline(model), slots=2, longest_seconds=4)
    await asyncio.wait_for(drain.run(), 60)

    states = await bench.states("a", "b", "c", "d")
    assert states == [State.SUCCESS, *[State.PENDING] * 3]
    # Nobody's lease has to end: another process has them at once.
    assert bench.woken == [QUEUE_HTTP]
    await bench.drain(ScriptedPipeline(), consumer="another/0").run()
    assert await bench.states("a", "b", "c", "d") == [State.SUCCESS] * 4
    await bench.assert_the_counts_add_up()


@pytest.mark.parametrize("taken_over", [1, 2], ids=["its last delivery", "delivered too often"])
async def test_a_stopping_worker_gives_back_the_event_that_waits_to_run_alone(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, taken_over: int
) -> None:
    await bench.accept("suspect", via="kafka")
    no_lease = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    await no_lease.claim(QUEUE_KAFKA, "dead/0", 10)
    for life in range(taken_over):
        await no_lease.claim(QUEUE_KAFKA, f"dead/{life}", 0, suspects="take")
    await bench.accept("slow")
    await bench.inbox.claim(QUEUE_HTTP, "worker/0", 10)
    short = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0.5)
    async with asyncio.timeout(60):
        while not await short.needs_a_worker(QUEUE_KAFKA):
            await asyncio.sleep(0.01)
        while not await short.needs_a_worker(QUEUE_HTTP):
            await asyncio.sleep(0.01)

    async def model(held: Held) -> Ending:
        await asyncio.sleep(0.5)  # long enough for the suspect to wait behind it
        bench.stop = True
        await asyncio.Event().wait()  # until it is cut off and given back
        raise AssertionError

    pipeline = ScriptedPipeline(model)
    await bench.drain(
        pipeline, inbox=short, consumer="another/0", lease_seconds=0.5, shutdown_seconds=0.1
    ).run()

    assert pipeline.asked == ["slow"]
    assert await bench.states("slow", "suspect") == [State.PENDING, State.PENDING]
    await bench.assert_the_counts_add_up()


@pytest.mark.parametrize("consumer", ["worker/0", "another/0"], ids=["own", "another's"])
async def test_a_stopping_worker_waits_for_no_suspect_that_is_slow(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, consumer: str
) -> None:
    await bench.accept("slow", "next")
    no_lease = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    await no_lease.claim(QUEUE_HTTP, "worker/0", 10)

    async def model(held: Held) -> Ending:
        bench.stop = True
        return await asyncio.Future()

    pipeline = ScriptedPipeline(model)
    drain = bench.drain(pipeline, inbox=no_lease, consumer=consumer, slots=1, shutdown_seconds=0.1)
    async with asyncio.timeout(10):
        await drain.run()

    assert pipeline.asked == ["slow"]
    # It never took over the other, which is left to the next process.
    assert await bench.states("slow", "next") == [State.PENDING, State.STARTED]
    await bench.assert_the_counts_add_up()


async def test_a_lost_lease_ends_the_work_on_it(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("a")
    no_lease = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=0)
    ended = asyncio.Event()

    async def take_over() -> None:
        claim = await no_lease.claim(QUEUE_HTTP, "other/0", 0, suspects="take")
        await bench.inbox.finish([an_answer(claim.suspects[0], "the other's answer")])

    others: list[asyncio.Task[None]] = []

    async def model(held: Held) -> Ending:
        # The other goes on although this one may be ended as soon as the event is taken.
        others.append(asyncio.create_task(take_over()))
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    await bench.drain(ScriptedPipeline(model), lease_seconds=0.1).run()
    await asyncio.gather(*others)

    assert ended.is_set()
    status = await bench.results.status("a")
    assert status is not None
    assert status.result is not None
    assert status.result.response == "the other's answer"


async def test_a_drain_whose_time_is_over_leaves_the_rest_to_another(bench: Bench) -> None:
    await bench.accept(*(f"e{number}" for number in range(5)))
    pipeline = ScriptedPipeline()

    await bench.drain(pipeline, most_seconds=-1).run()

    assert pipeline.asked == []
    assert bench.woken == [QUEUE_HTTP]


@pytest.mark.parametrize("answered_or_lost", [False, True], ids=["under way", "answered or lost"])
async def test_a_drain_whose_time_is_over_wants_a_wake_up_unless_one_is_under_way(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, answered_or_lost: bool
) -> None:
    """Each would ask for another, and those gather behind the busy processes."""
    await bench.accept(*(f"e{number}" for number in range(6)))
    later = 0.0

    async def model(held: Held) -> Ending:
        nonlocal later
        assert bench.woken == [QUEUE_HTTP], "more waits than one claim takes"
        if answered_or_lost:
            await redis_client.delete(keys.wake(QUEUE_HTTP))
        later = 60.0
        return an_answer(held)

    drain = bench.drain(ScriptedPipeline(model), slots=1, clock=lambda: time.monotonic() + later)
    await drain.run()

    assert bench.woken == [QUEUE_HTTP] * (2 if answered_or_lost else 1)
    assert await redis_client.exists(keys.wake(QUEUE_HTTP))


async def test_drains_that_end_together_want_one_wake_up_a_queue(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    await bench.accept("h1", "h2")
    await bench.accept("k1", "k2", via="kafka")
    # As it does in ten seconds.
    await redis_client.delete(keys.wake(QUEUE_KAFKA))
    later = 0.0
    all_run = asyncio.Barrier(2)

    async def model(held: Held) -> Ending:
        nonlocal later
        await all_run.wait()
        later = 60.0
        return an_answer(held)

    def drain(consumer: str) -> Drain:
        return bench.drain(
            ScriptedPipeline(model),
            consumer=consumer,
            slots=1,
            clock=lambda: time.monotonic() + later,
        )

    await asyncio.gather(drain("worker/0").run(), drain("worker/1").run())

    # HTTP's were taken, and what waits for another process is told to one.
    assert await bench.states("h1", "h2") == [State.SUCCESS] * 2
    assert await bench.states("k1", "k2") == [State.PENDING] * 2
    assert bench.woken.count(QUEUE_KAFKA) == 1


async def test_a_drain_whose_time_is_over_wakes_nobody_for_nothing(bench: Bench) -> None:
    await bench.accept("a")
    later = 0.0

    async def model(held: Held) -> Ending:
        nonlocal later
        later = 60.0
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model), clock=lambda: time.monotonic() + later).run()

    assert bench.woken == []


@pytest.mark.parametrize("stopping", [True, False], ids=["stopping", "no time"])
async def test_a_wake_up_that_a_run_began_with_and_did_not_answer_goes_to_another(
    bench: Bench, redis_client: AsyncRedis, keys: Keys, stopping: bool
) -> None:
    """The key stands for the message that this run has used up."""
    await bench.accept("a")
    assert await redis_client.exists(keys.wake(QUEUE_HTTP))
    bench.stop = stopping

    await bench.drain(ScriptedPipeline(), most_seconds=30 if stopping else -1).run()

    assert bench.woken == [QUEUE_HTTP]


async def test_a_queue_that_a_full_run_never_reached_is_left_to_another(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    """Its key may stand for the message that this run has used up."""
    await bench.accept("h")
    await bench.accept("k", via="kafka")
    assert await redis_client.exists(keys.wake(QUEUE_KAFKA))

    async def model(held: Held) -> Ending:
        bench.stop = True
        return an_answer(held)

    await bench.drain(ScriptedPipeline(model), slots=1).run()

    assert await bench.states("h", "k") == [State.SUCCESS, State.PENDING]
    assert bench.woken == [QUEUE_KAFKA]


async def test_a_stopping_worker_wakes_another_for_each_queue_that_it_gives_back_to(
    bench: Bench,
) -> None:
    await bench.accept("h")
    await bench.accept("k", via="kafka")
    both_run = asyncio.Barrier(2)

    async def model(held: Held) -> Ending:
        await both_run.wait()
        bench.stop = True
        return await asyncio.Future()

    await bench.drain(ScriptedPipeline(model), shutdown_seconds=0.1).run()

    assert await bench.states("h", "k") == [State.PENDING] * 2
    assert sorted(bench.woken) == [QUEUE_HTTP, QUEUE_KAFKA]
    await bench.assert_the_counts_add_up()


async def test_a_drain_that_ends_where_redis_is_away_ends(
    bench: Bench, redis_client: AsyncRedis, keys: Keys
) -> None:
    class Away(Inbox):
        async def needs_a_worker(self, queue: str) -> bool:
            raise StoreUnavailable("Redis is away")

    away = Away(redis_client, keys, result_ttl_seconds=60, lease_seconds=30)
    await bench.accept("a")

    await bench.drain(ScriptedPipeline(), inbox=away, most_seconds=-1).run()

    # The parent of a process without work looks at the inboxes when Redis is back.
    assert bench.woken == []
    assert await bench.inbox.needs_a_worker(QUEUE_HTTP)


async def test_all_claims_of_a_drain_want_one_wake_up_as_long_as_none_has_answered_it(
    bench: Bench,
) -> None:
    await bench.accept(*(f"e{number}" for number in range(6)))

    await bench.drain(ScriptedPipeline(), slots=1).run()

    assert bench.woken == [QUEUE_HTTP]


async def test_a_drain_that_begins_answers_the_wake_up_and_wants_the_next(bench: Bench) -> None:
    await bench.accept("a", "b", "c")
    await bench.inbox.claim(QUEUE_HTTP, "first/0", 1)

    second = await bench.inbox.claim(QUEUE_HTTP, "second/0", 1)
    going_on = await bench.inbox.claim(QUEUE_HTTP, "second/0", 0, begins=False)
    [late] = await bench.inbox.accept([Arrival(an_event("d"))])

    assert second.wake
    assert not going_on.wake
    assert not late.wake, "a wake-up is under way"


async def test_more_than_one_claim_takes_wakes_another_process(bench: Bench) -> None:
    await bench.accept("a", "b", "c")

    await bench.drain(ScriptedPipeline(), slots=1).run()

    assert QUEUE_HTTP in bench.woken
