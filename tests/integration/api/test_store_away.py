"""Redis slow or absent: a clear 503, and an event loop that goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.support.redis_server import RedisServer

Open = Callable[..., Any]
BODY = {"text": "How is it?"}


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    with RedisServer(tmp_path_factory.mktemp("own-redis"), appendonly=True) as server:
        yield server


@pytest.fixture
def on_own_redis(own_redis: RedisServer) -> dict[str, Any]:
    """Settings whose every store is that Redis."""
    return {
        "redis_url": own_redis.url(0),
        "celery_broker_url": own_redis.url(1),
        "celery_result_backend": own_redis.url(2),
        "redis_timeout_seconds": 0.5,
    }


async def test_a_redis_that_is_gone_is_503_and_all_is_well_when_it_is_back(
    open_client: Open, on_own_redis: dict[str, Any], own_redis: RedisServer
) -> None:
    async with open_client(**on_own_redis) as client:
        assert (await client.post("/process", json=BODY)).status_code == 202
        own_redis.kill()
        for method, path, body in (
            ("POST", "/process", BODY),
            ("POST", "/process/batch", {"events": [BODY]}),
            ("GET", "/task/1", None),
            ("GET", "/task/1?wait=30", None),
            ("DELETE", "/task/1", None),
            ("GET", "/workers", None),
            ("GET", "/metrics", None),
            ("DELETE", "/cache/clear", None),
        ):
            away = await client.request(method, path, json=body)
            if path == "/cache/clear":
                continue  # The test's stand-in has no server to lose.
            assert away.status_code == 503, path
            assert away.json()["reason"] == "store_unavailable"
            assert int(away.headers["retry-after"]) > 0
        unhealthy = await client.get("/health")
        assert (unhealthy.status_code, unhealthy.json()["status"]) == (503, "unhealthy")
        assert unhealthy.json()["redis"] == "unavailable"
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        own_redis.start()
        assert (await client.post("/process", json=BODY)).status_code == 202
        assert (await client.get("/health")).status_code == 200


async def test_what_a_redis_that_is_gone_does_not_take_is_counted(
    open_client: Open, on_own_redis: dict[str, Any], own_redis: RedisServer
) -> None:
    def counted(stream: str) -> float:
        labels = {"stream": stream, "via": "http", "reason": "store_unavailable"}
        return REGISTRY.get_sample_value("eventstream_events_refused_total", labels) or 0.0

    async with open_client(**on_own_redis) as client:
        own_redis.kill()
        one, batch = counted("default"), counted("unknown")
        await client.post("/process", json=BODY)
        await client.post("/process/batch", json={"events": [BODY, BODY]})
    assert counted("default") - one == 1
    assert counted("unknown") - batch == 1


async def test_a_redis_that_hangs_blocks_nobody_else(
    open_client: Open, on_own_redis: dict[str, Any], own_redis: RedisServer
) -> None:
    async with open_client(**on_own_redis) as client:
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            hanging = [asyncio.create_task(client.post("/process", json=BODY)) for _ in range(20)]
            probes = 0
            while not all(task.done() for task in hanging):
                assert (await client.get("/livez")).status_code == 200
                probes += 1
                await asyncio.sleep(0.01)
            assert probes > 10
            assert {(await task).status_code for task in hanging} == {503}
            assert (await client.get("/health")).status_code == 503
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)


async def test_a_start_without_redis_waits_for_it(
    open_client: Open, on_own_redis: dict[str, Any], own_redis: RedisServer
) -> None:
    own_redis.kill()
    async with open_client(wait_until_ready=False, **on_own_redis) as client:
        starting = await client.get("/readyz")
        assert (starting.status_code, starting.json()["status"]) == (503, "starting")
        assert (await client.post("/process", json=BODY)).status_code == 503
        own_redis.start()
        await client.ready()
        assert (await client.post("/process", json=BODY)).status_code == 202


async def test_without_redis_a_door_that_needs_a_made_key_stays_shut(
    open_client: Open, on_own_redis: dict[str, Any], own_redis: RedisServer
) -> None:
    own_redis.kill()
    settings = {**on_own_redis, "api_auth": "keys"}
    async with open_client(wait_until_ready=False, **settings) as client:
        shut = await client.get("/streams", headers={"X-API-Key": "guess"})
        assert (shut.status_code, shut.json()["reason"]) == (503, "store_unavailable")
        own_redis.start()
        await client.ready()
        assert (await client.get("/streams", headers={"X-API-Key": "guess"})).status_code == 401
