"""The registry on real Redis: generations, tombstones, an emptied or absent server; heartbeats."""

from __future__ import annotations

import orjson
import pytest
from structlog.testing import capture_logs

from eventstream.errors import StoreUnavailable
from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.keys import SCHEMA, Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import FRESH_SECONDS, RegisteredStream, Registry
from eventstream.settings import Settings
from eventstream.spec import Source, StreamSpec, Task
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer

SPEC = StreamSpec(source=Source(topic="raw"))


async def test_a_generation_goes_up_only_when_the_spec_changes(registry: Registry) -> None:
    await registry.write({"reviews": SPEC})
    await registry.write({"reviews": SPEC})
    assert await registry.generation("reviews") == 1

    await registry.write({"reviews": SPEC.model_copy(update={"task": Task(prompt="Else.")})})
    assert await registry.generation("reviews") == 2


async def test_a_deleted_stream_is_gone_but_its_queue_is_still_served(registry: Registry) -> None:
    await registry.write({"reviews": SPEC})

    assert await registry.delete("reviews")
    assert not await registry.delete("reviews")
    assert await registry.get("reviews") is None
    assert await registry.all() == {}
    assert await registry.queues() == ("reviews",)

    await registry.write({"reviews": SPEC})
    assert await registry.generation("reviews") == 3


async def test_a_deleted_streams_queue_is_served_by_everybody_until_it_is_settled(
    registry: Registry,
) -> None:
    await registry.write({"reviews": SPEC, "letters": SPEC})
    await registry.delete("reviews")
    assert await registry.queues(("letters",)) == ("letters", "reviews")
    assert await registry.last("reviews") == SPEC

    [(name, tombstone)] = (await registry.tombstones()).items()
    assert await registry.settle(name, tombstone)
    assert await registry.tombstones() == {}
    assert await registry.queues() == ("letters",)

    await registry.write({"reviews": SPEC})
    assert not await registry.settle(name, tombstone), "it is another stream by now"
    assert await registry.queues(("reviews",)) == ("reviews",)


async def test_the_default_stream_is_written_once_and_its_http_queue_comes_first(
    registry: Registry,
) -> None:
    await registry.write({"a": SPEC})
    await registry.ensure_default(Settings(kafka_topic_raw_data="mine"))
    await registry.ensure_default(Settings(kafka_topic_raw_data="other"))

    spec = await registry.get("default")
    assert spec is not None
    assert spec.source is not None
    assert spec.source.topic == "mine"
    assert (await registry.queues())[0] == "ai_processing"
    assert await registry.queues(("a",)) == ("a",)


