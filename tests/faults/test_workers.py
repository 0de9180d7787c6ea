"""What kills workers, or what they wait for, costs no event and answers none twice."""

from __future__ import annotations

import os
import signal
import uuid

import orjson
import pytest
import requests
from celery import Celery

from eventstream.events import KafkaSource
from tests.e2e.services import until
from tests.faults.bench import Bench, good_events
from tests.faults.installation import Lines
from tests.faults.provider import Provider
from tests.faults.records import records_of
from tests.support.events import an_event
from tests.support.proxied_kafka import ProxiedKafka

pytestmark = pytest.mark.timeout(200)


def test_an_event_that_kills_its_process_is_found_among_good_ones(
    bench: Bench, provider: Provider, kafka: ProxiedKafka
) -> None:
    provider.seconds = 0.5  # whoever runs beside it is cut off with it
    source = KafkaSource(topic=f"poisoned-{uuid.uuid4().hex[:8]}", partition=0, offset=7)
    poison = an_event("bad", "this text is POISON", via="kafka", source=source)
    good = good_events(400, via="kafka")
    assert bench.deployment.run("streams", "list").wait() == 0
    bench.accept([*good[:200], poison, *good[200:]])

    worker = bench.deployment.run_module(
        "tests.faults.poisoned_worker", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers
    )
    bench.until_ready(worker)

    bench.until_finished(401)
    assert bench.results_of(good) == 400
    assert bench.counters().failed_by_reason == {"delivered_too_often": 1}
    # The default stream's dead letters: the bytes are untouched.
    assert records_of(kafka, "datos_crudos.dlq", bool) == [b"raw"]
    assert worker.stop() == 0


def test_the_successor_of_a_killed_pool_process_takes_over_at_once(
    bench: Bench, provider: Provider
) -> None:
    # No lease ends within this test.
    worker = bench.start_worker(WORKER_CONCURRENCY="1", WORKER_LEASE_SECONDS="3600")
    lines = Lines(worker)
    provider.mood = "hangs"
    events = good_events(20)
    bench.accept(events)
    until(lambda: provider.misbehaved["hangs"] >= 20, 90, worker.tail)

    os.kill(worker.children()[0], signal.SIGKILL)
    provider.behave()
    # Any wake-up brings the successor to work.
    more = good_events(1, "more")
    bench.accept(more)

    bench.until_finished(21)
    assert bench.results_of([*events, *more]) == 21
    assert lines.say("event_redelivered")
    assert worker.stop() == 0


def test_killed_pool_processes_and_cancelled_events_add_up(
    bench: Bench, provider: Provider
) -> None:
    provider.seconds = 0.2
    bench.deployment.run_api()
    worker = bench.start_worker()
    events = good_events(600)
    bench.accept(events)
    bench.until_answered(1)
    with requests.Session() as client:
        for number, event in enumerate(events[::4]):
            if number in (20, 60, 100):
                os.kill(worker.children()[number % 2], signal.SIGKILL)
            url = f"{bench.deployment.url}/task/{event.id}"
            assert client.delete(url, timeout=30).status_code == 200
    provider.seconds = 0

    bench.until_finished(600)

    counters = bench.counters()
    # What was finished already was forgotten by its DELETE, the rest was cancelled.
    assert set(counters.failed_by_reason) == {"cancelled"}
    forgotten = 150 - counters.failed
    assert bench.results_of(events) == 450
    assert counters.answered == 450 + forgotten
    assert worker.stop() == 0


def test_a_broker_that_is_away_holds_up_kafka_answers_only(
    bench: Bench, provider: Provider, kafka: ProxiedKafka
) -> None:
    source = KafkaSource(topic="datos_crudos", partition=0, offset=1)
    # Without the cache, so that whoever is asked a second time is asked for certain.
    from_kafka = good_events(300, "k", via="kafka", source=source, use_cache=False)
    over_http = good_events(100, "h")
    worker = bench.start_worker(
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, WORKER_LEASE_SECONDS="30"
    )
    kafka.stop()
    try:
        bench.accept(from_kafka)
        bench.accept(over_http)
        bench.until_answered(100)
        assert bench.results_of(over_http) == 100
        assert bench.results_of(from_kafka) == 0
    finally:
        kafka.start()

    bench.until_finished(400)
    scored = records_of(kafka, "datos_procesados", lambda values: len(values) >= 300)
    assert {orjson.loads(value)["event_id"] for value in scored} == {e.id for e in from_kafka}
    # Nobody was asked twice: what had been answered waited with its answer.
    assert set(provider.answered.values()) == {1}
    assert worker.stop() == 0


def test_a_celery_task_that_takes_too_long_says_so_and_its_event_goes_on(
    bench: Bench, provider: Provider
) -> None:
    """Celery's own limit would come down in the middle of the work of others."""
    # A twentieth of it is left for the last round trips of a task whose time is over.
    worker = bench.start_worker(WORKER_CONCURRENCY="1", TASK_SOFT_TIME_LIMIT_SECONDS="12")
    lines = Lines(worker)
    provider.mood = "refuses_key"
    body = {"text": "it is lovely", "task_type": "sentiment_analysis"}
    with Celery(
        broker=bench.deployment.environment()["CELERY_BROKER_URL"],
        backend=bench.deployment.state.url(2),
        set_as_current=False,
    ) as client:
        task = client.send_task("eventstream.process", kwargs=body, queue="default")
        with pytest.raises(ValueError, match="it goes on"):
            task.get(timeout=90)
        task.forget()
    assert lines.say("event_deferred")

    provider.behave()
    bench.until_finished(1)
    assert bench.counters().answered == 1
    assert "TimeLimit" not in worker.log.read_text("utf-8")
    assert worker.stop() == 0
