"""Wake-ups go on being sent, whatever the broker's client makes of one of them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from prometheus_client import REGISTRY

from eventstream.settings import Settings
from eventstream.wakeup import WakeUps
from tests.support.redis_server import RedisServer


def test_the_thread_outlives_an_error_that_nobody_thought_of(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_task = Celery.send_task
    unheard, heard = f"a{uuid.uuid4().hex}", f"b{uuid.uuid4().hex}"

    def sends_one_queue_only(app: Celery, *args: Any, queue: str, **options: Any) -> Any:
        if queue == unheard:
            raise ValueError("out of the client")
        return send_task(app, *args, queue=queue, **options)

    monkeypatch.setattr(Celery, "send_task", sends_one_queue_only)
    settings = Settings(celery_broker_url=redis_server.url(1), eventstream_prefix=prefix)
    wake_ups = WakeUps(settings)

    wake_ups.send([unheard, heard])
    wake_ups.close()

    with redis.Redis(port=redis_server.port, db=1) as broker:
        assert broker.llen(f"{prefix}{heard}") == 1
    assert (_count(unheard, "failed"), _count(heard, "sent")) == (1, 1)


def test_the_thread_outlives_an_address_that_makes_no_connection(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Celery.connection_for_write
    problems = [ValueError("no such address")]

    def connects_the_second_time(app: Celery) -> Any:
        if problems:
            raise problems.pop()
        return connect(app)

    monkeypatch.setattr(Celery, "connection_for_write", connects_the_second_time)
    unheard, heard = f"a{uuid.uuid4().hex}", f"b{uuid.uuid4().hex}"
    wake_ups = WakeUps(Settings(celery_broker_url=redis_server.url(1), eventstream_prefix=prefix))

    wake_ups.send([unheard, heard])
    wake_ups.close()

    assert (_count(unheard, "failed"), _count(heard, "sent")) == (1, 1)


def test_what_celery_reads_of_the_environment_by_itself_is_not_needed(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "sentinel://127.0.0.1:1,127.0.0.1:2/mymaster/1")
    queue = uuid.uuid4().hex
    wake_ups = WakeUps(Settings(celery_broker_url=redis_server.url(1), eventstream_prefix=prefix))

    wake_ups.send([queue])
    wake_ups.close()

    assert _count(queue, "sent") == 1


def test_a_worker_whose_clock_is_hours_ahead_still_hears_a_wake_up(
    redis_server: RedisServer, prefix: str
) -> None:
    queue = uuid.uuid4().hex
    wake_ups = WakeUps(Settings(celery_broker_url=redis_server.url(1), eventstream_prefix=prefix))

    wake_ups.send([queue])
    wake_ups.close()

    with redis.Redis(port=redis_server.port, db=1) as broker:
        [message] = broker.lrange(f"{prefix}{queue}", 0, -1)
    expires = datetime.fromisoformat(json.loads(message)["headers"]["expires"])
    # Longer than clocks differ, shorter than what gathers behind busy workers is a burden.
    in_minutes = (expires - datetime.now(UTC)) / timedelta(minutes=1)
    assert 10 < in_minutes < 20


def _count(queue: str, outcome: str) -> float | None:
    labels = {"queue": queue, "outcome": outcome}
    return REGISTRY.get_sample_value("eventstream_wake_ups_total", labels)
