"""Redis stopped, full, emptied or away, in each of its roles: what was accepted is finished."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tests.e2e.services import until, until_next_try
from tests.faults.bench import Bench, good_events
from tests.faults.provider import Provider
from tests.support.events import an_event
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(200)


def test_clients_and_workers_outlive_a_restart_of_the_state(
    bench: Bench, provider: Provider
) -> None:
    provider.seconds = 0.3
    bench.deployment.run_api()
    worker = bench.start_worker(WORKER_LEASE_SECONDS="30")
    # Without the cache, so that whoever is asked a second time is asked for certain.
    events = good_events(300, use_cache=False)
    bench.accept(events)
    bench.until_answered(1)
    refused = 0

    def post(number: int) -> None:
        """As the documentation says: the same key again until it is accepted."""
        nonlocal refused
        while (reply := bench.post(f"text {number}", f"key {number}")).status_code != 202:
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) > 0
            refused += 1
            until_next_try()

    with ThreadPoolExecutor(4) as clients:
        bench.deployment.state.stop()
        posting = [clients.submit(post, number) for number in range(100)]
        until(lambda: refused >= 20, 30, lambda: f"{refused} refused")
        bench.deployment.state.start()
        for each in posting:
            each.result(60)
    provider.seconds = 0

    until(lambda: bench.counters().open == 0, 90, lambda: str(bench.counters()))
    counters = bench.counters()
    # A 503 may hide an acceptance: then the repeat was its duplicate.
    assert counters.answered == 400
    bench.until_finished(400 + counters.duplicates)
    assert bench.results_of(events) == 300
    # Answers waited in the worker's memory: no event was asked twice.
    assert set(provider.answered.values()) == {1}
    assert worker.stop() == 0


def test_a_full_redis_refuses_clearly_and_can_be_drained(bench: Bench, provider: Provider) -> None:
    bench.deployment.run_api()
    long_text = "it is lovely, " * 1500
    for tens in range(60):
        bench.accept(
            an_event(
                f"e{tens}{one}",
                f"{tens}{one}: {long_text}",
                task_type="sentiment_analysis",
                use_cache=False,
            )
            for one in range(10)
        )
    used = int(bench.state.info("memory")["used_memory"])
    bench.state.config_set("maxmemory-policy", "noeviction")
    bench.state.config_set("maxmemory", int(used / 0.95))

    reply = bench.post("one more", "key")
    assert reply.status_code == 503
    assert "Redis is full" in reply.json()["detail"]

    worker = bench.start_worker()
    bench.until_finished(600)
    usage = [bench.state.hgetall(key) for key in bench.state.scan_iter("usage:default:*")]
    # Every call that was paid for is counted.
    assert [int(day[b"calls"]) for day in usage] == [provider.answered.total()]
    assert bench.post("one more", "key").status_code == 202
    bench.until_finished(601)
    assert worker.stop() == 0


def test_a_full_disk_refuses_clearly_and_goes_on_once_there_is_room(
    bench: Bench, provider: Provider
) -> None:
    """The local stack's second Redis is broker, inbox and results in one."""
    provider.seconds = 0.1
    bench.deployment.run_api()
    worker = bench.start_worker(WORKER_LEASE_SECONDS="30")
    events = good_events(1500)
    bench.accept(events)
    bench.until_answered(100)

    bench.deployment.state.fill_disk()
    until(lambda: "finish_failed" in worker.tail(), 60, worker.tail)
    reply = bench.post("one more", "key")
    assert reply.status_code == 503
    assert "can't write to its disk" in reply.json()["detail"]
    assert int(reply.headers["Retry-After"]) > 0
    assert bench.counters().open > 0
    bench.deployment.state.free_disk()
    provider.seconds = 0

    def post_again() -> bool:
        return bench.post("one more", "key").status_code == 202

    until(post_again, 60, worker.tail)
    # A 503 may hide an acceptance: then the repeat was its duplicate.
    bench.until_finished(1501 + bench.counters().duplicates)
    assert bench.results_of(events) == 1500
    assert worker.stop() == 0


def test_a_broker_of_celery_away_and_emptied_delays_nothing_for_good(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "broker").mkdir()
    file = tmp_path / "fresh.yaml"
    file.write_text(
        "apiVersion: ai-eventstream.io/v1alpha1\nkind: EventStream\nmetadata: {name: fresh}\n"
    )
    with RedisServer(tmp_path / "broker", search=False) as broker:
        worker = bench.start_worker(CELERY_BROKER_URL=broker.url(1))
        broker.stop()
        # The worker learns of a new stream while it can't be told through the broker.
        assert bench.deployment.run("streams", "apply", "-f", str(file)).wait() == 0
        bench.accept(good_events(100))
        bench.accept(good_events(100, "f", stream="fresh"))
        # Five heartbeats later it has seen the stream, and is still there.
        beats: set[object] = set()

        def has_beaten() -> bool:
            beats.add(bench.heartbeat())
            return len(beats) >= 5

        until(has_beaten, 60, worker.tail)
        broker.start()
        redis.Redis.from_url(broker.url(1)).flushdb()

        bench.until_finished(100)
        bench.until_finished(100, "fresh")
        # Wake-ups and heartbeats go on.
        bench.accept(good_events(50, "later", stream="fresh"))
        bench.until_finished(150, "fresh")
        assert bench.state.zcard(bench.keys.workers) == 1
        assert worker.stop() == 0
