"""Where a queue's unfinished events begin, as one look at a real Redis says."""

from __future__ import annotations

from eventstream import kafka_gap
from eventstream.kafka_gap import EntryId, Finished, Look
from eventstream.keys import Keys, queue_for
from eventstream.redis_client import AsyncRedis

QUEUE = queue_for("reviews", "kafka")


async def put_back(redis: AsyncRedis, keys: Keys, status: str, ids: list[str], made: int) -> None:
    """As put_back.lua leaves events whose first entries were made from `made` on."""
    pipe = redis.pipeline()
    for number, event_id in enumerate(ids):
        pipe.zadd(keys.again(QUEUE), {event_id: made + number})
        pipe.hset(keys.task_meta(event_id), "status", status)
    await pipe.execute()


async def look(redis: AsyncRedis, keys: Keys) -> Look:
    return await kafka_gap.look(redis, keys, "reviews", QUEUE)


async def test_a_deferred_event_behind_many_finished_ones_is_never_taken_as_finished(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    done = [f"done-{number}" for number in range(1500)]
    await put_back(redis_client, keys, "SUCCESS", done, made=1_000)
    await put_back(redis_client, keys, "RETRY", ["open"], made=5_000)
    finished = Finished()
    finished.begin(0, 7)

    for expected in (1_512, 2_024, 5_000, 5_000):
        seen = await look(redis_client, keys)
        assert seen.oldest_unfinished == EntryId(expected, 0)
        finished.look({0: 1600}, EntryId(9_000, 0), seen.oldest_unfinished)
        assert finished.offsets == {0: 7}

    await put_back(redis_client, keys, "SUCCESS", ["open"], made=5_000)
    assert (await look(redis_client, keys)).oldest_unfinished is None