async def test_an_unreadable_stream_does_not_hide_the_others(
    registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": SPEC})
    await redis_client.hset(keys.streams, "broken", b"\xff{")

    assert list(await registry.all()) == ["reviews"]


async def test_a_name_that_is_not_utf8_is_no_stream_and_none_that_is_unknown(
    registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    """Topics of deleted streams stay while a stream is unknown: this one can never be read."""
    await redis_client.hset(keys.streams, b"\xff", SPEC.model_dump_json())
    await redis_client.hset(keys.streams, b"\xfe", b'{"schema_number": 99}')
    await redis_client.hset(keys.streams, "broken", b"{")

    with capture_logs() as lines:
        assert await registry.all() == {}

    assert await registry.unknown() == {"broken"}
    assert [line["event"] for line in lines] == ["stream_unreadable"] * 3


async def test_a_stream_that_a_newer_operator_wrote_stays_as_it_was_and_is_not_restored(
    registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": SPEC, "letters": SPEC})
    await registry.all()
    newer = b'{"generation": 2, "spec": {"aFieldOfTomorrow": 1}}'
    await redis_client.hset(keys.streams, "reviews", newer)

    with capture_logs() as lines:
        for _ in range(3):
            assert await registry.all() == {"reviews": SPEC, "letters": SPEC}

    assert [line["event"] for line in lines] == ["stream_unreadable"]
    assert await redis_client.hget(keys.streams, "reviews") == newer


async def test_an_emptied_redis_gets_its_streams_back(
    registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    await registry.write({"reviews": SPEC})
    await registry.all()
    await redis_client.delete(keys.streams)

    assert list(await registry.all()) == ["reviews"]
    assert await redis_client.hexists(keys.streams, "reviews")


async def test_the_last_streams_known_go_on_while_redis_is_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with RedisServer(tmp_path_factory.mktemp("away"), search=False) as server:
        client = connect(server.url(2), timeout_seconds=1)
        registry = Registry(client, Keys(), max_age_seconds=0)
        await registry.write({"reviews": SPEC})
        await registry.all()
        server.kill()

        assert await registry.get("reviews") == SPEC
        with pytest.raises(StoreUnavailable):
            await Registry(client, Keys()).all()
        await client.aclose()


async def test_who_accepts_goes_by_no_streams_of_long_ago(
    redis_client: AsyncRedis, keys: Keys, registry: Registry
) -> None:
    clock = Clock(0.0)
    await registry.write({"reviews": SPEC})
    held_up = Registry(redis_client, keys, max_age_seconds=2, clock=clock)
    assert await held_up.get_to_accept("reviews") == SPEC
    await registry.delete("reviews")

    clock.now = FRESH_SECONDS
    assert await held_up.get_to_accept("reviews") == SPEC, "no round trip for each event"
    clock.now += 1
    assert await held_up.get_to_accept("reviews") is None

    await registry.write({"reviews": SPEC})
    clock.now += 2
    assert await held_up.get_to_accept("reviews") == SPEC, "a new one is seen at once"


async def test_nothing_is_accepted_by_streams_that_can_not_be_looked_at(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    clock = Clock(0.0)
    with RedisServer(tmp_path_factory.mktemp("away"), search=False) as server:
        client = connect(server.url(2), timeout_seconds=1)
        registry = Registry(client, Keys(), clock=clock)
        await registry.write({"reviews": SPEC})
        await registry.all()
        server.kill()

        clock.now = FRESH_SECONDS
        assert await registry.get("reviews") == SPEC
        assert await registry.get_to_accept("reviews") == SPEC
        clock.now += 1
        assert await registry.get("reviews") == SPEC, "what is accepted already is worked on"
        with pytest.raises(StoreUnavailable):
            await registry.get_to_accept("reviews")
        await client.aclose()


async def test_heartbeats_show_who_is_alive(redis_client: AsyncRedis, keys: Keys) -> None:
    heartbeats = Heartbeats(redis_client, keys)
    beat = WorkerHeartbeat(
        name="w1", pid=1, started_at=1, beat_at=2, concurrency=4, queues=[], registered_tasks=[]
    )
    await heartbeats.beat(beat, ttl_seconds=60)
    await heartbeats.beat(beat.model_copy(update={"name": "w2"}), ttl_seconds=60)
    await redis_client.delete(keys.worker("w2"))
    await redis_client.set(keys.worker("newer"), '{"shape": "of a newer version"}')
    await redis_client.zadd(keys.workers, {"newer": 3})

    assert [alive.name for alive in await heartbeats.alive()] == ["w1"]
    assert await redis_client.zscore(keys.workers, "w2") is None
    await heartbeats.forget("w1")
    assert await heartbeats.alive() == []


async def test_a_stream_of_a_newer_version_stays_what_it_was(
    registry: Registry, redis_client: AsyncRedis, keys: Keys
) -> None:
    """What is new in it would be left out, and nobody would know."""
    await registry.write({"reviews": SPEC, "tickets": SPEC})
    before = await registry.all()
    newer = RegisteredStream(schema_number=SCHEMA + 1, generation=2, spec=StreamSpec())
    for name in ("reviews", "mails"):
        await redis_client.hset(keys.streams, name, newer.model_dump_json(by_alias=True))

    with capture_logs() as lines:
        assert await registry.all() == before
    assert {line["stream"] for line in lines} == {"reviews", "mails"}
    assert {line["event"] for line in lines} == {"stream_unreadable"}


@pytest.mark.parametrize("spec", [{}, {"aFieldOfTomorrow": 1}])
async def test_what_a_newer_version_wrote_is_neither_written_over_nor_deleted(
    registry: Registry, redis_client: AsyncRedis, keys: Keys, spec: dict[str, int]
) -> None:
    newer = orjson.dumps({"schema_number": SCHEMA + 1, "owner": "theirs", "spec": spec})
    await redis_client.hset(keys.streams, "reviews", newer)

    with pytest.raises(StoreUnavailable, match="a newer version wrote reviews"):
        await registry.write({"reviews": StreamSpec(), "tickets": StreamSpec()}, "ours")
    with pytest.raises(StoreUnavailable, match="a newer version wrote reviews"):
        await registry.delete("reviews")

    assert await redis_client.hget(keys.streams, "reviews") == newer
    assert await registry.owners() == {"reviews": "theirs", "tickets": "ours"}
    assert await registry.unknown() == {"reviews"}


async def test_what_cannot_be_read_stays_known_through_a_change_of_another(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    registry = Registry(redis_client, keys)
    await registry.write({"reviews": StreamSpec(), "tickets": StreamSpec()})
    assert await registry.all()
    await redis_client.hset(keys.streams, "reviews", "{")

    await registry.delete("tickets")

    assert (await registry.all()).keys() == {"reviews"}
    assert await registry.unknown() == set()
