"""Figures of lag that can't be read: another consumer's are there all the same."""

from __future__ import annotations

import pytest

from eventstream import kafka_lag
from eventstream.errors import StoreUnavailable
from eventstream.kafka_lag import PartitionLag
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis

FIGURE = PartitionLag(lag=5, end=7, position=2, measured_at=100.0)


async def test_a_figure_that_can_not_be_read_is_left_out(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    await kafka_lag.publish(redis_client, keys, "reviews", "t", {0: FIGURE})
    stored = FIGURE.model_dump_json()
    for name, value in ((b"t:1", '{"records": 5}'), (b"t:2", "{"), (b"\xff:3", stored)):
        await redis_client.hset(keys.kafka_lag("reviews"), name, value)

    assert await kafka_lag.read(redis_client, keys, "reviews") == {"t:0": FIGURE}


async def test_figures_under_another_programs_key_are_the_stores_trouble(
    redis_client: AsyncRedis, keys: Keys
) -> None:
    await redis_client.set(keys.kafka_lag("reviews"), "of another program")

    with pytest.raises(StoreUnavailable, match="reading Kafka lag"):
        await kafka_lag.read(redis_client, keys, "reviews")
