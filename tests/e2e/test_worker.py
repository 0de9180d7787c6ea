"""A worker as Celery runs it: Celery clients, recycled pool processes, soft shutdown."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from eventstream.claims import Arrival
from eventstream.heartbeat import Heartbeats
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.results import Results, StreamCounters
from eventstream.settings import Settings
from eventstream.wakeup import DRAIN_TASK, WakeUps
from tests.e2e.services import Deployment, Service, until
from tests.integration.cache.support import cluster_node
from tests.support.events import an_event
from tests.support.redis_server import free_port

pytestmark = pytest.mark.timeout(240)


class Bench:
    """What a test of a worker needs to reach into its Redis."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.keys = Keys()
        self.redis: AsyncRedis = connect(deployment.state.url(2), timeout_seconds=5)
        self.inbox = Inbox(self.redis, self.keys, result_ttl_seconds=3600, lease_seconds=30)
        self.results = Results(self.redis, self.keys)
        self.heartbeats = Heartbeats(self.redis, self.keys)
        self.settings = Settings(
            celery_broker_url=deployment.state.url(1), celery_result_backend=deployment.state.url(2)
        )
        self.wake_ups = WakeUps(self.settings)
        self.client = Celery(
            "a-client",
            broker=deployment.state.url(1),
            backend=deployment.state.url(2),
            set_as_current=False,
        )

    async def start(self, **environment: str) -> Service:
        worker = self.deployment.run("worker", **environment)
        async with asyncio.timeout(60):
            while not await self.heartbeats.alive():
                assert worker.running, worker.tail()
                await asyncio.sleep(0.05)
        return worker

    async def accept(self, *names: str) -> None:
        await self.inbox.accept(
            [Arrival(an_event(name, f"{name} is lovely", task_type="sentiment_analysis"))
             for name in names]
        )  # fmt: skip
        self.wake_ups.send([QUEUE_HTTP])

    async def counters(self) -> StreamCounters:
        return (await self.results.counters(["default"]))["default"]

    async def until_answered(self, count: int) -> None:
        async with asyncio.timeout(120):
            while (await self.counters()).answered < count:
                await asyncio.sleep(0.02)


@pytest.fixture
async def bench(deployment: Deployment) -> AsyncIterator[Bench]:
    bench = Bench(deployment)
    yield bench
    bench.wake_ups.close()
    bench.client.close()
    await bench.redis.aclose()


async def test_a_celery_client_gets_its_result_through_celery(bench: Bench) -> None:
    await bench.start(WORKER_CONCURRENCY="1")

    def call(**body: Any) -> Any:
        task = bench.client.send_task("eventstream.process", kwargs=body, queue="default")
        try:
            return task.get(timeout=60)
        finally:
            task.forget()

    result = await asyncio.to_thread(call, text="I love it", task_type="sentiment")
    assert result["response"] == "positive"
    assert result["from_cache"] is False
    assert result["model"].startswith("local/")

    with pytest.raises(ValueError, match="invalid_field: text"):
        await asyncio.to_thread(call, text="  ")
    with pytest.raises(ValueError, match=r"stream_not_found: .*'nowhere'"):
        await asyncio.to_thread(call, text="hello", stream="nowhere")
    for wrong in ("\ud800", "a\nb", ""):
        with pytest.raises(ValueError, match="invalid_field: event_id"):
            await asyncio.to_thread(call, text="hello", event_id=wrong)


async def test_two_hundred_recycled_processes_leave_no_files_and_lose_no_counts(
    bench: Bench, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "tmp").mkdir()
    worker = await bench.start(
        WORKER_CONCURRENCY="2",
        WORKER_MAX_TASKS_PER_CHILD="1",
        METRICS_PORT=str(port),
        TMPDIR=str(tmp_path / "tmp"),
    )
    before = set(worker.children())
    for number in range(10):
        await bench.accept(f"e{number}")
        await bench.until_answered(number + 1)
    for _ in range(190):
        # Surplus wake-ups find nothing, and each uses up a process.
        bench.client.send_task(DRAIN_TASK, queue=QUEUE_HTTP, ignore_result=True)
    broker = connect(bench.deployment.state.url(1), timeout_seconds=5)
    async with asyncio.timeout(180):
        while await broker.llen(QUEUE_HTTP) or await broker.hlen("unacked"):
            await asyncio.sleep(0.05)
    await broker.aclose()

    [folder] = (tmp_path / "tmp").glob("eventstream-metrics-*")
    writers = {file.stem.rpartition("_")[2] for file in folder.glob("*.db")}
    assert writers <= {"parent", "slot-0", "slot-1"}
    assert not before & set(worker.children())
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()  # noqa: ASYNC210
    assert _sum_of(text, "eventstream_events_finished_total") == 10
    [heartbeat] = await bench.heartbeats.alive()
    assert heartbeat.stats["total"] == 10
    assert worker.stop() == 0
    assert not list((tmp_path / "tmp").iterdir())


