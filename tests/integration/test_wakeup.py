"""Wake-ups go on being sent, whatever the broker's client makes of one of them."""

from __future__ import annotations

import uuid
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
    name = "eventstream_wake_ups_total"
    failed = REGISTRY.get_sample_value(name, {"queue": unheard, "outcome": "failed"})
    sent = REGISTRY.get_sample_value(name, {"queue": heard, "outcome": "sent"})
    assert (failed, sent) == (1, 1)
