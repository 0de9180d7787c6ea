"""Workers, streams, metrics, health, cache: what runs and what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from tests.integration.api.conftest import RecordedCache
from tests.support.redis_server import RedisServer

from eventstream.api import schemas
from eventstream.claims import Held
from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.spec import StreamSpec, Task

Answer = Callable[..., Awaitable[list[Held]]]


async def test_workers_are_told_by_their_heartbeats(
    client: httpx.AsyncClient, redis_client: AsyncRedis, keys: Keys
) -> None:
    assert (await client.get("/workers")).json() == {
        "workers": [], "stats": {}, "active_tasks": {}, "registered_tasks": {},
    }  # fmt: skip
    heartbeat = WorkerHeartbeat(
        name="celery@one",
        pid=7,
        started_at=1.0,
        beat_at=2.0,
        concurrency=4,
        queues=["ai_processing"],
        registered_tasks=["eventstream.drain"],
        active_tasks=[{"id": "1", "name": "eventstream.drain"}],
        stats={"total": 12},
    )
    await Heartbeats(redis_client, keys).beat(heartbeat, 60)
    body = (await client.get("/workers")).json()
    assert body["workers"] == ["celery@one"]
    assert body["stats"]["celery@one"]["total"] == 12
    assert body["stats"]["celery@one"]["concurrency"] == 4
    assert body["active_tasks"] == {"celery@one": [{"id": "1", "name": "eventstream.drain"}]}
    assert body["registered_tasks"] == {"celery@one": ["eventstream.drain"]}
    assert (await client.get("/health")).json()["celery_workers"] == 1


async def test_streams(open_client: Callable[..., Any], registry: Registry) -> None:
    spec = StreamSpec(task=Task(type="classification", labels=("praise", "complaint")))
    await registry.write({"reviews": spec})
    async with open_client() as client:
        default, reviews = (await client.get("/streams")).json()["streams"]
    assert (default["name"], default["topic"]) == ("default", "datos_crudos")
    assert (reviews["task_type"], reviews["labels"]) == ("classification", ["praise", "complaint"])
    assert "sentiment" in reviews["task_types"]


async def test_metrics_as_json_are_the_whole_deployments(
    client: httpx.AsyncClient, answer: Answer
) -> None:
    for _ in range(2):
        await client.post("/process", json={"text": "a"}, headers={"Idempotency-Key": "same"})
    await client.post("/process", json={"text": "b"})
    waiting = (await client.get("/metrics")).json()
    assert (waiting["total_tasks"], waiting["active_tasks"]) == (2, 2)
    await answer()
    metrics = (await client.get("/metrics")).json()
    assert metrics.pop("uptime") > 0
    assert metrics == {
        "total_tasks": 2,
        "active_tasks": 0,
        "completed_tasks": 2,
        "failed_tasks": 0,
        "cache_hit_rate": 0.0,
        "avg_processing_time": 0.25,
    }


async def test_a_deleted_stream_stays_in_the_deployments_figures(
    open_client: Callable[..., Any], registry: Registry, answer: Answer
) -> None:
    await registry.write({"reviews": StreamSpec()})
    async with open_client() as client:
        await client.post("/process", json={"text": "a", "stream": "reviews"})
        await answer("reviews")
        await client.post("/process", json={"text": "b", "stream": "reviews"})

    await registry.delete("reviews")
    # An API process of its own each time: no figure comes from streams that were known before.
    async with open_client() as client:
        deleted = (await client.get("/metrics")).json()
    await answer("reviews")
    await registry.settle("reviews", (await registry.tombstones())["reviews"])
    async with open_client() as client:
        settled = (await client.get("/metrics")).json()

    shown = ("total_tasks", "active_tasks", "completed_tasks")
    assert [deleted[name] for name in shown] == [2, 1, 1]
    assert [settled[name] for name in shown] == [2, 0, 2]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain", "text/plain; version="),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*",
            "application/openmetrics-text",
        ),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
    ],
)
async def test_metrics_in_the_form_that_is_asked_for(
    client: httpx.AsyncClient, accept: str, content_type: str
) -> None:
    answer = await client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(content_type)
    if content_type != "application/json":
        assert "eventstream_http_requests_total" in answer.text


async def test_health_when_all_is_well(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health.pop("timestamp").endswith("+00:00")
    assert health == {
        "status": "healthy",
        "redis": "connected",
        "celery_workers": 0,
        "kafka_gaps": [],
        "semantic_cache": "available",
    }


async def test_health_says_that_the_cache_server_has_no_vector_search(
    open_client: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with RedisServer(tmp_path_factory.mktemp("plain"), search=False) as plain:
        async with open_client(redis_url=plain.url(0)) as client:
            assert (await client.get("/health")).json()["semantic_cache"] == "exact_only"
            plain.kill()
            gone = await client.get("/health")
    assert (gone.status_code, gone.json()["semantic_cache"]) == (200, "unavailable")


async def test_clearing_the_cache(client: httpx.AsyncClient, recorded_cache: RecordedCache) -> None:
    everything = await client.delete("/cache/clear")
    one = await client.delete("/cache/clear?task_type=sentiment&stream=default")
    assert schemas.CacheCleared.model_validate(everything.json()).cleared == 3
    assert one.json()["task_type"] == "sentiment_analysis"
    assert recorded_cache.asked == [(None, None), ("sentiment_analysis", "default")]


async def test_a_slip_of_the_pen_does_not_clear_every_stream_s_cache(
    client: httpx.AsyncClient, recorded_cache: RecordedCache
) -> None:
    slip = await client.delete("/cache/clear?strem=default")
    never = await client.delete("/cache/clear?stream=nope")
    assert (slip.status_code, slip.json()["reason"]) == (422, "invalid_parameter")
    assert "it takes stream, task_type" in slip.json()["detail"]
    assert (never.status_code, never.json()["reason"]) == (404, "stream_not_found")
    assert recorded_cache.asked == []


@pytest.mark.parametrize("path", ["/streams", "/workers", "/metrics", "/task/x"])
async def test_no_operation_leaves_a_parameter_unread_but_the_probes(
    client: httpx.AsyncClient, path: str
) -> None:
    assert (await client.get(f"{path}?wiat=5")).json()["reason"] == "invalid_parameter"
    assert (await client.get("/livez?from=balancer")).status_code == 200


@pytest.mark.parametrize("path", ["/streams", "/livez", "/docs", "/task/nope", "/nope"])
async def test_head_is_what_get_answers_without_the_body(
    client: httpx.AsyncClient, path: str
) -> None:
    get, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


async def test_paths_and_methods_that_do_not_exist(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nope")
    assert (missing.status_code, missing.json()["reason"]) == (404, "path_not_found")
    wrong = await client.put("/task/7")
    assert (wrong.status_code, wrong.json()["reason"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "DELETE, GET, HEAD"