def _sum_of(exposition: str, name: str) -> float:
    return sum(
        float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", exposition, re.MULTILINE)
    )


@pytest.fixture
def slow_model() -> Iterator[str]:
    """A provider that speaks OpenAI's protocol and never answers."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def test_a_stopped_worker_gives_back_what_it_can_not_finish(
    bench: Bench, slow_model: str
) -> None:
    provider = {
        "OPENAI_API_KEY": "sk-not-a-key",
        "OPENAI_BASE_URL": slow_model,
        "EVENTSTREAM_EMBEDDINGS": "local",
    }
    worker = await bench.start(WORKER_CONCURRENCY="1", WORKER_SHUTDOWN_SECONDS="1", **provider)
    await bench.accept("a", "b", "c")
    async with asyncio.timeout(60):
        while (await bench.inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP].in_flight < 3:
            await asyncio.sleep(0.02)

    assert worker.stop(seconds=20) == 0

    depth = (await bench.inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
    assert (depth.queued, depth.in_flight) == (3, 0)
    assert await bench.heartbeats.alive() == []
    # Another worker, with a model that answers, finishes them at once: no lease has to end.
    await bench.start(WORKER_CONCURRENCY="1")
    await bench.until_answered(3)


async def test_a_lost_wake_up_costs_seconds_not_events(bench: Bench) -> None:
    await bench.start(WORKER_CONCURRENCY="1")
    broker = connect(bench.deployment.state.url(1), timeout_seconds=5)
    await bench.inbox.accept([Arrival(an_event("a", "lovely", task_type="sentiment_analysis"))])
    await broker.flushdb()
    await broker.aclose()

    await bench.until_answered(1)


async def test_a_redis_cluster_may_be_the_cache(bench: Bench, tmp_path: Path) -> None:
    with cluster_node(tmp_path) as port:
        await bench.start(WORKER_CONCURRENCY="1", REDIS_URL=f"redis+cluster://127.0.0.1:{port}/0")
        await bench.accept("a")
        await bench.until_answered(1)
        await bench.accept("a again")

        await bench.until_answered(2)


async def test_a_deleted_streams_waiting_events_fail_with_the_reason(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text(
        "apiVersion: ai-eventstream.io/v1alpha1\nkind: EventStream\nmetadata: {name: gone}\n"
    )
    assert bench.deployment.run("streams", "apply", "-f", str(file)).wait() == 0
    await bench.inbox.accept([Arrival(an_event("a", stream="gone"))])
    assert bench.deployment.run("streams", "delete", "gone", "--yes").wait() == 0

    # Those that served it may have gone with it.
    await bench.start(WORKER_CONCURRENCY="1", WORKER_STREAMS="default")

    async with asyncio.timeout(60):
        while (status := await bench.results.status("a")) is None or not status.status.finished:
            await asyncio.sleep(0.05)
    assert status.progress is not None
    assert status.progress["reason"] == "stream_deleted"


def test_a_worker_without_a_redis_says_so_in_one_sentence(deployment: Deployment) -> None:
    worker = deployment.run(
        "worker", REDIS_URL="redis://127.0.0.1:1/0", CELERY_RESULT_BACKEND="redis://127.0.0.1:1/2"
    )

    assert worker.wait() == 3
    last = worker.tail().strip().splitlines()[-1]
    assert last.startswith("eventstream: Redis can't be reached")
    until(lambda: not worker.running, 5, worker.tail)


def test_production_without_a_key_does_not_start_with_the_local_model_unnoticed(
    deployment: Deployment,
) -> None:
    worker = deployment.run("worker", ENVIRONMENT="production")

    assert worker.wait() == 2
    assert "EVENTSTREAM_PROVIDER=local" in worker.tail().splitlines()[-1]
