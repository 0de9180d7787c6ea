"""The look at the servers at start, where one of them is a Redis Cluster or is not there."""

from __future__ import annotations

from pathlib import Path

import redis

from eventstream.settings import Settings
from eventstream.store_checks import warn_about_stores
from tests.integration.cache.support import cluster_node


async def test_a_cluster_says_of_its_memory_what_a_server_says(
    tmp_path: Path, broker_url: str, state_url: str
) -> None:
    with cluster_node(tmp_path) as port:
        with redis.Redis(port=port) as admin:
            admin.config_set("maxmemory", "1gb")
        settings = Settings(
            redis_url=f"redis+cluster://127.0.0.1:{port}/0",
            celery_broker_url=broker_url,
            celery_result_backend=state_url,
        )

        [sentence] = await of_the_cache(settings)

        assert "the cache's Redis refuses writes when it is full" in sentence


async def test_a_cluster_that_is_away_is_left_in_peace(broker_url: str, state_url: str) -> None:
    settings = Settings(
        redis_url="redis+cluster://127.0.0.1:1/0",
        celery_broker_url=broker_url,
        celery_result_backend=state_url,
    )

    assert await of_the_cache(settings) == []


async def of_the_cache(settings: Settings) -> list[str]:
    """What is said of it; the run's own servers have no bound, and are told so."""
    return [said for said in await warn_about_stores(settings) if "the cache's" in said]
