"""One reading of everything: what waits, what was counted, who is busy, what was used."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from eventstream.claims import Arrival
from eventstream.errors import StoreUnavailable
from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.spending import Spending
from eventstream.redis_client import AsyncRedis, connect
from eventstream_operator.observe.backlog import counts_of
from eventstream_operator.observe.heartbeats import BusyTime, by_stream
from eventstream_operator.observe.state import StateReader
from eventstream_operator.observe.usage import DayUsage
from tests.support.events import an_answer, an_event
from tests.support.redis_server import free_port


@pytest.fixture
def reader(redis_client: AsyncRedis, keys: Keys) -> StateReader:
    return StateReader(redis_client, keys)


def some(stream: str, count: int) -> list[Arrival]:
    return [Arrival(an_event(uuid.uuid4().hex, stream=stream)) for _ in range(count)]


def a_heartbeat(
    name: str, *, busy: float, held: int = 0, queue: str = "reviews"
) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        name=name,
        pid=1,
        started_at=0,
        beat_at=0,
        concurrency=4,
        queues=[queue],
        registered_tasks=[],
        stats={"busy_seconds": busy, "held": held, "slots": 32},
    )


async def test_a_stream_that_nobody_has_used_is_empty(reader: StateReader) -> None:
    state = await reader.read(("reviews",), unix_now=0)
    one = state.streams["reviews"]
    assert (one.inbox.queued, one.inbox.in_flight, one.inbox.oldest_age_seconds) == (0, 0, 0)
    assert counts_of(one.counters).accepted == 0
    assert one.lags == {}
    assert one.usage == DayUsage()


async def test_what_waits_is_told_from_what_is_in_hand(reader: StateReader, inbox: Inbox) -> None:
    await inbox.accept(some("reviews", 5))
    claim = await inbox.claim("reviews", "worker/0", 2)
    await inbox.finish([an_answer(claim.fresh[0])])
    one = (await reader.read(("reviews",), unix_now=0)).streams["reviews"]
    assert (one.inbox.queued, one.inbox.in_flight) == (3, 1)
    assert one.inbox.oldest_age_seconds == one.inbox.oldest_unfinished_seconds > 0
    assert (counts_of(one.counters).accepted, counts_of(one.counters).finished) == (5, 1)


async def test_what_is_deferred_is_old_but_waits_for_no_worker(
    reader: StateReader, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    [arrival] = some("reviews", 1)
    await inbox.accept([arrival])
    [held] = (await inbox.claim("reviews", "worker/0", 1)).fresh
    await inbox.put_back("worker/0", [held.wait(60)])
    await redis_client.zadd(keys.again("reviews"), {arrival.event.id: 1_000}, xx=True)

    one = (await reader.read(("reviews",), unix_now=0)).streams["reviews"].inbox
    assert (one.deferred, one.oldest_age_seconds) == (1, 0)
    assert one.oldest_unfinished_seconds > 86_400

    await inbox.finish([an_answer(held)])
    one = (await reader.read(("reviews",), unix_now=0)).streams["reviews"].inbox
    assert (one.deferred, one.oldest_unfinished_seconds) == (0, 0)


async def test_the_default_stream_is_the_sum_of_its_queues(
    reader: StateReader, inbox: Inbox
) -> None:
    from_kafka = [Arrival(an_event(uuid.uuid4().hex, via="kafka")) for _ in range(2)]
    await inbox.accept([*some("default", 3), *from_kafka])
    state = await reader.read(("default",), unix_now=0)
    assert state.streams["default"].inbox.queued == 5


async def test_duplicates_are_no_arrivals(reader: StateReader, inbox: Inbox) -> None:
    arrivals = some("reviews", 2)
    await inbox.accept(arrivals)
    await inbox.accept(arrivals)
    one = (await reader.read(("reviews",), unix_now=0)).streams["reviews"]
    assert counts_of(one.counters).accepted == 2


async def test_the_first_reading_has_all_workers_and_a_new_one_is_seen_one_later(
    reader: StateReader, redis_client: AsyncRedis, keys: Keys
) -> None:
    async def seen() -> list[str]:
        return [beat.name for beat in (await reader.read((), unix_now=0)).heartbeats]

    heartbeats = Heartbeats(redis_client, keys)
    await heartbeats.beat(a_heartbeat("w@pod-1", busy=8), 60)
    assert await seen() == ["w@pod-1"]
    await heartbeats.beat(a_heartbeat("w@pod-2", busy=8), 60)
    assert await seen() == ["w@pod-1"]
    assert sorted(await seen()) == ["w@pod-1", "w@pod-2"]


async def test_consumers_figures_and_the_days_usage_are_read(
    reader: StateReader, redis_client: AsyncRedis, keys: Keys
) -> None:
    figure = PartitionLag(lag=7, end=10, position=3, measured_at=100)
    await publish(redis_client, keys, "reviews", "reviews.raw", {0: figure})
    spending = Spending(redis_client, keys)
    hold = spending.no_hold("reviews")
    await spending.record(hold, calls=2, tokens=Tokens(prompt=30, completion=12), cost=5)
    now = datetime.strptime(hold.day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    one = (await reader.read(("reviews",), unix_now=now)).streams["reviews"]
    assert one.lags == {"reviews.raw:0": figure}
    assert one.usage == DayUsage(calls=2, tokens=42, cost_microdollars=5)


@pytest.mark.parametrize("odd", ["text in a counter", "a key of another kind", "an odd figure"])
async def test_what_can_not_be_read_of_one_stream_leaves_the_others_theirs(
    reader: StateReader, redis_client: AsyncRedis, inbox: Inbox, keys: Keys, odd: str
) -> None:
    await inbox.accept([*some("reviews", 5), *some("tickets", 3)])
    match odd:
        case "text in a counter":
            await redis_client.hset(keys.counters("reviews"), "accepted", "many")
        case "a key of another kind":
            await redis_client.delete(keys.inbox("reviews"))
            await redis_client.set(keys.inbox("reviews"), "no stream")
        case _:
            figure = PartitionLag(lag=7, end=10, position=3, measured_at=100).model_dump_json()
            await redis_client.hset(keys.kafka_lag("reviews"), b"\xff:0", figure)

    with capture_logs() as lines:
        for _ in range(2):
            state = await reader.read(("reviews", "tickets"), unix_now=0)

    assert state.streams["tickets"].inbox.queued == 3
    if odd == "an odd figure":
        assert state.streams["reviews"].lags == {}
        return
    assert "reviews" not in state.streams
    assert [(line["event"], line["stream"]) for line in lines] == [("stream_unreadable", "reviews")]


async def test_what_redis_refuses_for_all_streams_is_an_error_that_says_so(
    reader: StateReader, redis_client: AsyncRedis, keys: Keys
) -> None:
    await redis_client.set(keys.inbox("reviews"), "no stream")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await reader.read(("reviews",), unix_now=0)


async def test_a_redis_that_is_away_is_an_error_that_says_so(keys: Keys) -> None:
    client = connect(f"redis://127.0.0.1:{free_port()}/2", timeout_seconds=1)
    with pytest.raises(StoreUnavailable, match="observing the streams"):
        await StateReader(client, keys).read(("reviews",), unix_now=0)
    await client.aclose()


def test_busy_time_counts_what_is_new_and_keeps_what_left() -> None:
    busy = BusyTime()
    assert busy.add([]).busy_worker_seconds == 0
    # What was done before the first look is not new: a restarted operator finds days of it.
    first = [a_heartbeat("a@1", busy=800_008), a_heartbeat("b@2", busy=4)]
    assert busy.add(first).busy_worker_seconds == 0
    # b is gone, a went on for four process-seconds, c begins.
    time = busy.add([a_heartbeat("a@1", busy=800_012, held=3), a_heartbeat("c@3", busy=4)])
    assert time.busy_worker_seconds == 2
    assert time.idle == 1
    assert time.slots_per_worker == 128
    # What is no number would stay in the counter for good.
    with pytest.raises(ValueError, match="no number of busy seconds"):
        busy.add([a_heartbeat("a@1", busy=float("nan"))])
    # Another process under the same name counts from nothing.
    assert busy.add([a_heartbeat("a@1", busy=4)]).busy_worker_seconds == 3


def test_heartbeats_belong_to_the_stream_of_their_pod() -> None:
    beats = [
        a_heartbeat("w@pod-1", busy=0, queue="anything"),
        a_heartbeat("w@laptop", busy=0, queue="tickets"),
    ]
    sorted_out = by_stream(beats, ("reviews", "tickets"), {"pod-1": "reviews"})
    assert [beat.name for beat in sorted_out["reviews"]] == ["w@pod-1"]
    assert [beat.name for beat in sorted_out["tickets"]] == ["w@laptop"]
