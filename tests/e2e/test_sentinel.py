"""Broker, results and cache behind Redis Sentinel, through a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from celery import Celery

from eventstream.redis_client import for_celery
from tests.e2e.services import Deployment, until
from tests.support.redis_sentinel import WatchedRedis

pytestmark = pytest.mark.timeout(240)
SECONDS = 60.0


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedRedis]:
    with WatchedRedis(tmp_path / "watched") as watched:
        yield watched


def call_through_celery(watched: WatchedRedis, text: str) -> Any:
    """The result of one event from a Celery client: over the broker there, the results back."""
    broker, of_broker = for_celery(watched.url(1), timeout_seconds=5)
    results, of_results = for_celery(watched.url(2), timeout_seconds=5)
    client = Celery("a-client", broker=broker, backend=results, set_as_current=False)
    client.conf.update(
        broker_transport_options=of_broker, result_backend_transport_options=of_results
    )
    body = {"text": text, "task_type": "sentiment"}
    task = client.send_task("eventstream.process", kwargs=body, queue="default")
    try:
        return task.get(timeout=SECONDS)
    finally:
        task.forget()
        client.close()
        pool = client.backend.client.connection_pool
        pool.disconnect()
        pool.sentinel_manager.close()  # which Celery leaves open


def test_events_are_answered_behind_sentinels_and_after_a_failover(
    watched: WatchedRedis, tmp_path: Path
) -> None:
    addresses = {
        "REDIS_URL": watched.url(0),
        "CELERY_BROKER_URL": watched.url(1),
        "CELERY_RESULT_BACKEND": watched.url(2),
    }
    with Deployment(tmp_path, **addresses) as deployment:
        worker = deployment.run("worker", WORKER_CONCURRENCY="1")
        deployment.run_api()

        def answered(text: str) -> bool:
            try:
                url = f"{deployment.url}/process?wait=30"
                body = {"text": text, "task_type": "sentiment"}
                reply = requests.post(url, json=body, timeout=SECONDS)
            except requests.ConnectionError:
                return False
            return reply.ok and reply.json()["status"] == "SUCCESS"

        until(lambda: answered("I love it"), SECONDS, worker.tail)
        assert call_through_celery(watched, "I love this")["response"] == "positive"

        watched.fail_over(SECONDS)

        until(lambda: answered("We love it"), SECONDS, worker.tail)
        assert call_through_celery(watched, "We love this")["response"] == "positive"
        assert worker.stop() == 0
